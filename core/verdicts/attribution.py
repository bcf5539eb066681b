"""Which of several decoders made an image, or none of them.

Each decoder answers through its own profile, so its scores become p-values on one common scale. Being the least
unlikely candidate is no evidence: an image is attributed only if exactly one candidate accepts it, or one accepts it
far more clearly than the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidSettingError
from ..profiles import Profile
from ..scores.contrast_map import ContrastMap
from .doubt import History
from .paired import Paired, paired
from .verdict import SEVERAL_DECODERS, Verdict

# Two accepting candidates whose scores, in units of their belonging spread, lie closer than this are a tie:
# within one spread either may be the nearer by chance.
TIE_MARGIN = 1.0
# Of the two-sided test on pairs of blocks that may break a tie, and by how much the winner's contrast must be lower: a
# decoder that was fine-tuned for a few steps shows less of a grid in its own pictures than the original does, by up to
# 0.057 in thirteen (benchmarks/results/relatives.md).
PAIR_LEVEL, PAIR_MARGIN = 0.001, 0.1


@dataclass(frozen=True)
class Candidate:
    """One decoder's answer: ``standing`` is its score in robust deviations above its own belonging median, ``level``
    the p-value that it must reach for the image to be attributed to it.
    """

    name: str
    verdict: Verdict
    standing: float
    level: float = 1.0

    def record(self) -> dict[str, Any]:
        """For JSON; fields are a promise: added, never renamed."""
        verdict = self.verdict
        return {
            "vae": self.name,
            "verdict": verdict.answer,
            "score": verdict.score if math.isfinite(verdict.score) else None,
            "p_value": verdict.p_value,
            "standing": self.standing if math.isfinite(self.standing) else None,
            "basis": verdict.basis,
            "fpr": verdict.fpr,
            "fpr_bound": verdict.fpr_bound,
            "fnr": verdict.fnr,
            "fnr_bound": verdict.fnr_bound,
            "belonging_p_value": verdict.belonging_p_value,
            "calibration": verdict.calibration,
            "condition": verdict.condition,
            "stage": verdict.stage,
            "jpeg_quality": verdict.jpeg_quality,
        }


@dataclass(frozen=True)
class Attribution:
    """``vae`` names the decoder, or is ``None`` when none or more than one explains the image (``tied``).

    ``fpr`` bounds how often an image of none of the candidates is attributed to one.
    """

    vae: str | None
    candidates: tuple[Candidate, ...]
    tied: tuple[str, ...]
    reason: str
    fpr: float = 1.0


def attribution_record(image: str, result: Attribution) -> dict[str, Any]:
    """The JSON object of one attributed image, the path as it was found. Fields are a promise: added, never renamed."""
    return {
        "image": image,
        "vae": result.vae,
        "reason": result.reason,
        "tied": list(result.tied),
        "candidates": [candidate.record() for candidate in result.candidates],
        "fpr": result.fpr,
    }


def standing(score: float, profile: Profile) -> float:
    """(score - median) / (1.4826·MAD) among the profile's belonging scores: comparable between decoders."""
    scores = np.asarray(profile.belonging_scores)
    median = float(np.median(scores))
    deviation = 1.4826 * float(np.median(np.abs(scores - median)))
    return (score - median) / max(deviation, 1e-9)


@dataclass(frozen=True)
class Judged:
    """One candidate's ``verdict`` on the picture, the ``profile`` it rests on, the picture's ``history``, and
    where in the picture the trace shows, unless it is ruled out."""

    name: str
    verdict: Verdict
    profile: Profile
    history: History | None = None
    contrasts: ContrastMap | None = None


def decide(candidates: Sequence[Judged]) -> Attribution:
    """Decide among candidates that were judged on one image.

    With m candidates each accepts at its stated rate divided by m (Bonferroni), so that the rate at which an image of
    none of them is attributed stays at the largest stated rate. A profile of n images cannot show a rate below
    1/(n+1): there the correction stops at "lower than all others", and the result's ``fpr`` says what it comes to.
    A candidate that could not score the image is not ruled out.
    Raises :class:`InvalidSettingError` for no candidates.
    """
    if not candidates:
        raise InvalidSettingError("Attribution needs at least one candidate: give --vae or connect a VAE.")
    profiles = [one.profile.like(one.history.jpeg_quality if one.history else None) for one in candidates]
    levels = [max(p.stated_fpr / len(candidates), p.smallest_p_value) for p in profiles]
    # Where one was recognised at another placement, all were looked for there.
    elsewhere = max(
        (one.verdict.fpr or 0.0 for one in candidates if one.verdict.fpr_basis == SEVERAL_DECODERS), default=0
    )
    fpr = min(1.0, sum(levels) + len(candidates) * elsewhere)
    judged = []
    for one, level in zip(candidates, levels, strict=True):
        score = one.verdict.score
        place = standing(score, one.profile) if math.isfinite(score) else math.inf
        judged.append(Candidate(one.name, one.verdict, place, level))
    judged.sort(key=lambda candidate: candidate.standing)
    ordered = tuple(judged)
    possible = [candidate for candidate in ordered if candidate.verdict.answer != "non-belonging"]
    accepting = [c for c in judged if c.verdict.answer == "belonging" and _p_value(c) <= c.level]
    if not possible:
        return Attribution(None, ordered, (), "none of the candidates made this image", fpr)
    if not accepting:
        return Attribution(None, ordered, (), "no candidate is certain, and not all can be ruled out", fpr)
    first = accepting[0]
    maps = {one.name: one.contrasts for one in candidates}
    # A candidate that is merely not ruled out ties too: it may have made the image and only be hard to recognise. So
    # does every other one that can be compared on the pixels, for relatives accept each other's pictures. Where one was
    # recognised at another placement their scores say different things: whoever is not ruled out there ties.
    rivals = [
        other
        for other in possible
        if other is not first
        and (
            _typical(other) - _typical(first) < TIE_MARGIN
            or _pair(maps, first, other) is not None
            or SEVERAL_DECODERS in (first.verdict.fpr_basis, other.verdict.fpr_basis)
        )
    ]
    if not rivals:
        return Attribution(first.name, ordered, (), f"{first.name} explains it: {first.verdict.basis}", fpr)
    for best in (first, *(rival for rival in rivals if rival in accepting)):
        beaten = [_pair(maps, best, other) for other in (first, *rivals) if other is not best]
        if all(pair is not None and pair.difference < -PAIR_MARGIN and pair.p_value < PAIR_LEVEL for pair in beaten):
            largest = max(pair.p_value for pair in beaten if pair is not None)
            reason = (
                f"{best.name} explains it: of {len(beaten) + 1} that might have made it, it does so best on the same"
                f" pixels (pairs of blocks, p = {largest:.2g})"
            )
            return Attribution(best.name, ordered, (), reason, fpr)
    tied = (first.name, *(candidate.name for candidate in rivals))
    return Attribution(None, ordered, tied, f"{' and '.join(tied)} explain it equally well", fpr)


def _pair(maps: Mapping[str, ContrastMap | None], one: Candidate, other: Candidate) -> Paired | None:
    first, second = maps[one.name], maps[other.name]
    return None if first is None or second is None else paired(first, second)


def _p_value(candidate: Candidate) -> float:
    """Without one nothing is known for the candidate."""
    return 1.0 if candidate.verdict.p_value is None else candidate.verdict.p_value


def _typical(candidate: Candidate) -> float:
    """The standing, or 0 below it: a score under the belonging median is as typical as the median."""
    return max(candidate.standing, 0.0)
