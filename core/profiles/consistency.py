"""Profiles that contradict themselves, though every field of them is of the right kind."""

from __future__ import annotations

import numpy as np

from .profile import Profile

#: Scores of so many pictures are never all the same number, unless somebody wrote them.
MANY = 5
#: Between the medians of belonging and others, in units of their spreads: measured are up to about 30.
ABSURD_DISTANCE = 10_000.0


def contradiction(profile: Profile) -> str:
    """What no calibration can have measured, as the end of a sentence; empty where nothing contradicts itself."""
    for source in (*profile.belonging, *profile.others):
        if len(source.lowest) >= MANY and len(set(source.scores)) == 1:
            return f"all {len(source.scores)} scores of the source {source.name} are equal"
    for sources in (profile.belonging, profile.others):
        if len({source.identity for source in sources}) < len(sources):
            return "two of its sources are the same"
    counted = profile.pictures_counted
    if profile.pictures_given is not None and counted is not None and counted > profile.pictures_given:
        return f"{counted} pictures counted of {profile.pictures_given} given"
    middle = float(np.median(profile.belonging_scores))
    for source in profile.others:
        if middle >= np.median(source.scores):
            return (
                f"belonging pictures (median {middle:.3g}) do not score below those of the source {source.name}"
                f" (median {np.median(source.scores):.3g}), so this score cannot tell them apart"
            )
        spread = _spread(profile.belonging_scores) + _spread(source.scores)
        if len(source.scores) >= MANY and np.median(source.scores) - middle > ABSURD_DISTANCE * spread:
            return f"belonging pictures and those of the source {source.name} lie impossibly far apart"
    return ""


def _spread(scores: tuple[float, ...]) -> float:
    return float(np.ptp(scores))
