"""A yes for a picture that lies otherwise than it was made: mirrored, turned, cropped, resized, on a canvas."""

from __future__ import annotations

from dataclasses import replace

from ..profiles import Profile
from ..profiles.thresholds import shown_rate
from .doubt import History, doubt_about
from .verdict import SEVERAL_DECODERS, Verdict, decoders_of


def verdict_at_placement(
    verdict: Verdict,
    evidence: float,
    tests: int,
    profile: Profile,
    history: History,
    words: str,
    on_others: bool = False,
) -> Verdict | None:
    """A yes by the ``evidence`` of pixels that did not choose the placement, or ``None`` where it is not rare enough.

    ``verdict``: of the picture as it lies, which could have been a yes, too: its rate and that of each of the ``tests``
    of a placement add up (Bonferroni). ``profile``: of other pictures' evidence; ``history``: of the picture as it was
    placed, ``words``: how; ``on_others``: this decoder is none of those that ``profile`` was measured on. A picture
    that shows JPEG there is left alone: blocks lie where cells would.
    """
    if not profile.accepts(evidence) or history.jpeg_quality is not None:
        return None
    if doubt_about("belonging", history, profile) is not None:
        return None
    p_value = profile.p_value(evidence)
    basis = (
        f"taken as {words} it shows this decoder's trace, in pixels by which that was not found out: evidence"
        f" {evidence:.3g} is lower than that of {shown_rate(1 - p_value)} of other images"
    )
    first, bound = (0.0 if one is None else one for one in (verdict.fpr, verdict.fpr_bound))
    return replace(
        verdict,
        answer="belonging",
        score=evidence,
        basis=basis,
        p_value=min(1.0, tests * p_value),
        belonging_p_value=profile.belonging_p_value(evidence),
        fpr=min(1.0, first + tests * profile.stated_fpr),
        fpr_bound=min(1.0, bound + tests * profile.fpr_bound),
        fnr=None,
        fnr_bound=None,
        stage="evidence at another placement",
        calibration=f"{decoders_of(profile)} {'other ' if on_others else ''}decoders together",
        fpr_basis=SEVERAL_DECODERS,
        state=(*verdict.state, f"{words} since it was made"),
    )
