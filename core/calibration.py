"""Calibrate a score for one decoder: from pictures it really made, or from any folder of photographs.

Belonging samples need no diffusion model: decoding any latent of the inspected VAE gives one, and E(photo) supplies
natural latents. The photographs themselves, and what other decoders make of them, are the matching non-belonging
samples (methods: split-conformal calibration, Vovk et al. 2005; RONAN section 3 for belonging losses only).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor

from . import localisation, rough_score
from .autoencoder import Autoencoder
from .conditions import CLEAN, HISTORIES, RESIZES, alter
from .errors import InvalidImageError, InvalidSettingError
from .history import GRID_KEY, fit_grid
from .images import check_images, crop_to_grid
from .localisation import locate_foreign
from .profile import Profile, measured_error_rates
from .quantiser import Quantiser, quantise
from .regularity import grid_strength
from .rough_score import roughness_of
from .scores.grid_contrast import GridContrast
from .scores.protocol import Score, on_cells
from .thresholds import fit_threshold

MIN_IMAGES = 5
# Samples whose map of foreign regions should be empty; the perturbed ones would only repeat their pictures.
WHOLLY_BELONGING = ("decoded", "really generated")
LARGEST_SIDE = 512


@dataclass(frozen=True)
class CalibrationStep:
    """Progress, given to ``on_image``: images scored so far of all, and what the last one was."""

    done: int
    total: int
    source: str


@dataclass(frozen=True)
class Sample:
    """One picture to score: where it comes from, and whether the inspected model made it."""

    source: str
    belongs: bool
    pixels: Tensor | None  # None where the picture behind it is unusable
    history: str = ""  # the alteration it went through, in place of the condition that all others go through


@dataclass
class CollectedScores:
    """Scores of belonging and other samples, and the sides (pixels) of the pictures behind them."""

    total: int
    belonging: list[float] = field(default_factory=list)
    non_belonging: list[float] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    sides: list[int] = field(default_factory=list)
    skipped: int = 0

    @property
    def notes(self) -> list[str]:
        left_out = f"{self.skipped} of {self.total} samples could not be scored and were left out"
        return [left_out] if self.skipped else []


def calibrate(
    autoencoder: Autoencoder,
    score: Score,
    photographs: Sequence[Tensor],
    *,
    generated: Sequence[Tensor] = (),
    others: Sequence[Autoencoder] = (),
    condition: str = CLEAN,
    histories: Sequence[str] = HISTORIES,
    fpr: float = 0.01,
    fnr: float = 0.01,
    seed: int = 0,
    calibrated_on: str = "photographs",
    on_image: Callable[[CalibrationStep], None] | None = None,
) -> Profile:
    """Score belonging and non-belonging samples of ``photographs`` (each ``[1,3,H,W]`` in [0,1]) and fit a profile.

    ``generated`` are pictures this VAE really made: they count as belonging as they are. ``others`` are further
    decoders whose versions of the photographs count as non-belonging. Photographs larger than 512 pixels are cropped
    at the centre. Every sample is stored as 8 bit (by rounding and truncation in turn) and altered by ``condition``.
    What is asked is whether the picture under test went from this decoder through ``condition``; one that did not may
    have gone through anything, so each photograph counts as non-belonging once more after each of ``histories``: then
    ``condition``, if that is a resize, and once as it is, if that is anything else but clean.
    Pictures and samples that cannot be scored (NaN, smaller than a latent cell, flat) are left out and noted.
    ``on_image`` cancels by raising. Raises :class:`InvalidSettingError` for too few pictures or rates outside (0, 1).
    """
    if not (0 < fpr < 1 and 0 < fnr < 1):
        raise InvalidSettingError(f"fpr and fnr must lie between 0 and 1, got {fpr} and {fnr}.")
    if len(photographs) < MIN_IMAGES:
        raise InvalidSettingError(
            f"Calibration needs at least {MIN_IMAGES} readable photographs, got {len(photographs)}: add more"
            " (a false-positive rate of 1 % needs 99)."
        )
    others = [other for other in others if other.fingerprint != autoencoder.fingerprint]
    if histories and condition != CLEAN and condition not in RESIZES:
        histories = [CLEAN, *histories]
    histories = [history for history in histories if history != condition]
    total = len(photographs) * (3 + len(others) + len(histories)) + len(generated)

    excesses: list[float] = []
    differences: list[float] = []
    grids: list[float] = []

    def score_of(sample: Sample, pixels: Tensor) -> tuple[float, tuple[int, int]]:
        altered = alter(pixels, sample.history) if sample.history else pixels
        # Scores that undo a resize put the grid of an earlier JPEG back in place as well.
        if not sample.history or condition in RESIZES:
            altered = alter(altered, condition)
        cropped = on_cells(score, altered, autoencoder.spatial_ratio)
        value = score(autoencoder, cropped).value
        if sample.belongs:
            grids.append(grid_strength(altered))
        difference = roughness_of(score, autoencoder, cropped, value)
        if difference is not None and math.isfinite(difference):
            differences.append(difference)
        if score.name == GridContrast.name and sample.source in WHOLLY_BELONGING:
            # A map needs more detail than the score did: a picture without one still calibrates the score.
            with contextlib.suppress(InvalidImageError):
                excesses.append(locate_foreign(autoencoder, cropped).largest_excess)
        return value, (cropped.shape[-2], cropped.shape[-1])

    samples = _samples(autoencoder, photographs, generated, others, histories, seed)
    scores = collect_scores(samples, score_of, total, on_image)
    # Versions of one photograph are not independent; the count of photographs is what backs the rates.
    notes = [*scores.notes, f"{len(photographs)} photographs stand behind all samples"]
    profile = Profile(
        fingerprint=autoencoder.fingerprint,
        autoencoder=autoencoder.name,
        score=score.name,
        score_settings=dict(score.settings),
        quantiser="auto",
        decode_path="pillow",
        condition=condition,
        image_sizes=(min(scores.sides), max(scores.sides)),
        calibrated_on=calibrated_on,
        belonging_scores=tuple(scores.belonging),
        non_belonging_scores=tuple(scores.non_belonging),
        non_belonging_sources=tuple(scores.sources),
        fpr=fpr,
        fnr=fnr,
        notes=tuple(notes),
    )
    profile = with_rules(profile)
    further = {
        localisation.THRESHOLD_KEY: localisation.fit_localisation(excesses) if excesses else None,
        rough_score.THRESHOLD_KEY: rough_score.fit_roughness(differences),
        GRID_KEY: fit_grid(grids) if grids else None,
    }
    measured = {key: value for key, value in further.items() if value is not None}
    return replace(profile, thresholds={**profile.thresholds, **measured})


def collect_scores(
    samples: Iterable[Sample],
    score_of: Callable[[Sample, Tensor], tuple[float, tuple[int, int]]],
    total: int,
    on_image: Callable[[CalibrationStep], None] | None = None,
) -> CollectedScores:
    """Score all ``samples``; ``score_of`` gives a score and the sides of what it judged, in pixels.

    Raises :class:`InvalidSettingError` where fewer than five of either kind could be scored.
    """
    scores = CollectedScores(total)
    for done, sample in enumerate(samples, start=1):
        value, sides = math.nan, (0, 0)
        if sample.pixels is not None:
            # What cannot be scored (flat, too small once altered, NaN from a broken decoder) calibrates nothing.
            with contextlib.suppress(InvalidImageError):
                value, sides = score_of(sample, sample.pixels)
        if math.isfinite(value):
            scores.sides += sides
            (scores.belonging if sample.belongs else scores.non_belonging).append(value)
            if not sample.belongs:
                scores.sources.append(sample.source)
        else:
            scores.skipped += 1
        if on_image is not None:
            on_image(CalibrationStep(done, total, sample.source))
    check_enough(scores)
    return scores


def check_enough(scores: CollectedScores) -> None:
    """Raise :class:`InvalidSettingError` where fewer than five of either kind could be scored."""
    if len(scores.belonging) < MIN_IMAGES or len(scores.non_belonging) < MIN_IMAGES:
        raise InvalidSettingError(
            f"Only {len(scores.belonging)} belonging and {len(scores.non_belonging)} other samples gave finite scores:"
            f" at least {MIN_IMAGES} of each are needed."
        )


def with_rules(profile: Profile) -> Profile:
    """``profile`` with the thresholds of the papers and its measured error rates filled in."""
    scores = profile.belonging_scores
    rules = {r: asdict(fit_threshold(scores, r, profile.fnr, "belonging samples")) for r in ("kde", "grubbs")}
    return replace(profile, thresholds=rules, error_rates=measured_error_rates(profile))


def _samples(
    autoencoder: Autoencoder,
    photographs: Sequence[Tensor],
    generated: Sequence[Tensor],
    others: Sequence[Autoencoder],
    histories: Sequence[str],
    seed: int,
) -> Iterator[Sample]:
    """Belonging and non-belonging versions of every photograph, deterministic in ``seed``."""
    for picture in generated:
        yield Sample("really generated", True, _central(picture, autoencoder.spatial_ratio))
    ratio = math.lcm(*(o.spatial_ratio for o in (autoencoder, *others)))
    for number, photograph in enumerate(photographs):
        pixels = _central(photograph, ratio)
        yield from _versions(autoencoder, pixels, others, number, seed)
        for history in histories:
            yield Sample(f"photograph, {history}", False, None if pixels is None else quantise(pixels), history)


# Not a generator: one suspended under no_grad would switch gradients off for whoever consumes or cancels it.
@torch.no_grad()
def _versions(
    autoencoder: Autoencoder, photograph: Tensor | None, others: Sequence[Autoencoder], number: int, seed: int
) -> list[Sample]:
    """One photograph, and what the inspected and the other decoders make of it."""
    belonging = ("decoded", "decoded, perturbed")
    foreign = [f"decoded by {other.name}" for other in others]
    if photograph is None:
        names = [(name, True) for name in belonging] + [(name, False) for name in ("photograph", *foreign)]
        return [Sample(name, belongs, None) for name, belongs in names]
    pixels = quantise(photograph)
    first: Quantiser = "round" if number % 2 == 0 else "floor"
    second: Quantiser = "floor" if number % 2 == 0 else "round"
    latents = autoencoder.encode(pixels)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed + number)).to(latents)
    perturbed = latents + 0.1 * latents.std() * noise
    return [
        Sample(belonging[0], True, quantise(autoencoder.decode(latents).cpu().float(), first)),
        Sample(belonging[1], True, quantise(autoencoder.decode(perturbed).cpu().float(), second)),
        Sample("photograph", False, pixels),
        *(
            Sample(name, False, quantise(other.decode(other.encode(pixels)).cpu().float(), first))
            for name, other in zip(foreign, others, strict=True)
        ),
    ]


def _central(picture: Tensor, ratio: int) -> Tensor | None:
    """The central part of ``picture``, at most 512 on a side, on the latent grid; ``None`` if it cannot be used."""
    try:
        pixels, _ = crop_to_grid(check_images(picture), ratio)
    except InvalidImageError:
        return None
    height, width = (min(side, max(ratio, LARGEST_SIDE - LARGEST_SIDE % ratio)) for side in pixels.shape[-2:])
    # In whole cells from the corner: a generated picture cut off its grid would no longer look belonging.
    top, left = (
        (side - kept) // 2 // ratio * ratio for side, kept in zip(pixels.shape[-2:], (height, width), strict=True)
    )
    return pixels[..., top : top + height, left : left + width]
