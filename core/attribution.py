"""Which of several decoders made an image, or none of them.

Each decoder answers through its own profile, so its scores become p-values on one common scale. Being the least
unlikely candidate is no evidence: an image is attributed only if exactly one candidate accepts it, or one accepts it
far more clearly than the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import InvalidSettingError
from .profile import Profile
from .verdict import Verdict, verdict_from_profile

# Two accepting candidates whose scores, in units of their belonging spread, lie closer than this are a tie.
TIE_MARGIN = 1.0


@dataclass(frozen=True)
class Candidate:
    """One decoder's answer: ``standing`` is its score in robust deviations above its own belonging median."""

    name: str
    verdict: Verdict
    standing: float


@dataclass(frozen=True)
class Attribution:
    """``vae`` names the decoder, or is ``None`` when none or more than one explains the image (``tied``)."""

    vae: str | None
    candidates: tuple[Candidate, ...]
    tied: tuple[str, ...]
    reason: str


def standing(score: float, profile: Profile) -> float:
    """(score − median) / (1.4826·MAD) among the profile's belonging scores: comparable between decoders."""
    scores = np.asarray(profile.belonging_scores)
    median = float(np.median(scores))
    deviation = 1.4826 * float(np.median(np.abs(scores - median)))
    return (score - median) / max(deviation, 1e-9)


def attribute(scores: Sequence[tuple[str, float, Profile]]) -> Attribution:
    """Decide among candidates given as (name, score, profile) for one image.

    With m candidates each accepts at its stated rate divided by m (Bonferroni), so that the rate at which an image of
    none of them is attributed stays at the largest stated rate. Raises :class:`InvalidSettingError` for no candidates.
    """
    if not scores:
        raise InvalidSettingError("Attribution needs at least one candidate: give --vae or connect a VAE.")
    candidates = sorted(
        (
            Candidate(name, verdict_from_profile(score, profile), standing(score, profile))
            for name, score, profile in scores
        ),
        key=lambda candidate: candidate.standing,
    )
    # A profile of n images cannot show a rate below 1/(n+1): there the correction stops at "lower than all others".
    accepting = [
        candidate
        for candidate in candidates
        for name, score, profile in scores
        if name == candidate.name
        and candidate.verdict.answer == "belonging"
        and profile.p_value(score) <= max(profile.stated_fpr / len(scores), 1 / (len(profile.non_belonging_scores) + 1))
    ]
    ordered = tuple(candidates)
    if not accepting:
        if any(candidate.verdict.answer == "inconclusive" for candidate in candidates):
            return Attribution(None, ordered, (), "no candidate is certain, and not all can be ruled out")
        return Attribution(None, ordered, (), "none of the candidates made this image")
    first, rest = accepting[0], accepting[1:]
    close = [candidate.name for candidate in rest if candidate.standing - first.standing < TIE_MARGIN]
    if close:
        tied = (first.name, *close)
        return Attribution(None, ordered, tied, f"{' and '.join(tied)} explain it equally well")
    return Attribution(first.name, ordered, (), f"{first.name} explains it: {first.verdict.basis}")
