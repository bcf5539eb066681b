"""Origin attribution for any generator (RONAN, NeurIPS 2023): calibrate once, then judge images.

The calibrated loss takes the place of the decoder's score; profiles, conformal p-values and the inconclusive answer are
those of the main job. The paper's own rule, Grubbs' test on belonging scores alone, is reported beside: it bounds how
often belonging images are refused, and says nothing about how often others pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .calibrated_loss import RONAN, CalibratedLoss
from .calibration import MIN_IMAGES, CalibrationStep, Sample, collect_scores, with_rules
from .conditions import CLEAN, alter
from .errors import InvalidImageError, InvalidSettingError
from .generator import Generator, check_generator
from .images import check_images
from .input_inversion import InputInversion, check_size
from .profile import InvalidProfileError, Profile
from .quantiser import quantise
from .verdict import Verdict, verdict_from_losses, verdict_from_profile, verdict_from_threshold

GRUBBS_ALPHA = 0.05
LIMITS = (
    "This names a set of weights by the images it can make: a generator whose range holds nearly every image (as large"
    " an input as its image, or a VAE decoder) cannot be told from others this way, an image it could have made counts"
    " as made by it, and resizing, cropping or JPEG hide the origin unless calibrated for."
)
#: Added to the calibration seed, so that belonging samples are never the starts of their own inversion.
SAMPLES = 1_000_003


@dataclass(frozen=True)
class OriginVerdict:
    """The answer with its stated false-positive rate, and the paper's test beside it.

    ``grubbs`` is Grubbs' answer at level 0.05 on the same belonging scores; ``None`` without any.
    """

    verdict: Verdict
    grubbs: Verdict | None = None


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
                f"{other.name} makes images of another size than {generator.name}: it is no source to compare with."
            )
    per_other = len(photographs) or belonging
    total = belonging + len(generated) + len(photographs) + per_other * len(others)

    def score_of(pixels: Tensor) -> tuple[float, tuple[int, int]]:
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


def check_origin_profile(profile: Profile, score: CalibratedLoss) -> None:
    """Raise :class:`InvalidProfileError` unless ``profile`` was made for this generator with these settings."""
    if profile.score != RONAN:
        raise InvalidProfileError(
            f"The profile holds {profile.score} scores of an autoencoder, not those of a generator inverted from random"
            " starts: make one with `calibrate --generator`, or use this one with trace."
        )
    if profile.fingerprint != score.generator.fingerprint:
        raise InvalidProfileError(
            f"The profile was calibrated for the generator {profile.autoencoder} ({profile.fingerprint[:8]}), not for"
            f" {score.generator.name} ({score.generator.fingerprint[:8]}): calibrate this one, or load the profile's"
            " own generator."
        )
    profile.check(score.generator.fingerprint, score.name, dict(score.settings))


def score_for(generator: Generator, profile: Profile) -> CalibratedLoss:
    """The score that ``profile`` was calibrated with, for ``generator``; raises :class:`InvalidProfileError`."""
    kept = profile.score_settings if profile.score == RONAN else {}
    names = ("complexity", "starts", "seed", "solver", "steps")
    try:
        score = CalibratedLoss(generator, **{name: kept[name] for name in names if name in kept})
    except (InvalidSettingError, TypeError) as error:
        raise InvalidProfileError(f"The profile's settings do not fit {generator.name}: {error}") from None
    check_origin_profile(profile, score)
    return score


def judge_origin(value: float, profile: Profile | None, image: Tensor, *, lossy: bool = False) -> OriginVerdict:
    """The verdict on an image ``[1,3,H,W]`` whose calibrated loss is ``value``; inconclusive without a profile."""
    if profile is None:
        verdict = verdict_from_threshold(value, None)
        basis = "no calibration for this generator, give a profile."
        return OriginVerdict(_of_generator(dataclasses.replace(verdict, basis=basis)))
    verdict = verdict_from_profile(value, profile, "input inversion", shortest_side=min(image.shape[-2:]), lossy=lossy)
    grubbs = verdict_from_losses(value, profile.belonging_scores, GRUBBS_ALPHA)
    return OriginVerdict(_of_generator(verdict), _of_generator(grubbs))


def origin_report(inversion: InputInversion, index: int, judged: OriginVerdict) -> str:
    """Several lines of plain text about image ``index``: answer first, then figures, notes and limits."""
    verdict, passes = judged.verdict, inversion.passes[index]
    run = [loss for loss in inversion.start_losses[index] if loss != float("inf")]
    lines = [
        f"{verdict.answer.upper()}: {verdict.sentence}",
        f"image {index + 1} of {len(inversion)}, inspected generator: {inversion.autoencoder}"
        f" ({inversion.fingerprint})",
        f"assumed condition: {verdict.condition}; stored by: {inversion.quantiser[index]}",
        f"calibrated loss {verdict.score:.4g}; loss {float(inversion.loss[index]):.4g}, by start:"
        f" {', '.join(f'{loss:.3g}' for loss in run)} ({len(inversion.start_losses[index]) - len(run)} left out)",
        f"{inversion.solver} from {inversion.prior}, seed {inversion.seed}: {passes.decoder} generator and"
        f" {passes.backward} backward passes, {inversion.seconds[index]:.1f} s",
    ]
    if judged.grubbs is not None:
        lines.append(f"the paper's test: {judged.grubbs.answer} ({judged.grubbs.basis}; false-positive rate unknown)")
    return "\n".join([*lines, *(f"note: {note}" for note in inversion.notes), f"limits: {verdict.limits}"])


def _of_generator(verdict: Verdict) -> Verdict:
    return dataclasses.replace(verdict, limits=LIMITS, subject="generator", stage="input inversion")


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
