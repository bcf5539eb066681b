"""What rows of family_score.py say of pictures: which of them count, their evidence, and a threshold from strangers."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from common import Row, area_under_curve
from family_score import CENTRAL, CHOSEN_ON, OF_PROXY, WHOLE
from latent_tracer.core.profiles.thresholds import accepted_rank, rate_interval
from numpy.typing import NDArray

# Deviation of the contrasts of pictures that do not belong that does not shrink with the picture: see the report.
SYSTEMATIC = 0.004
FPR, FNR = 0.01, 0.05
RESAMPLES, SEED = 2000, 7
# All pixels where they were measured, otherwise the central part.
LARGEST = "largest"
Side = int | str


def usable(rows: Iterable[Row]) -> list[Row]:
    """Rows of pictures that were never lossy and on which nothing was chosen, each with its score of :data:`LARGEST`.

    A picture has one row for each proxy, with its whole where that was measured beside the central part.
    """
    found: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: row["side"] == WHOLE):
        if row.get("delivered") or row.get("jpeg") or "error" in row or row["picture"].startswith(CHOSEN_ON):
            continue
        key = row["proxy"], row["picture"]
        before = found.get(key, row)
        sides = {**row["sides"], **before["sides"]}
        sides[LARGEST] = row["sides"].get(WHOLE) or sides.get(str(CENTRAL))
        if sides[LARGEST]:
            found[key] = {**before, **row, "sides": sides}
    return list(found.values())


def delivered(rows: Iterable[Row], way: str) -> list[Row]:
    return [row for row in rows if row.get("delivered") == way and "error" not in row and scored(row, CENTRAL)]


def is_whole(row: Row) -> bool:
    return row["sides"].get(WHOLE) is not None


def scored(row: Row, side: Side) -> list[float] | None:
    """Contrast and error of a part of the picture; ``None`` where that was not measured."""
    value: list[float] | None = row["sides"].get(str(side))
    return value


def evidence(row: Row, side: Side, systematic: float = SYSTEMATIC) -> float:
    found = scored(row, side)
    assert found is not None
    return found[0] / math.hypot(found[1], systematic)


def is_own(row: Row) -> bool:
    """Whether the picture is of the family of the row's proxy."""
    return bool(row["family"] == OF_PROXY[row["proxy"]])


def split(rows: Iterable[Row], proxy: str, side: Side) -> tuple[list[Row], list[Row]]:
    """Own pictures and others under a ``proxy`` that have a score of ``side``."""
    mine = [row for row in rows if row["proxy"] == proxy and scored(row, side)]
    return [row for row in mine if is_own(row)], [row for row in mine if not is_own(row)]


def strangers(row: Row, others: list[Row]) -> list[Row]:
    """Of ``others`` those that share neither model nor source with the picture of ``row``."""
    return [
        one
        for one in others
        if one["picture"] != row["picture"]
        and one["source"] != row["source"]
        and (one["model"] != row["model"] or not row["model"])
    ]


def accepted(row: Row, others: list[Row], tests: int, side: Side, reference_side: Side) -> bool:
    """Whether the picture would be said to be of the family, by a threshold from strangers among ``others``."""
    reference = np.sort(
        [evidence(one, reference_side) for one in strangers(row, others) if scored(one, reference_side)]
    )
    return bool(evidence(row, side) < reference[accepted_rank(len(reference), FPR / tests) - 1])


def area(own: NDArray[np.float64], others: NDArray[np.float64]) -> str:
    """AUC with the 95 % interval of a bootstrap over pictures."""
    if not len(own) or not len(others):
        return "–"
    draw = np.random.default_rng(SEED)
    values = [area_under_curve(draw.choice(own, len(own)), draw.choice(others, len(others))) for _ in range(RESAMPLES)]
    low, high = np.quantile(values, (0.025, 0.975))
    return f"{area_under_curve(own, others):.3f} ({low:.3f}–{high:.3f})"


def share(flags: list[bool]) -> str:
    low, high = rate_interval(sum(flags), len(flags))
    return f"{sum(flags)} of {len(flags)} ({100 * low:.0f}–{100 * high:.0f} %)" if flags else "none"
