"""Grubbs' one-sided outlier test: RONAN's (NeurIPS 2023, section 3) way from belonging losses to a threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from ..errors import InvalidSettingError


def grubbs_critical(n: int, alpha: float = 0.05) -> float:
    """G such that the largest of ``n`` normal values lies more than G sample deviations above their mean with
    probability ``alpha``: G = (n-1)/sqrt(n) · sqrt(t²/(n-2+t²)), t the upper alpha/n quantile of
    Student's t with n-2 degrees.

    Raises :class:`InvalidSettingError` for fewer than three values or an alpha outside (0, 1).
    """
    if n < 3:
        raise InvalidSettingError(f"Grubbs' test needs at least 3 belonging losses, got {n}: calibrate on more images.")
    if not 0 < alpha < 1:
        raise InvalidSettingError(f"alpha must lie between 0 and 1, got {alpha}.")
    t = float(stats.t.isf(alpha / n, n - 2))
    return (n - 1) / math.sqrt(n) * math.sqrt(t * t / (n - 2 + t * t))


def grubbs_threshold(belonging_losses: Sequence[float], alpha: float = 0.05) -> float:
    """The loss mu + G·sigma from which one counts as an outlier among ``belonging_losses``; one-sided at ``alpha``.

    Raises :class:`InvalidSettingError` for losses that are too few or not finite, and for an impossible ``alpha``.
    """
    losses = np.asarray(belonging_losses, dtype=float)
    if losses.ndim != 1 or not np.isfinite(losses).all():
        raise InvalidSettingError("The belonging losses must be a flat list of finite numbers.")
    critical = grubbs_critical(len(losses), alpha)
    return float(losses.mean() + critical * losses.std(ddof=1))
