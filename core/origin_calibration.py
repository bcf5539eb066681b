"""Calibrate RONAN's score for one generator: from images it makes itself, and images it did not make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from .calibrated_loss import RONAN, CalibratedLoss, Complexity, calibrated_loss, score_settings
from .calibration import (
    MIN_IMAGES,
    CalibrationStep,
    CollectedScores,
    Sample,
    check_enough,
    collect_scores,
    with_rules,
)
from .conditions import CLEAN, alter
from .errors import InvalidImageError, InvalidSettingError
from .generator import Generator, check_generator
from .images import check_images
from .input_inversion import InputInversion, check_size
from .profile import Profile
from .quantiser import quantise
from .scores.protocol import Setting

#: Added to the calibration seed, so that belonging samples are never the starts of their own inversion.
SAMPLES = 1_000_003


def calibrate_origin(
    score: CalibratedLoss,
    photographs: Sequence[Tensor],
    *,
    others: Sequence[Generator] = (),
    belonging: int = 100,
    generated: Sequence[Tensor] = (),
    condition: str = CLEAN,
    fpr: float = 0.01,
    fnr: float = 0.01,
    seed: int = 0,
    calibrated_on: str = "photographs",
    on_image: Callable[[CalibrationStep], None] | None = None,
) -> Profile:
    """Score ``belonging`` images that the generator makes from ``seed``, and images that it did not make.

    ``photographs`` ``[1,3,H,W]`` in [0,1] of at least the generator's size count as non-belonging by their central
    part; so do as many images of each of the ``others`` as there are photographs (or ``belonging``, without any).
    ``generated`` are further pictures it really made. Images are stored as 8 bit by rounding and truncation in turn
    and altered by ``condition``. What cannot be scored is left out and noted. ``on_image`` cancels by raising. Raises
    :class:`InvalidSettingError` for too few images, rates outside (0, 1) or a condition that changes the image size.
    """
    generator = score.generator
    check_generator(generator)
    if not (0 < fpr < 1 and 0 < fnr < 1):
        raise InvalidSettingError(f"fpr and fnr must lie between 0 and 1, got {fpr} and {fnr}.")
    if belonging < MIN_IMAGES:
        raise InvalidSettingError(f"Calibration needs at least {MIN_IMAGES} belonging images, got {belonging}.")
    if 0 < len(photographs) < MIN_IMAGES:
        # They would be a source of their own, and its few images would set the rate.
        raise InvalidSettingError(
            f"Calibration needs at least {MIN_IMAGES} readable photographs, got {len(photographs)}: add more"
            " (a false-positive rate of 1 % needs 99)."
        )
    others = [other for other in others if other.fingerprint != generator.fingerprint]
    if not photographs and not others:
        raise InvalidSettingError(
            "Nothing that the generator did not make was given: add photographs or other generators, or no"
            " false-positive rate can be stated."
        )
    for other in others:
        check_generator(other)
        if tuple(other.image_size) != tuple(generator.image_size):
            raise InvalidSettingError(
                f"The generator {other.name} makes images of another size than {generator.name}: it is no source to"
                " compare with."
            )
    per_other = len(photographs) or belonging
    total = belonging + len(generated) + len(photographs) + per_other * len(others)

    def score_of(_: Sample, pixels: Tensor) -> tuple[float, tuple[int, int]]:
        altered = alter(pixels, condition)
        if altered.shape != pixels.shape:
            raise InvalidSettingError(
                f"The condition {condition} changes the image size, which a generator of one size cannot be inverted"
                " for: choose one that keeps it."
            )
        return score(altered).value, (altered.shape[-2], altered.shape[-1])

    samples = _samples(generator, photographs, generated, others, belonging, per_other, seed)
    scores = collect_scores(samples, score_of, total, on_image)
    kinds = [f"{len(photographs)} photographs"] if photographs else []
    kinds += [f"{per_other} images of {other.name}" for other in others]
    profile = Profile(
        fingerprint=generator.fingerprint,
        autoencoder=generator.name,
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
        notes=(*scores.notes, f"{' and '.join(kinds)} stand for what does not belong"),
    )
    return with_rules(profile)


def profile_from_inversions(
    belonging: InputInversion,
    others: InputInversion,
    complexity: Complexity = "entropy",
    *,
    fpr: float = 0.01,
    fnr: float = 0.01,
) -> Profile:
    """A profile from inversions already made: of images the generator made, and of images it did not make.

    Raises :class:`InvalidSettingError` unless both come from one generator with the same settings and hold at least
    five images each that are not flat.
    """
    if not (0 < fpr < 1 and 0 < fnr < 1):
        raise InvalidSettingError(f"fpr and fnr must lie between 0 and 1, got {fpr} and {fnr}.")
    settings = inversion_settings(belonging, complexity)
    if (others.fingerprint, inversion_settings(others, complexity)) != (belonging.fingerprint, settings):
        raise InvalidSettingError(
            "The belonging and the other images were inverted with different generators or settings: use one for both."
        )
    sides = [*belonging.images.shape[-2:], *others.images.shape[-2:]]
    collected = CollectedScores(len(belonging) + len(others))
    for inversion, scores in ((belonging, collected.belonging), (others, collected.non_belonging)):
        for index in range(len(inversion)):
            try:
                scores.append(calibrated_loss(inversion, index, complexity))
            except InvalidImageError:  # flat: nothing to judge by
                collected.skipped += 1
    check_enough(collected)
    profile = Profile(
        fingerprint=belonging.fingerprint,
        autoencoder=belonging.autoencoder,
        score=RONAN,
        score_settings=settings,
        quantiser="auto",
        decode_path="given in a graph",
        condition=CLEAN,
        image_sizes=(min(sides), max(sides)),
        calibrated_on=f"{len(belonging)} belonging and {len(others)} other images given in a graph",
        belonging_scores=tuple(collected.belonging),
        non_belonging_scores=tuple(collected.non_belonging),
        non_belonging_sources=("given as other",) * len(collected.non_belonging),
        fpr=fpr,
        fnr=fnr,
        notes=tuple(collected.notes),
    )
    return with_rules(profile)


def inversion_settings(inversion: InputInversion, complexity: Complexity) -> dict[str, Setting]:
    """The score settings that an inversion was made with."""
    starts = len(inversion.start_losses[0]) if inversion.start_losses else 0
    return score_settings(complexity, inversion.solver, inversion.steps, starts, inversion.seed, inversion.prior)


def _samples(
    generator: Generator,
    photographs: Sequence[Tensor],
    generated: Sequence[Tensor],
    others: Sequence[Generator],
    belonging: int,
    per_other: int,
    seed: int,
) -> Iterator[Sample]:
    for picture in generated:
        yield Sample("really generated", True, _of_size(picture, generator))
    for number in range(belonging):
        yield Sample("generated", True, made_image(generator, number, seed))
    for photograph in photographs:
        yield Sample("photograph", False, _of_size(photograph, generator))
    for other in others:
        for number in range(per_other):
            yield Sample(f"generated by {other.name}", False, made_image(other, number, seed))


@torch.no_grad()
def made_image(generator: Generator, number: int, seed: int = 0) -> Tensor:
    """Image ``number`` that ``generator`` makes from ``seed``, ``[1,3,H,W]``, as stored by rounding (even) or floor."""
    with torch.inference_mode(False):
        # Numbers become seeds of single inputs: nothing before this one has to be drawn.
        inputs = generator.sample_inputs(1, (SAMPLES + seed) * 1_000_000 + number)
        return quantise(generator.generate(inputs).cpu().float(), "round" if number % 2 == 0 else "floor")


def _of_size(picture: Tensor, generator: Generator) -> Tensor | None:
    """The central part of ``picture`` in the generator's size, never resampled; ``None`` where it is too small."""
    height, width = generator.image_size
    try:
        pixels = check_images(picture)
    except InvalidImageError:
        return None
    top, left = (pixels.shape[-2] - height) // 2, (pixels.shape[-1] - width) // 2
    if top < 0 or left < 0:
        return None
    return quantise(check_size(pixels[..., top : top + height, left : left + width], generator))
