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

from ..errors import InvalidSettingError
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
    """AEDR's rule: the smallest value whose Gaussian KDE distribution function (Scott bandwidth) reaches 1 - alpha.

    Raises :class:`InvalidSettingError` for ``scores`` that are all equal, too few or not finite.
    """
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


def accepted_rank(n: int, rate: float, guarantee: float | None = None) -> int:
    """k of ``n`` independent calibration scores: what lies beyond the k-th most extreme one is accepted.

    A further score does so at k/(n+1) on average over calibrations. The largest k whose average, or under a
    ``guarantee`` whose :func:`rate_bound`, is at most ``rate``; 1, the strictest there is, where none is.
    """
    ranks = np.arange(1, math.floor(rate * (n + 1) + 1e-9) + 1)
    if guarantee is not None:
        ranks = ranks[stats.beta.ppf(guarantee, ranks, n + 1 - ranks) <= rate]
    return max(1, len(ranks))


def rate_bound(rank: int, n: int, confidence: float = 0.95) -> float:
    """Upper bound of the rate at which scores are accepted beyond the ``rank``-th most extreme of ``n``.

    Given one calibration that rate is a draw from Beta(rank, n + 1 - rank) (Vovk, "Conditional validity of inductive
    conformal predictors", 2012), below it where scores tie. Its quantile at ``confidence`` is the one-sided
    Clopper–Pearson bound of rank - 1 in n.
    """
    return 1.0 if rank > n else float(stats.beta.ppf(confidence, rank, n + 1 - rank))


def pictures_needed(rate: float, guarantee: float | None = None) -> int:
    """How many independent pictures it takes to state ``rate``: on average, or with confidence ``guarantee``.

    >>> pictures_needed(0.01), pictures_needed(0.01, guarantee=0.95)
    (99, 299)
    """
    needed = 1 / rate - 1 if guarantee is None else math.log1p(-guarantee) / math.log1p(-rate)
    return math.ceil(needed - 1e-9)


def shown_rate(rate: float | None, bound: float | None = None) -> str:
    """A rate in words.

    >>> shown_rate(1 / 70, rate_bound(1, 69))
    '1.4 % on average, with 95 % confidence at most 4.2 %'
    >>> shown_rate(None)
    'not measured'
    """
    if rate is None:
        return "not measured"
    return _percent(rate) + ("" if bound is None else f" on average, with 95 % confidence at most {_percent(bound)}")


def _percent(rate: float) -> str:
    """Two significant digits of the rate or of its opposite, whichever is rarer."""
    rarer = min(rate, 1 - rate)
    if rarer <= 1e-12:
        return f"{100 * rate:.0f} %"
    return f"{100 * rate:.{0 if rarer >= 0.0995 else max(1, 1 - math.floor(math.log10(100 * rarer)))}f} %"


def rate_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper–Pearson interval for a rate of which ``count`` in ``total`` were observed."""
    if total < 1:
        return 0.0, 1.0
    interval = stats.binomtest(count, total).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)
