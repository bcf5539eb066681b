"""Calibrate a score for one decoder: from pictures it really made, or from any folder of photographs.

Belonging samples need no diffusion model: decoding any latent of the inspected VAE gives one, and E(photo) supplies
natural latents. The photographs themselves, and what other decoders make of them, are the matching non-belonging
samples (split-conformal calibration, Vovk et al. 2005). Photographs are read one by one, and copies count once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from ..images.conditions import CLEAN, HISTORIES
from ..images.quantiser import Quantiser, quantise
from ..images.tensors import check_images, whole_cells
from ..models.autoencoder import Autoencoder
from ..models.generator import Generator
from ..models.weight_digest import same_weights
from ..profiles import MADE_HERE, Grid, Profile
from ..scores.decoder_grid import NoGridError, grid_of
from ..scores.protocol import Score
from .pictures import MIN_IMAGES, GivenPicture, IndependentPictures, check_rates
from .scores import CalibrationStep, Sample, check_enough, collect_scores, is_enough
from .shared_passes import shared_passes
from .under import Measured, Under, histories_of

LARGEST_SIDE = 512


class Kept(Protocol):
    """Where a calibration keeps what it measured: :class:`.kept.KeptScores`."""

    def get(self, key: str) -> Measured | None:
        """What was measured before."""

    def add(self, key: str, measured: Measured) -> None:
        """Keep it."""


def calibrate(
    autoencoder: Autoencoder,
    score: Score,
    photographs: Iterable[GivenPicture],
    *,
    condition: str = CLEAN,
    histories: Sequence[str] = HISTORIES,
    **options: Any,
) -> Profile:
    """The profile for one ``condition`` by ``score``; all else as for :func:`calibrate_conditions`."""
    (profile,) = calibrate_conditions(autoencoder, {condition: score}, photographs, histories=histories, **options)
    return profile


def calibrate_conditions(
    autoencoder: Autoencoder,
    scores: Mapping[str, Score],
    photographs: Iterable[GivenPicture],
    *,
    generated: Iterable[GivenPicture] = (),
    others: Sequence[Autoencoder] = (),
    histories: Sequence[str] = HISTORIES,
    fpr: float = 0.01,
    fnr: float = 0.01,
    guarantee: float | None = None,
    seed: int = 0,
    calibrated_on: str = "",
    on_image: Callable[[CalibrationStep], None] | None = None,
    kept: Kept | None = None,
) -> tuple[Profile, ...]:
    """Score belonging and non-belonging samples of ``photographs`` (each ``[1,3,H,W]`` in [0,1]) and fit a profile for
    each condition in ``scores``, by its score. Conditions share scores that they have in common, and passes of the
    networks through the same pixels.

    ``photographs`` are read one by one, from a generator as well; of those that show the same
    (:mod:`..images.same_picture`) the first counts. ``generated`` are pictures this VAE really made: five or more
    count as belonging as they are, a source of their own. ``others`` are further decoders whose versions of the
    photographs count as non-belonging. Photographs larger than 512 pixels are cropped at the centre. Every sample
    is stored as 8 bit (by rounding and truncation in turn) and altered by the condition. What is asked is whether
    the picture under test went from this decoder through the condition; one that did not may have gone through
    anything, so each photograph counts as non-belonging once more after each of ``histories``: then the condition,
    if that is a resize, and once as it is, if that is anything else but clean. ``fpr`` and ``fnr`` are rates on
    average over calibrations or, with a ``guarantee`` such as 0.95, what this one's rates exceed with no more than
    the remaining probability. Pictures and samples that cannot be scored (NaN, smaller than a latent cell, flat)
    are left out and noted. ``on_image`` cancels by raising; what was measured until then is in ``kept``, where it is
    given, and is not measured again. Raises :class:`InvalidSettingError` for too few pictures or impossible rates.
    """
    check_rates(fpr, fnr, guarantee)
    others = [other for other in others if not same_weights(other.fingerprint, autoencoder.fingerprint)]
    conditions = [
        Under(condition, score=score, histories=tuple(histories_of(condition, histories)))
        for condition, score in scores.items()
    ]
    shared: dict[str, Measured] = {}
    model, forget_passes = shared_passes(autoencoder)
    counts: Counter[str] = Counter()

    def forget() -> None:
        shared.clear()
        forget_passes()

    def score_of(under: Under, sample: Sample) -> tuple[float, tuple[int, int]]:
        key = under.key(sample)
        measured = shared.get(key)
        if measured is None:
            measured = kept.get(key) if kept is not None else None
            counts["measured" if measured is None else "kept"] += 1
        if measured is None:
            measured = under.measure(model, sample)
            if kept is not None:
                kept.add(key, measured)
        shared[key] = measured
        under.keep(measured)
        return measured.value, measured.sides

    def tell(step: CalibrationStep) -> None:
        if on_image is not None:
            on_image(replace(step, expected=photos.expected, measured=counts["measured"], kept=counts["kept"]))

    ratio = math.lcm(*(o.spatial_ratio for o in (autoencoder, *others)))
    photos = IndependentPictures(photographs, lambda picture: _central(picture, ratio))
    # Numbers apart from those of the photographs, of which there may be any number.
    made = IndependentPictures(generated, lambda picture: _central(picture, autoencoder.spatial_ratio), 10**9)
    entries = photos.at_least(MIN_IMAGES, fpr, guarantee)
    per_photograph = sum(3 + len(others) + len(under.histories) for under in conditions)
    total = None
    if photos.expected is not None and made.expected is not None:
        total = photos.expected * per_photograph + made.expected * len(conditions)
    collect_scores(_samples(model, entries, made, others, conditions, seed, forget), score_of, total, tell)
    counted, given = photos.counted + made.counted, photos.read + made.read
    # As a source of their own so few would set the false-negative rate, and among the others' scores hide in them.
    too_few = ["fewer than 5 really generated pictures say too little and were left out"]
    too_few = too_few if 0 < made.counted < MIN_IMAGES else []
    usable = [under for under in conditions if is_enough(under)]
    if not usable:
        check_enough(conditions[0])
    # Rough JPEG leaves nothing to compare in smooth pictures: the others' scores are good without it.
    lacking = ", ".join(under.condition for under in conditions if under not in usable)
    lacking_notes = [f"too few pictures could be scored under {lacking}: no profile for that"] if lacking else []
    return tuple(
        Profile(
            fingerprint=autoencoder.fingerprint,
            autoencoder=autoencoder.name,
            score=scores[under.condition].name,
            score_settings=dict(scores[under.condition].settings),
            condition=under.condition,
            image_sizes=under.image_sizes,
            calibrated_on=calibrated_on or f"{photos.counted} photographs",
            belonging=tuple(s for s in under.sources(True) if s.kind != "generated" or len(s.lowest) >= MIN_IMAGES),
            others=under.sources(False),
            pictures_given=given,
            pictures_counted=counted,
            grid=_grid_of(autoencoder),
            fpr=fpr,
            fnr=fnr,
            guarantee=guarantee,
            limits=under.limits,
            notes=(*under.notes, *left_out_notes(photos, made), *too_few, *lacking_notes),
            calibration=MADE_HERE,
        )
        for under in usable
    )


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
    conditions: Sequence[Under],
    seed: int,
    forget: Callable[[], None],
) -> Iterator[tuple[Under, Sample]]:
    """Belonging and non-belonging versions of every photograph for each condition, deterministic in ``seed``.

    ``forget`` lets go of what samples share: those of two photographs have nothing in common.
    """
    for number, picture in generated:
        forget()
        yield from ((under, Sample("generated", True, number, picture)) for under in conditions)
    named = list(zip(distinct_names(others), others, strict=True))
    for number, photograph in photographs:
        forget()
        if photograph is None:
            stands_for = sum(3 + len(others) + len(under.histories) for under in conditions)
            yield conditions[0], Sample("left out", False, number, None, stands_for=stands_for, is_last=True)
            continue
        pixels = quantise(photograph)
        versions = _versions(autoencoder, pixels, named, number, seed)
        samples = [
            (under, sample)
            for under in conditions
            for sample in (*versions, *(Sample("photograph", False, number, pixels, one) for one in under.histories))
        ]
        under, last = samples.pop()
        yield from samples
        yield under, replace(last, is_last=True)


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
