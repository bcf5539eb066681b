"""From a score to an answer, never more certain than its calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import InvalidSettingError
from ..images.conditions import CLEAN, NO_JPEG, jpeg_quality_of
from ..profiles import Profile, calibration_words
from ..profiles.grubbs import grubbs_threshold
from ..profiles.thresholds import shown_rate
from .doubt import JPEG, History, doubt_about

Answer = Literal["belonging", "non-belonging", "inconclusive"]

# What rates were measured on.
THIS_DECODER, OTHER_DECODERS, SEVERAL_DECODERS = "this decoder", "other decoders", "several decoders"
# The stage of a picture that got no score.
NOT_SCORED = "not scored"
LIMITS = (
    "This names the decoder, not the checkpoint: models that share a VAE cannot be told apart, a photo passed through"
    " this VAE does belong to it, and resizing, off-grid crops or JPEG weaken the trace."
)


@dataclass(frozen=True)
class Verdict:
    """An answer about one image with all that is needed to judge it.

    ``fpr`` is the false-positive rate of a ``belonging`` answer on average over calibrations, ``fpr_bound`` what it
    is at most under this one with 95 % confidence; ``fnr`` and ``fnr_bound`` the same of a ``non-belonging``
    answer. ``p_value``: how often an image that does not belong scores this low; ``belonging_p_value``: how often
    one that belongs scores this high. All are ``None`` when nothing was measured that could support them.
    ``threshold``: belonging lies below it. ``jpeg_quality``: of a JPEG file the picture once was, where its pixels
    were asked and show one. ``calibration``: whose it is, "shipped", "made on this machine" or "handed over", for a
    default profile "5 other decoders", for a yes at another placement "5 decoders together" or, where this is none of
    them, "5 other decoders together", empty without one. ``power``: before a no, the score of this decoder's own
    version of the picture; ``state``: what shows of what happened to the picture since it was made. ``fpr_basis``:
    whether the rates were measured on "this decoder", on "other decoders", or on "several decoders" together, empty
    without rates.
    """

    answer: Answer
    score: float
    basis: str
    threshold: float | None = None
    p_value: float | None = None
    fpr: float | None = None
    condition: str = "clean 8-bit"
    stage: str = "inversion"
    limits: str = LIMITS
    subject: str = "decoder"
    jpeg_quality: int | None = None
    fnr: float | None = None
    fpr_bound: float | None = None
    fnr_bound: float | None = None
    belonging_p_value: float | None = None
    calibration: str = ""
    power: float | None = None
    state: tuple[str, ...] = ()
    fpr_basis: str = ""

    @property
    def rate_words(self) -> str:
        """The rate that matters for the answer: "false-negative rate 1.4 % on average, with 95 % confidence at …".

        For a no the false-negative rate; else the false-positive one.
        """
        if self.answer == "non-belonging":
            return f"false-negative rate {shown_rate(self.fnr, self.fnr_bound)}"
        return f"false-positive rate {shown_rate(self.fpr, self.fpr_bound)}"

    @property
    def sentence(self) -> str:
        """The answer in one line, with its error rate and whose calibration it rests on."""
        if self.answer == "inconclusive":
            return f"Inconclusive: {self.basis}"
        yes = self.answer == "belonging"
        p_value = self.p_value if yes else self.belonging_p_value
        p = "" if p_value is None else f", p = {p_value:.3g}"
        whose = f"; {calibration_words(self.calibration)}" if self.calibration else ""
        if self.fpr_basis in (OTHER_DECODERS, SEVERAL_DECODERS):
            whose = f"; measured on {self.calibration}{', not on this one' if self.is_borrowed else ''}"
        does = "belongs" if yes else "does not belong"
        return f"The image {does} to this {self.subject} ({self.basis}; {self.rate_words}{p}{whose})."

    @property
    def is_borrowed(self) -> bool:
        """Whether what the answer rests on was measured on other decoders, not on this one."""
        return self.fpr_basis == OTHER_DECODERS or self.fpr_basis == SEVERAL_DECODERS and " other " in self.calibration

    @property
    def line(self) -> str:
        """The :attr:`sentence` behind the answer in capitals."""
        return f"{self.answer.upper()}: {self.sentence.removeprefix('Inconclusive: ')}"


def verdict_from_threshold(loss: float, threshold: float | None) -> Verdict:
    """LatentTracer's rule with a hand-given threshold: belonging iff ``loss`` < ``threshold``.

    Without one the answer is inconclusive: a reconstruction loss says more about the picture than about its origin.
    Raises :class:`InvalidSettingError` for a loss that is not finite and a threshold that is not positive.
    """
    _check_score(loss)
    if threshold is None:
        return Verdict("inconclusive", loss, "no calibration for this decoder, give a threshold or a profile.")
    if not math.isfinite(threshold) or threshold <= 0:
        raise InvalidSettingError(f"The threshold must be a positive number, got {threshold}.")
    answer: Answer = "belonging" if loss < threshold else "non-belonging"
    return Verdict(answer, loss, f"loss {loss:.3g} against the given threshold {threshold:.3g}", threshold)


def verdict_from_losses(loss: float, belonging_losses: Sequence[float], alpha: float = 0.05) -> Verdict:
    """RONAN's rule: non-belonging iff ``loss`` is a one-sided Grubbs outlier among losses of known belonging images.

    ``alpha`` bounds the rate at which belonging images are refused; how often others pass is not known from them.
    Raises :class:`InvalidSettingError` for losses that are not finite or too few.
    """
    _check_score(loss)
    threshold = grubbs_threshold(belonging_losses, alpha)
    answer: Answer = "belonging" if loss < threshold else "non-belonging"
    basis = f"Grubbs test at {alpha:g} on {len(belonging_losses)} belonging losses, threshold {threshold:.3g}"
    return Verdict(answer, loss, basis, threshold)


def verdict_from_profile(
    score: float,
    profile: Profile,
    stage: str = "double reconstruction",
    *,
    shortest_side: int | None = None,
    lossy: bool = False,
    history: History | None = None,
    file_format: str = "",
) -> Verdict:
    """Belonging if the profile accepts the score, which other images reach at no more than the stated false-positive
    rate; non-belonging if it refuses it, likewise by the false-negative rate; inconclusive between, and for both.

    Inconclusive too where the profile does not apply: an image whose ``shortest_side`` (pixels) is below those
    calibrated on, whose scores scatter more, and a ``lossy`` file under a profile for clean images, or for JPEG if its
    ``file_format`` (Pillow's name) is another. There a yes stands if pictures out of lossy files were among the others:
    a loss weakens the trace but does not make one. And where the picture's ``history`` gives ground to
    :func:`doubt <latent_tracer.core.verdicts.doubt.doubt_about>` the answer. Raises :class:`InvalidSettingError` for a
    score that is not finite.
    """
    _check_score(score)
    jpeg = None if history is None else history.jpeg_quality
    profile = profile.like(jpeg)
    p_value, belonging_p = profile.p_value(score), profile.belonging_p_value(score)
    answer: Answer = "inconclusive"
    basis = (
        f"{shown_rate(p_value)} of other images score as low and {shown_rate(belonging_p)} of belonging images as high"
        " as this one, neither is rare enough."
    )
    rare_among_others, rare_among_belonging = profile.accepts(score), profile.refuses(score)
    if rare_among_others and rare_among_belonging:
        basis = (
            f"score {score:.3g} is rarely as low among other images and rarely as high among belonging ones,"
            " it fits neither."
        )
    elif rare_among_others:
        answer = "belonging"
        basis = (
            f"score {score:.3g} is lower than that of {shown_rate(1 - p_value)} of the other images, whatever their"
            " source"
        )
    elif rare_among_belonging:
        answer = "non-belonging"
        basis = f"score {score:.3g} is higher than that of {shown_rate(1 - belonging_p)} of belonging images"
    if shortest_side is not None and shortest_side < profile.image_sizes[0]:
        answer = "inconclusive"
        basis = (
            f"its shortest side is {shortest_side} pixels, the profile was calibrated on {profile.image_sizes[0]} and"
            " more: calibrate on images of this size."
        )
    elif (
        lossy
        and (profile.condition == CLEAN or (jpeg is None and is_other_format(file_format, profile.condition)))
        and not (answer == "belonging" and profile.covers_lossy_files)
    ):
        answer = "inconclusive"
        basis = (
            f"the file format is lossy (JPEG, WebP …) and the profile holds for {profile.condition} images: calibrate"
            " for such files (latent-tracer calibrate does for JPEG unless told otherwise, for WebP with --condition"
            " webp-90)."
        )
    doubt = None if history is None else doubt_about(answer, history, profile, file_format)
    if doubt is not None:
        answer, basis = "inconclusive", doubt
    return Verdict(
        answer,
        score,
        basis,
        p_value=p_value,
        fpr=profile.stated_fpr,
        condition=profile.condition,
        stage=stage,
        jpeg_quality=jpeg,
        fnr=profile.stated_fnr,
        fpr_bound=profile.fpr_bound,
        fnr_bound=profile.fnr_bound,
        belonging_p_value=belonging_p,
        calibration=profile.calibration,
        fpr_basis=THIS_DECODER,
        state=() if history is None else history.findings,
    )


def is_other_format(file_format: str, condition: str) -> bool:
    """Whether a lossy file of that format is none of those that a ``condition`` of JPEG stands for."""
    return file_format not in ("", JPEG) and jpeg_quality_of(condition) != NO_JPEG


def verdict_from_default_profile(
    score: float,
    profile: Profile,
    stage: str,
    *,
    is_recognised: bool,
    check: str,
    shortest_side: int | None = None,
    lossy: bool = False,
    history: History | None = None,
) -> Verdict:
    """The answer for a decoder that nobody calibrated, by a ``profile`` of other decoders, whose rates it states.

    What other pictures score hardly depends on the decoder, what its own score does: only where it recognises its own
    work (``is_recognised``, ``check`` in words) is there an answer. Arguments else as for :func:`verdict_from_profile`.
    """
    judged = verdict_from_profile(score, profile, stage, shortest_side=shortest_side, lossy=lossy, history=history)
    if is_recognised:
        return replace(judged, fpr_basis=OTHER_DECODERS, calibration=f"{decoders_of(profile)} other decoders")
    basis = (
        f"nobody calibrated this decoder, and it recognises {check}, too few for an answer without a calibration:"
        " calibrate it on photographs."
    )
    return Verdict(
        "inconclusive",
        score,
        basis,
        p_value=judged.p_value,
        condition=judged.condition,
        stage=stage,
        jpeg_quality=judged.jpeg_quality,
        state=judged.state,
    )


def decoders_of(profile: Profile) -> int:
    """How many decoders a default profile was measured on: each is a source of its own."""
    return sum(source.kind == "decoded" for source in profile.belonging)


def _check_score(score: float) -> None:
    if not math.isfinite(score):
        raise InvalidSettingError(f"The score is {score}, no verdict can rest on it: trace the image again.")
