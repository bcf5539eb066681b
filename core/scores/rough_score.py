"""A verdict from a score in bfloat16, where exactness could not change it.

On hardware with bfloat16 matrix units a look costs a quarter. Calibration scores every sample both ways, and the
profile keeps how far they differ. A rough score decides if the answer is the same everywhere within that distance of
it; else the exact one is taken. So precision costs time where a verdict hangs on it, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ..errors import InvalidImageError
from ..inversion.precision import bfloat16_pays
from ..models.autoencoder import Autoencoder
from ..profiles import Limit, Profile, measured_limit
from . import Score, Scored
from .protocol import RoughScore

# The distance allowed for is this many times the largest that calibration saw. A further image beats the largest of n
# with probability 1/(n+1), twice the largest far more rarely: of 600, 7 and none (benchmarks/results/constants.md).
DISTANCE_FACTOR = 2.0
# Of fewer images the largest says little: a further one beats it with probability 1/21.
MIN_DIFFERENCES = 20
# Networks that overflow in bfloat16 or a picture that looks flat in it, and operations that bfloat16 does not have:
# there the exact score has the only word.
_FAILURES = (InvalidImageError, RuntimeError, TypeError)


def fit_roughness(differences: Sequence[float]) -> Limit | None:
    """A profile's limit from |rough - exact| of its samples, or ``None`` for too few to tell."""
    if len(differences) < MIN_DIFFERENCES:
        return None
    return measured_limit("low_precision", DISTANCE_FACTOR * max(differences), len(differences))


def roughness_of(score: Score, autoencoder: Autoencoder, image: Tensor, exact: float) -> float | None:
    """|rough - ``exact``| of an ``image`` ``[1,3,H,W]``; ``None`` where a rough score does not exist or pay."""
    if not (isinstance(score, RoughScore) and bfloat16_pays(autoencoder.device)):
        return None
    try:
        candidates = score.rough(autoencoder, image).candidates
    except _FAILURES:
        return None
    return min(abs(candidate - exact) for candidate in candidates)


def score_as_exact_as_needed(
    profile: Profile, score: Score, autoencoder: Autoencoder, image: Tensor, window: int | None = None
) -> Scored:
    """``score`` of one image ``[1,3,H,W]``, roughly where that decides the verdict under ``profile``, else exactly.

    The passes are those of both. ``window`` and errors as for the score.
    """
    distance = profile.limits.low_precision
    if distance is None or not (isinstance(score, RoughScore) and bfloat16_pays(autoencoder.device)):
        return score(autoencoder, image, window)
    try:
        rough = score.rough(autoencoder, image, window)
    except _FAILURES:
        return score(autoencoder, image, window)
    if is_decided(profile, rough.candidates, distance.value):
        return rough.scored
    exact = score(autoencoder, image, window)
    return replace(exact, passes=rough.scored.passes + exact.passes, stage=f"{exact.stage} after bfloat16")


def is_decided(profile: Profile, candidates: Sequence[float], distance: float) -> bool:
    """Whether every score within ``distance`` of any candidate has the same answer under ``profile``.

    Each threshold is crossed once, so looking at the ends is enough.
    """
    ends = (min(candidates) - distance, max(candidates) + distance)
    return len({(profile.accepts(value), profile.refuses(value)) for value in ends}) == 1
