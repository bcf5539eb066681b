"""Which family of models made a picture: an answer of its own, never mixed up with that about a loaded VAE.

A family is all models whose pictures were decoded by one VAE or its close kin; no checkpoint is ever named. What the
tiny proxies show of it is faint, so most of what shows no trace cannot be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..profiles.families import Families, FamilyProxy
from ..profiles.thresholds import shown_rate
from ..scores.family_score import FamilyScore
from .doubt import History

FamilyAnswer = Literal["family", "none", "cannot tell"]
FAMILY_LIMITS = (
    "This names a family of models that share a VAE, never a checkpoint, and a photograph that went through such a VAE"
    " counts as its work. Whatever was resized, cropped off the grid or stored by a lossy format since cannot be told."
)


CANNOT = "Cannot tell which family made it"
# Kindred proxies see a little of each other's pictures. A demo decoder's show a sixth of their contrast in the other's.
CLEARLY = 2.0
# None is not said of what so few pictures of no such family show.
RARE = 0.05


@dataclass(frozen=True)
class ProxyScore:
    """What one proxy shows. ``evidence``: that in deviations, lower for pictures of its ``family``;
    ``p_value``: how often pictures of no such family score this low; ``shows``: whether that family's pictures show a
    trace through it at all; ``error_text``: why there is no score."""

    proxy: str
    family: str
    shows: bool
    contrast: float | None = None
    error: float | None = None
    evidence: float | None = None
    p_value: float | None = None
    error_text: str = ""

    def record(self) -> dict[str, Any]:
        """For JSON; fields are a promise: added, never renamed."""
        return {
            "family": self.family,
            "shows": self.shows,
            "contrast": self.contrast,
            "deviation": self.error,
            "evidence": self.evidence,
            "p_value": self.p_value,
            "error": self.error_text,
        }


@dataclass(frozen=True)
class FamilyVerdict:
    """``family``: the one that made the picture, ``None`` for none of those asked and where nothing can be told.

    ``p_value``: of that family times the number of families asked, at most 1 (Bonferroni); without one, of the lowest.
    ``fpr`` and ``fpr_bound``: how often a picture of none of them is said to be of one, on average and at most with
    95 % confidence; ``fnr``: how often a family's own picture is said to be of none. ``missing``: families that show
    a trace, whose proxy was not there.
    """

    answer: FamilyAnswer
    family: str | None
    basis: str
    p_value: float | None = None
    fpr: float | None = None
    fpr_bound: float | None = None
    fnr: float | None = None
    scores: tuple[ProxyScore, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        if self.answer == "family":
            return f"Made by a VAE of the {self.family} family"
        if self.answer == "none":
            return "Made by none of these families"
        return CANNOT

    @property
    def certainty(self) -> str:
        """One sentence: how often such an answer is wrong, or why there is none."""
        if self.answer == "family":
            return (
                f"Wrongly said of {shown_rate(self.fpr, self.fpr_bound)} of pictures of no such family"
                f" (p = {self.p_value:.2g}); it names no checkpoint."
            )
        if self.answer == "none":
            asked = " and ".join(one.family for one in self.scores if one.shows)
            return f"Not {asked}, if it is as it was saved: wrongly said of at most {shown_rate(self.fnr)} of each."
        return self.basis[:1].upper() + self.basis[1:]

    @property
    def lines(self) -> tuple[str, ...]:
        """Headline, certainty, and what it rests on."""
        reason = () if self.answer == "cannot tell" else (self.basis,)
        return (self.headline, self.certainty, *reason)


@dataclass(frozen=True)
class Shown:
    """One proxy's score of a picture, or in ``reason`` why it has none; ``name`` as the user calls the proxy."""

    known: FamilyProxy
    name: str
    score: FamilyScore | None
    reason: str = ""


def judge_family(
    shown: Sequence[Shown], families: Families, history: History, *, lossy: bool = False, whole_cells: bool = True
) -> FamilyVerdict:
    """The answer about one picture from the scores of the proxies that are there.

    ``history``: what its pixels show of its past; ``lossy``: its format may have altered them; ``whole_cells``: its
    sides are whole latent cells, as those of whatever a model saved. A family is named if it is accepted at its share
    of the rate, and shows :data:`CLEARLY` more than any other that is; none if each is refused, in a picture with no
    sign that it was altered.
    """
    asked = [one for one in shown if families.shows(one.known)]
    present = {one.known.family for one in shown}
    missing = tuple(one.family for one in families.proxies if one.family not in present and families.shows(one))
    tests = max(1, len(asked))
    scores = tuple(_scored(one, families) for one in shown)
    rates = [families.rate(one.known, tests) for one in asked]
    fpr = min(1.0, sum(average for average, _ in rates)) if rates else None
    bound = min(1.0, sum(one for _, one in rates)) if rates else None
    fnr = max((families.refused_level(one.known) for one in asked), default=None)
    by_family = {one.family: one for one in scores if one.shows and one.p_value is not None}
    lowest = min(by_family.values(), key=lambda one: (one.p_value or 0, one.evidence or 0), default=None)

    def answered(answer: FamilyAnswer, basis: str, family: str | None = None) -> FamilyVerdict:
        spoken = lowest if family is None else by_family[family]
        p_value = None if spoken is None or spoken.p_value is None else min(1.0, tests * spoken.p_value)
        return FamilyVerdict(answer, family, basis, p_value, fpr, bound, fnr, scores, missing)

    if not asked:
        return answered(
            "cannot tell",
            "none of the proxies that are there is one through which a family shows a trace.",
        )
    if lowest is None:
        return answered("cannot tell", next(one.reason for one in asked))
    own = [one for one in shown if one.score is not None and one.score.contrast < families.own_work]
    if own:
        return answered(
            "cannot tell",
            f"the trace of {' and '.join(one.name for one in own)} itself shows, stronger than in any picture of its"
            " family: the picture may be a preview that this tiny autoencoder decoded.",
        )
    altered = history.findings[0] if history.findings else "stored in a lossy format" if lossy else ""
    if altered:
        return answered(
            "cannot tell", f"the picture was altered since it was made ({altered}): ask about the first copy."
        )
    accepted = [
        one.known.family
        for one, (level, _) in zip(asked, rates, strict=True)
        if one.known.family in by_family and (by_family[one.known.family].p_value or 0) <= level + 1e-12
    ]
    accepted.sort(key=lambda one: by_family[one].evidence or 0)
    if accepted:
        first, *rest = (by_family[one] for one in accepted)
        if rest and (first.evidence or 0) > CLEARLY * (rest[0].evidence or 0):
            return answered(
                "cannot tell", f"the traces of {' and '.join(accepted)} show, none much more than the rest."
            )
        basis = f"through {first.proxy} the trace of this family shows at {-(first.evidence or 0):.1f} deviations"
        return answered("family", basis + (", more than twice any other" if rest else ""), first.family)
    if missing:
        return answered("cannot tell", f"no trace shows, but the proxies of {' and '.join(missing)} are missing.")
    if not whole_cells:
        return answered(
            "cannot tell",
            "no trace shows, but its sides are no whole latent cells: it was cut or resized, or no model of these"
            " families made it.",
        )
    refused = [
        one.score is not None
        and families.own_p_value(one.known, one.score.contrast, one.score.error)
        <= families.refused_level(one.known) + 1e-12
        for one in asked
    ]
    if all(refused) and (lowest.p_value or 0) <= RARE:
        return answered(
            "cannot tell",
            f"perhaps a weak trace of {lowest.family} shows: {lowest.p_value:.1%} of pictures of no such family show as"
            " much, too many for a yes and too few for a no.",
        )
    if all(refused):
        return answered("none", f"no trace shows; of each of these families' own at most {fnr:.0%} show as little.")
    return answered(
        "cannot tell", "no trace shows, but pictures of these families may hide it: the picture is small or smooth."
    )


def _scored(one: Shown, families: Families) -> ProxyScore:
    shows = families.shows(one.known)
    if one.score is None:
        return ProxyScore(one.name, one.known.family, shows, error_text=one.reason)
    evidence = families.evidence(one.known, one.score.contrast, one.score.error, one.score.bands)
    p_value = families.p_value(one.known, evidence)
    return ProxyScore(one.name, one.known.family, shows, one.score.contrast, one.score.error, evidence, p_value)


def family_record(image: str, verdict: FamilyVerdict) -> dict[str, Any]:
    """For JSON; fields are a promise: added, never renamed."""
    return {
        "image": image,
        "family": verdict.family,
        "p_value": verdict.p_value,
        "fpr": verdict.fpr,
        "scores": {one.proxy: one.record() for one in verdict.scores},
        "basis": verdict.basis,
        "answer": verdict.answer,
        "fpr_bound": verdict.fpr_bound,
        "fnr": verdict.fnr,
        "missing": list(verdict.missing),
    }
