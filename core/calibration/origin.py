"""Calibrate RONAN's score for one generator: from images it makes itself, and images it did not make."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from ..errors import InvalidImageError, InvalidSettingError
from ..images.conditions import CLEAN, alter
from ..images.quantiser import quantise
from ..images.same_picture import SeenPictures
from ..images.tensors import check_images
from ..inversion.inputs import InputInversion, check_size
from ..models.generator import Generator, check_generator
from ..models.weight_digest import same_weights
from ..profiles import MADE_HERE, Profile
from ..scores.ronan import RONAN, CalibratedLoss, Complexity, calibrated_loss, inversion_settings
from .latents import distinct_names, left_out_notes
from .pictures import MIN_IMAGES, GivenPicture, IndependentPictures, check_rates
from .scores import CalibrationStep, CollectedScores, Sample, check_enough, collect_scores

#: Added to the calibration seed, so that belonging samples are never the starts of their own inversion.
SAMPLES = 1_000_003


def calibrate_origin(
    score: CalibratedLoss,
    photographs: Iterable[GivenPicture],
    *,
    others: Sequence[Generator] = (),
    belonging: int = 100,
    generated: Iterable[GivenPicture] = (),
    condition: str = CLEAN,
    fpr: float = 0.01,
    fnr: float = 0.01,
    guarantee: float | None = None,
    seed: int = 0,
    calibrated_on: str = "",
    on_image: Callable[[CalibrationStep], None] | None = None,
) -> Profile:
    """Score ``belonging`` images that the generator makes from ``seed``, and images that it did not make.

    ``photographs`` ``[1,3,H,W]`` in [0,1] of at least the generator's size count as non-belonging by their central
    part; so do as many images of each of the ``others`` as there are photographs (or ``belonging``, without any).
    ``generated`` are further pictures it really made. Images are stored as 8 bit by rounding and truncation in turn
    and altered by ``condition``. Pictures are read one by one and copies count once. What cannot be scored is left out
    and noted. ``guarantee`` as for :func:`.latents.calibrate`. ``on_image`` cancels by raising. Raises
    :class:`InvalidSettingError` for too few images, impossible rates or a condition that changes the image size.
    """
    generator = score.generator
    check_generator(generator)
    check_rates(fpr, fnr, guarantee)
    if belonging < MIN_IMAGES:
        raise InvalidSettingError(f"Calibration needs at least {MIN_IMAGES} belonging images, got {belonging}.")
    photos = IndependentPictures(photographs, lambda picture: _of_size(picture, generator))
    made = IndependentPictures(generated, lambda picture: _of_size(picture, generator), 2 * 10**9)
    # Photographs are a source of their own, and a few of them would set the rate: enough, or none.
    entries = photos.at_least(0 if photos.expected == 0 else MIN_IMAGES, fpr, guarantee)
    others = [other for other in others if not same_weights(other.fingerprint, generator.fingerprint)]
    if photos.expected == 0 and not others:
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
    total = None
    if photos.expected is not None and made.expected is not None:
        per_other = photos.expected or belonging
        total = belonging + made.expected + photos.expected + per_other * len(others)

    def score_of(_: CollectedScores, sample: Sample) -> tuple[float, tuple[int, int]]:
        assert sample.pixels is not None
        altered = alter(sample.pixels, condition)
        if altered.shape != sample.pixels.shape:
            raise InvalidSettingError(
                f"The condition {condition} changes the image size, which a generator of one size cannot be inverted"
                " for: choose one that keeps it."
            )
        return score(altered).value, (altered.shape[-2], altered.shape[-1])

    scores = CollectedScores(condition)
    samples = itertools.chain(
        (Sample("generated", True, number, picture) for number, picture in made),
        (Sample("generated", True, 10**9 + k, made_image(generator, k, seed)) for k in range(belonging)),
        (Sample("photograph", False, number, picture) for number, picture in entries),
        # Read when all photographs have been.
        _made_by(others, lambda: photos.read or belonging, seed),
    )
    collect_scores(((scores, sample) for sample in samples), score_of, total, on_image)
    check_enough(scores)
    kinds = [f"{photos.counted} photographs"] if photos.counted else []
    kinds += [f"{photos.read or belonging} images of {other.name}" for other in others]
    return Profile(
        fingerprint=generator.fingerprint,
        autoencoder=generator.name,
        score=score.name,
        score_settings=dict(score.settings),
        condition=condition,
        image_sizes=scores.image_sizes,
        calibrated_on=calibrated_on or " and ".join(kinds),
        belonging=scores.sources(True),
        others=scores.sources(False),
        pictures_given=photos.read + made.read,
        pictures_counted=photos.counted + made.counted,
        fpr=fpr,
        fnr=fnr,
        guarantee=guarantee,
        notes=(
            *scores.notes,
            *left_out_notes(photos, made),
            f"{' and '.join(kinds)} stand for what does not belong",
        ),
        calibration=MADE_HERE,
    )


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
    check_rates(fpr, fnr, None)
    settings = inversion_settings(belonging, complexity)
    if (others.fingerprint, inversion_settings(others, complexity)) != (belonging.fingerprint, settings):
        raise InvalidSettingError(
            "The belonging and the other images were inverted with different generators or settings: use one for both."
        )
    collected, different = CollectedScores(CLEAN), [0, 0]
    for inversion, belongs in ((belonging, True), (others, False)):
        seen = SeenPictures()
        for index in range(len(inversion)):
            sample = Sample("generated" if belongs else "other", belongs, index, None)
            try:
                # Copies are no independent evidence.
                if not seen.number_of(inversion.images[index : index + 1])[1]:
                    continue
                value = calibrated_loss(inversion, index, complexity)
                collected.add(sample, value, (inversion.images.shape[-2], inversion.images.shape[-1]))
                different[not belongs] += 1
            except InvalidImageError:  # flat: nothing to judge by
                collected.skipped += 1
    check_enough(collected)
    copies = len(belonging) + len(others) - sum(different) - collected.skipped
    return Profile(
        fingerprint=belonging.fingerprint,
        autoencoder=belonging.autoencoder,
        score=RONAN,
        score_settings=settings,
        condition=CLEAN,
        image_sizes=collected.image_sizes,
        calibrated_on=f"{different[0]} belonging and {different[1]} other images given in a graph",
        belonging=collected.sources(True),
        others=collected.sources(False),
        pictures_given=len(belonging) + len(others),
        pictures_counted=collected.scored,
        fpr=fpr,
        fnr=fnr,
        notes=(*collected.notes, *([f"{copies} pictures repeat others and were left out"] if copies else [])),
        calibration=MADE_HERE,
    )


def _made_by(others: Sequence[Generator], count: Callable[[], int], seed: int) -> Iterator[Sample]:
    names = distinct_names(others)
    for name, other in zip(names, others, strict=True):
        for number in range(count()):
            yield Sample("generated", False, number, made_image(other, number, seed), decoder=name)


@torch.no_grad()
def made_image(generator: Generator, number: int, seed: int = 0) -> Tensor:
    """Image ``number`` that ``generator`` makes from ``seed``, ``[1,3,H,W]``, as stored by rounding (even) or floor."""
    with torch.inference_mode(False):
        # Numbers become seeds of single inputs: nothing before this one has to be drawn.
        inputs = generator.sample_inputs(1, (SAMPLES + seed) * 1_000_000 + number)
        return quantise(generator.generate(inputs).cpu().float(), "round" if number % 2 == 0 else "floor")


def _of_size(picture: Tensor, generator: Generator) -> Tensor:
    """The central part of ``picture`` in the generator's size, never resampled."""
    height, width = generator.image_size
    pixels = check_images(picture)
    top, left = (pixels.shape[-2] - height) // 2, (pixels.shape[-1] - width) // 2
    if top < 0 or left < 0:
        raise InvalidImageError(f"The picture is smaller than the generator's {width}×{height} pixels.")
    return quantise(check_size(pixels[..., top : top + height, left : left + width], generator))
