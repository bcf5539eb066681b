"""Thresholds from calibration scores, three rules side by side, and the p-values that need no threshold.

Every score in this project is lower for belonging images. ``alpha`` is the rate at which a further image from the same
source as the calibration images may score above the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from .errors import InvalidSettingError
from .grubbs import grubbs_threshold

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Threshold:
    """A threshold and where it comes from: ``n`` calibration scores described by ``images``."""

    value: float
    rule: str
    alpha: float
    n: int
    images: str = "unnamed scores"


def check_scores(scores: Sequence[float] | Scores) -> Scores:
    """``scores`` as a flat float array; raises :class:`InvalidSettingError` for none, NaN or infinite ones."""
    try:
        values = np.asarray(scores, dtype=float)
    except (TypeError, ValueError, OverflowError):
        raise InvalidSettingError("Calibration scores must be a flat list of numbers.") from None
    if values.ndim != 1 or values.size == 0:
        raise InvalidSettingError("A threshold needs a flat list of at least one calibration score.")
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InvalidSettingError(f"{bad} of {values.size} calibration scores are NaN or infinite: leave them out.")
    return values


def quantile_threshold(scores: Sequence[float] | Scores, alpha: float) -> float:
    """Split-conformal quantile: the ceil((n+1)(1-alpha))-th smallest score, +inf when n is too small to say.

    A further exchangeable score exceeds it with probability at most ``alpha``, for every n and every distribution
    (Vovk, Gammerman & Shafer 2005; Lei et al., JASA 2018, section 2).
    """
    values = np.sort(check_scores(scores))
    rank = math.ceil((len(values) + 1) * (1 - alpha) - 1e-12)
    return math.inf if rank > len(values) else float(values[rank - 1])


def kde_threshold(scores: Sequence[float] | Scores, alpha: float) -> float:
    """AEDR's rule: the smallest value whose Gaussian KDE distribution function (Scott bandwidth) reaches 1 - alpha."""
    values = check_scores(scores)
    # The spread tells equal scores apart from different ones: rounding leaves a deviation even where all are equal.
    deviation = float(values.std(ddof=1)) if np.ptp(values) > 0 else 0.0
    if not 0 < deviation < math.inf:
        raise InvalidSettingError("The kde rule needs at least two different scores: calibrate on more images.")
    bandwidth = deviation * len(values) ** (-1 / 5)

    def excess(value: float) -> float:
        return float(stats.norm.cdf((value - values) / bandwidth).mean()) - (1 - alpha)

    low, high = float(values.min() - 10 * bandwidth), float(values.max() + 10 * bandwidth)
    # Relative to the spread: scores may be losses of 1e-6 or ratios of 1e3.
    return float(optimize.brentq(excess, low, high, xtol=1e-12 * (high - low)))


RULES: dict[str, Callable[[Sequence[float] | Scores, float], float]] = {
    "quantile": quantile_threshold,
    "kde": kde_threshold,
    "grubbs": lambda scores, alpha: grubbs_threshold([float(score) for score in check_scores(scores)], alpha),
}


def fit_threshold(
    scores: Sequence[float] | Scores, rule: str = "quantile", alpha: float = 0.05, images: str = "unnamed scores"
) -> Threshold:
    """Fit ``rule`` (``quantile``, ``kde`` or ``grubbs``) to the ``scores`` of calibration ``images``.

    Raises :class:`InvalidSettingError` for an unknown rule, alpha outside (0, 1), or unusable scores.
    """
    if rule not in RULES:
        raise InvalidSettingError(f"Unknown threshold rule {rule!r}: choose one of {', '.join(RULES)}.")
    if not 0 < alpha < 1:
        raise InvalidSettingError(f"alpha must lie between 0 and 1, got {alpha}.")
    values = check_scores(scores)
    return Threshold(RULES[rule](values, alpha), rule, alpha, len(values), images)


def lower_p_value(score: float, reference: Sequence[float] | Scores) -> float:
    """Conformal p-value of a score as low as this under ``reference``: (1 + #{r <= score}) / (n + 1)."""
    values = check_scores(reference)
    _check_finite(score)
    return float((1 + np.count_nonzero(values <= score)) / (len(values) + 1))


def upper_p_value(score: float, reference: Sequence[float] | Scores) -> float:
    """Conformal p-value of a score as high as this under ``reference``: (1 + #{r >= score}) / (n + 1)."""
    values = check_scores(reference)
    _check_finite(score)
    return float((1 + np.count_nonzero(values >= score)) / (len(values) + 1))


def _check_finite(score: float) -> None:
    # NaN compares false with everything and would get the smallest p-value there is.
    if not math.isfinite(score):
        raise InvalidSettingError(f"The score is {score}: it has no p-value, score the image again.")


def rate_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper–Pearson interval for a rate of which ``count`` in ``total`` were observed."""
    if total < 1:
        return 0.0, 1.0
    interval = stats.binomtest(count, total).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)
