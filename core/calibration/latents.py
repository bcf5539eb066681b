"""Calibrate a score for one decoder: from pictures it really made, or from any folder of photographs.

Belonging samples need no diffusion model: decoding any latent of the inspected VAE gives one, and E(photo) supplies
natural latents. The photographs themselves, and what other decoders make of them, are the matching non-belonging
samples (split-conformal calibration, Vovk et al. 2005). Photographs are read one by one, and copies count once.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from ..errors import InvalidImageError
from ..images.conditions import CLEAN, HISTORIES, RESIZES, alter
from ..images.quantiser import Quantiser, quantise
from ..images.regularity import grid_strength
from ..images.tensors import check_images, whole_cells
from ..inversion.memory import out_of_memory_sentence
from ..models.autoencoder import Autoencoder
from ..models.generator import Generator
from ..models.weight_digest import same_weights
from ..profiles import MADE_HERE, Grid, Limits, Profile
from ..scores.decoder_grid import NoGridError, grid_of
from ..scores.grid_contrast import GridContrast
from ..scores.protocol import Score, on_cells
from ..scores.rough_score import fit_roughness, roughness_of
from ..scores.windows import within_memory
from ..verdicts.doubt import fit_grid
from ..verdicts.localisation import fit_localisation, locate_foreign
from .pictures import MIN_IMAGES, GivenPicture, IndependentPictures, check_rates
from .scores import CalibrationStep, CollectedScores, Sample, collect_scores

# Samples whose map of foreign regions should be empty; the perturbed ones would only repeat their pictures.
WHOLLY_BELONGING = ("decoded", "generated")
LARGEST_SIDE = 512


def calibrate(
    autoencoder: Autoencoder,
    score: Score,
    photographs: Iterable[GivenPicture],
    *,
    generated: Iterable[GivenPicture] = (),
    others: Sequence[Autoencoder] = (),
    condition: str = CLEAN,
    histories: Sequence[str] = HISTORIES,
    fpr: float = 0.01,
    fnr: float = 0.01,
    guarantee: float | None = None,
    seed: int = 0,
    calibrated_on: str = "",
    on_image: Callable[[CalibrationStep], None] | None = None,
) -> Profile:
    """Score belonging and non-belonging samples of ``photographs`` (each ``[1,3,H,W]`` in [0,1]) and fit a profile.

    ``photographs`` are read one by one, from a generator as well; of those that show the same
    (:mod:`..images.same_picture`) the first counts. ``generated`` are pictures this VAE really made: five or more
    count as belonging as they are, a source of their own. ``others`` are further decoders whose versions of the
    photographs count as non-belonging. Photographs larger than 512 pixels are cropped at the centre. Every sample
    is stored as 8 bit (by rounding and truncation in turn) and altered by ``condition``. What is asked is whether
    the picture under test went from this decoder through ``condition``; one that did not may have gone through
    anything, so each photograph counts as non-belonging once more after each of ``histories``: then ``condition``,
    if that is a resize, and once as it is, if that is anything else but clean. ``fpr`` and ``fnr`` are rates on
    average over calibrations or, with a ``guarantee`` such as 0.95, what this one's rates exceed with no more than
    the remaining probability. Pictures and samples that cannot be scored (NaN, smaller than a latent cell, flat)
    are left out and noted. ``on_image`` cancels by raising. Raises :class:`InvalidSettingError` for too few
    pictures or impossible rates.
    """
    check_rates(fpr, fnr, guarantee)
    others = [other for other in others if not same_weights(other.fingerprint, autoencoder.fingerprint)]
    histories = histories_of(condition, histories)
    excesses: list[float] = []
    differences: list[float] = []
    grids: list[float] = []

    def score_of(sample: Sample, pixels: Tensor) -> tuple[float, tuple[int, int]]:
        altered = alter(pixels, sample.history) if sample.history else pixels
        # Scores that undo a resize put the grid of an earlier JPEG back in place as well.
        if not sample.history or condition in RESIZES:
            altered = alter(altered, condition)
        cropped = on_cells(score, altered, autoencoder.spatial_ratio)
        value = within_memory(
            lambda window: score(autoencoder, cropped, window).value,
            lambda: out_of_memory_sentence("Calibrating on", autoencoder, cropped),
        )[0]
        if sample.belongs:
            grids.append(grid_strength(altered))
        difference = roughness_of(score, autoencoder, cropped, value)
        if difference is not None and math.isfinite(difference):
            differences.append(difference)
        if score.name == GridContrast.name and sample.belongs and sample.kind in WHOLLY_BELONGING:
            # A map needs more detail than the score did: a picture without one still calibrates the score.
            with contextlib.suppress(InvalidImageError):
                excesses.append(locate_foreign(autoencoder, cropped).largest_excess)
        return value, (cropped.shape[-2], cropped.shape[-1])

    ratio = math.lcm(*(o.spatial_ratio for o in (autoencoder, *others)))
    photos = IndependentPictures(photographs, lambda picture: _central(picture, ratio))
    # Numbers apart from those of the photographs, of which there may be any number.
    made = IndependentPictures(generated, lambda picture: _central(picture, autoencoder.spatial_ratio), 10**9)
    entries = photos.at_least(MIN_IMAGES, fpr, guarantee)
    per_photograph = 3 + len(others) + len(histories)
    total = None
    if photos.expected is not None and made.expected is not None:
        total = photos.expected * per_photograph + made.expected
    scores = CollectedScores(condition)
    samples = _samples(autoencoder, entries, made, others, histories, seed)
    collect_scores(samples, score_of, scores, total, on_image)
    counted, given = photos.counted + made.counted, photos.read + made.read
    # As a source of their own so few would set the false-negative rate, and among the others' scores hide in them.
    too_few = ["fewer than 5 really generated pictures say too little and were left out"]
    too_few = too_few if 0 < made.counted < MIN_IMAGES else []
    return Profile(
        fingerprint=autoencoder.fingerprint,
        autoencoder=autoencoder.name,
        score=score.name,
        score_settings=dict(score.settings),
        condition=condition,
        image_sizes=(min(scores.sides), max(scores.sides)),
        calibrated_on=calibrated_on or f"{photos.counted} photographs",
        belonging=tuple(s for s in scores.sources(True) if s.kind != "generated" or len(s.lowest) >= MIN_IMAGES),
        others=scores.sources(False),
        pictures_given=given,
        pictures_counted=counted,
        grid=_grid_of(autoencoder),
        fpr=fpr,
        fnr=fnr,
        guarantee=guarantee,
        limits=Limits(fit_localisation(excesses), fit_roughness(differences), fit_grid(grids)),
        notes=(*scores.notes, *left_out_notes(photos, made), *too_few),
        calibration=MADE_HERE,
    )


def histories_of(condition: str, histories: Sequence[str] = HISTORIES) -> list[str]:
    """What each photograph counts as non-belonging after once more, beside ``condition``."""
    if histories and condition != CLEAN and condition not in RESIZES:
        histories = [CLEAN, *histories]
    return [history for history in histories if history != condition]


def _grid_of(autoencoder: Autoencoder) -> Grid | None:
    """The measured grid, ``None`` where there is none: scores that need one refuse the decoder, others do not care."""
    try:
        return grid_of(autoencoder)
    except NoGridError:
        return None


def left_out_notes(*pictures: IndependentPictures) -> list[str]:
    copies = sum(one.copies for one in pictures)
    unusable = sum(one.read - one.counted for one in pictures) - copies
    notes = [f"{unusable} pictures could not be used and were left out"] if unusable else []
    return [*notes, f"{copies} pictures repeat others and were left out"] if copies else notes


def _samples(
    autoencoder: Autoencoder,
    photographs: Iterable[tuple[int, Tensor | None]],
    generated: Iterable[tuple[int, Tensor | None]],
    others: Sequence[Autoencoder],
    histories: Sequence[str],
    seed: int,
) -> Iterator[Sample]:
    """Belonging and non-belonging versions of every photograph, deterministic in ``seed``."""
    for number, picture in generated:
        yield Sample("generated", True, number, picture)
    named = list(zip(distinct_names(others), others, strict=True))
    for number, photograph in photographs:
        if photograph is None:
            yield Sample("left out", False, number, None, stands_for=3 + len(others) + len(histories))
            continue
        pixels = quantise(photograph)
        yield from _versions(autoencoder, pixels, named, number, seed)
        for history in histories:
            yield Sample("photograph", False, number, pixels, history)


def distinct_names(models: Sequence[Autoencoder | Generator]) -> list[str]:
    """The name of each, with the beginning of its digest where two share it."""
    names = [model.name for model in models]
    return [
        name if names.count(name) == 1 else f"{name} ({model.fingerprint[:8]})"
        for name, model in zip(names, models, strict=True)
    ]


# Not a generator: one suspended under no_grad would switch gradients off for whoever consumes or cancels it.
@torch.no_grad()
def _versions(
    autoencoder: Autoencoder, pixels: Tensor, others: Sequence[tuple[str, Autoencoder]], number: int, seed: int
) -> list[Sample]:
    """One photograph, and what the inspected and the other decoders make of it."""
    first: Quantiser = "round" if number % 2 == 0 else "floor"
    second: Quantiser = "floor" if number % 2 == 0 else "round"
    latents = autoencoder.encode(pixels)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed + number)).to(latents)
    perturbed = latents + 0.1 * latents.std() * noise
    return [
        Sample("decoded", True, number, quantise(autoencoder.decode(latents).cpu().float(), first)),
        Sample("perturbed", True, number, quantise(autoencoder.decode(perturbed).cpu().float(), second)),
        Sample("photograph", False, number, pixels),
        *(
            Sample(
                "decoder",
                False,
                number,
                quantise(other.decode(other.encode(pixels)).cpu().float(), first),
                decoder=name,
            )
            for name, other in others
        ),
    ]


def _central(picture: Tensor, ratio: int) -> Tensor:
    """The central part of ``picture``, at most 512 on a side, on the latent grid."""
    if picture.ndim != 4:
        check_images(picture)  # says what is wrong
    pixels = whole_cells(picture, ratio)
    height, width = (min(side, max(ratio, LARGEST_SIDE - LARGEST_SIDE % ratio)) for side in pixels.shape[-2:])
    # In whole cells from the corner: a generated picture cut off its grid would no longer look belonging.
    top, left = (
        (side - kept) // 2 // ratio * ratio for side, kept in zip(pixels.shape[-2:], (height, width), strict=True)
    )
    return check_images(pixels[..., top : top + height, left : left + width])
