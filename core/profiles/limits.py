"""Limits that a profile measured beside its scores, each with the bounds that no calibration can leave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """``value`` was measured on ``n`` images; ``rate``: how often a further image of that kind exceeds it.

    ``rate`` is ``None`` for a safety factor on the largest value seen, which states no rate.
    """

    value: float
    n: int
    rate: float | None = None


@dataclass(frozen=True)
class Limits:
    """``None`` for what was not measured.

    localisation: the largest excess anywhere in the map of a wholly belonging picture, in standard errors.
    low_precision: how far a score in bfloat16 may lie from the exact one, in units of the score.
    own_grid: strength of a picture's own grid up to which a yes stands, see
    :func:`latent_tracer.core.images.regularity.grid_strength`.
    """

    localisation: Limit | None = None
    low_precision: Limit | None = None
    own_grid: Limit | None = None


#: What a limit may be at most. A grid strength is the log of second differences of 8-bit levels over 0.5 and at most
#: ln(1021), times the safety factor of 1.5; the others are ten times beyond anything measured.
LARGEST = {"localisation": 1000.0, "low_precision": 1000.0, "own_grid": 10.5}


def measured_limit(name: str, value: float, n: int, rate: float | None = None) -> Limit | None:
    """The limit called ``name``, or ``None`` where the measurement failed so badly that no profile may hold it."""
    return Limit(value, n, rate) if 0 <= value <= LARGEST[name] else None
