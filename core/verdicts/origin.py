"""Origin attribution for any generator (RONAN, NeurIPS 2023): from a calibrated loss to an answer.

The calibrated loss takes the place of the decoder's score; profiles, conformal p-values and the inconclusive answer are
those of the main job. The paper's own rule, Grubbs' test on belonging scores alone, is reported beside: it bounds how
often belonging images are refused, and says nothing about how often others pass.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from torch import Tensor

from ..errors import InvalidSettingError
from ..inversion.inputs import InputInversion
from ..models.generator import Generator
from ..models.weight_digest import same_weights
from ..profiles import InvalidProfileError, Profile
from ..scores.ronan import RONAN, CalibratedLoss, Complexity, inversion_settings
from .doubt import History
from .verdict import Verdict, verdict_from_losses, verdict_from_profile, verdict_from_threshold

# The paper's level; how it does here: benchmarks/results/origin.md.
GRUBBS_ALPHA = 0.05
ORIGIN_LIMITS = (
    "This names a set of weights by the images it can make: a generator whose range holds nearly every image (as large"
    " an input as its image, or a VAE decoder) cannot be told from others this way, an image it could have made counts"
    " as made by it, and resizing, cropping or JPEG hide the origin unless calibrated for."
)


@dataclass(frozen=True)
class OriginVerdict:
    """The answer with its stated false-positive rate, and the paper's test beside it.

    ``grubbs`` is Grubbs' answer at level 0.05 on the same belonging scores; ``None`` without any.
    """

    verdict: Verdict
    grubbs: Verdict | None = None


def check_inversion_profile(profile: Profile, inversion: InputInversion) -> Complexity:
    """The complexity that ``profile`` was calibrated with, if it fits the generator and settings of ``inversion``.

    Raises :class:`InvalidProfileError` otherwise.
    """
    _check_kind(profile)
    _check_generator(profile, inversion.fingerprint, inversion.autoencoder)
    for complexity in ("entropy", "none"):
        if profile.score_settings.get("complexity") == complexity:
            fitting: Complexity = complexity
            profile.check(inversion.fingerprint, RONAN, dict(inversion_settings(inversion, fitting)))
            return fitting
    raise InvalidProfileError(
        f"The profile divides by the {profile.score_settings.get('complexity')} complexity, which a trace alone does"
        " not have: calibrate with entropy or none."
    )


def check_origin_profile(profile: Profile, score: CalibratedLoss) -> None:
    """Raise :class:`InvalidProfileError` unless ``profile`` was made for this generator with these settings."""
    _check_kind(profile)
    _check_generator(profile, score.generator.fingerprint, score.generator.name)
    profile.check(score.generator.fingerprint, score.name, dict(score.settings))


def _check_kind(profile: Profile) -> None:
    if profile.score != RONAN:
        raise InvalidProfileError(
            f"The profile holds {profile.score} scores of an autoencoder, not those of a generator inverted from random"
            " starts: make one with `calibrate --generator`, or use this one with trace."
        )


def _check_generator(profile: Profile, digest: str, name: str) -> None:
    if not same_weights(profile.fingerprint, digest):
        raise InvalidProfileError(
            f"The profile was calibrated for the generator {profile.autoencoder} ({profile.fingerprint[:8]}), not for"
            f" {name} ({digest[:8]}): calibrate this one, or load the profile's own generator."
        )


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
    verdict = verdict_from_profile(
        value, profile, "input inversion", shortest_side=min(image.shape[-2:]), lossy=lossy, history=History.of(image)
    )
    grubbs = verdict_from_losses(value, profile.belonging_scores, GRUBBS_ALPHA)
    return OriginVerdict(_of_generator(verdict), _of_generator(grubbs))


def origin_report(inversion: InputInversion, index: int, judged: OriginVerdict) -> str:
    """Several lines of plain text about image ``index``: answer first, then figures, notes and limits."""
    verdict, passes = judged.verdict, inversion.passes[index]
    run = [loss for loss in inversion.start_losses[index] if loss != float("inf")]
    lines = [
        verdict.line,
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
    return dataclasses.replace(verdict, limits=ORIGIN_LIMITS, subject="generator", stage="input inversion")
