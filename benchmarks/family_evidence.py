"""What rows of family_score.py say of pictures: which of them count, their evidence, and a threshold from strangers.

Evidence weighs the contrasts of all bands, each in deviations. The weights are those of Fisher's discriminant between a
family's pictures and others; of the pictures of other models and sources than the one that is asked about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from common import Row, area_under_curve
from family_score import CENTRAL, CHOSEN_ON, OF_PROXY, WHOLE
from latent_tracer.core.profiles.thresholds import accepted_rank, rate_interval
from numpy.typing import NDArray

# Deviation of the contrasts of pictures that do not belong that does not shrink with the picture: the least at which
# that of the evidence does not grow from 128² to 512² through either proxy, see the report.
SYSTEMATIC = 0.006
# Added to the variances of bands, in squared deviations, so that no weight rests on a small difference of two bands.
RIDGE = 0.3
FPR, FNR = 0.01, 0.05
RESAMPLES, SEED = 2000, 7
# All pixels where they were measured, otherwise the central part.
LARGEST = "largest"
Side = int | str
Vector = NDArray[np.float64]


def usable(rows: Iterable[Row]) -> list[Row]:
    """Rows of pictures that were never lossy and on which nothing was chosen, each with its score of :data:`LARGEST`.

    A picture has one row for each proxy, with its whole where that was measured beside the central part. ``weights``
    of its bands come from strangers.
    """
    found: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: row["side"] == WHOLE):
        if row.get("delivered") or row.get("jpeg") or "error" in row or row["picture"].startswith(CHOSEN_ON):
            continue
        key = row["proxy"], row["picture"]
        before = found.get(key, {})
        sides = {**row["sides"], **before.get("sides", {})}
        by_band = {**row.get("by_band", {}), str(row["side"]): row["bands"], **before.get("by_band", {})}
        largest = WHOLE if sides.get(WHOLE) else str(CENTRAL)
        if sides.get(largest):
            sides[LARGEST], by_band[LARGEST] = sides[largest], by_band[largest]
            found[key] = {**before, **row, "sides": sides, "by_band": by_band}
    kept = list(found.values())
    weigh(kept)
    return kept


def delivered(rows: Iterable[Row], kept: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows of delivered pictures by the way they went, with the weights of the same pictures among ``kept``."""
    weights = {(row["proxy"], row["picture"]): row["weights"] for row in kept}
    found: dict[str, list[Row]] = {}
    for row in rows:
        key = row["proxy"], row["picture"]
        if row.get("delivered") and "error" not in row and scored(row, CENTRAL) and key in weights:
            whole = {**row, "by_band": {str(CENTRAL): row["bands"]}, "weights": weights[key]}
            found.setdefault(row["delivered"], []).append(whole)
    return found


def weigh(rows: list[Row]) -> None:
    """Give every row the weights that strangers' bands have at their largest."""
    for proxy in dict.fromkeys(row["proxy"] for row in rows):
        own, others = split(rows, proxy, LARGEST)
        known: dict[tuple[str, str], Vector] = {}
        for row in own + others:
            group = row["source"], row["model"]
            if group not in known:
                known[group] = weights_of(strangers(row, own), strangers(row, others))
            row["weights"] = known[group]


def weights_of(own: list[Row], others: list[Row]) -> Vector:
    """Of each band ``[9]``, such that evidence of ``others`` scatters by one and that of ``own`` is below theirs."""
    mine, theirs = (np.array([standing(row, LARGEST) for row in some]) for some in (own, others))
    scatter = np.cov(theirs.T)
    weights = np.linalg.solve(scatter + RIDGE * np.eye(len(scatter)), theirs.mean(0) - np.median(mine, 0))
    return np.asarray(weights / math.sqrt(weights @ scatter @ weights))


def standing(row: Row, side: Side, systematic: float = SYSTEMATIC) -> Vector:
    """The contrast of each band ``[9]`` in deviations; zero where it holds too little."""
    return np.array(
        [0.0 if one is None else one[0] / math.hypot(one[1], systematic) for one in row["by_band"][str(side)]]
    )


def is_whole(row: Row) -> bool:
    return row["sides"].get(WHOLE) is not None


def scored(row: Row, side: Side) -> list[float] | None:
    """Contrast and error of a part of the picture; ``None`` where that was not measured."""
    value: list[float] | None = row["sides"].get(str(side))
    return value


def of_contrast(row: Row, side: Side, systematic: float = SYSTEMATIC) -> float:
    """Evidence of the contrast alone, whose three bands count alike."""
    found = scored(row, side)
    assert found is not None
    return found[0] / math.hypot(found[1], systematic)


def evidence(row: Row, side: Side, weights: Vector | None = None) -> float:
    """Of all bands, by the row's own ``weights`` or others."""
    return float(standing(row, side) @ (row["weights"] if weights is None else weights))


def is_own(row: Row) -> bool:
    """Whether the picture is of the family of the row's proxy."""
    return bool(row["family"] == OF_PROXY[row["proxy"]])


def split(rows: Iterable[Row], proxy: str, side: Side) -> tuple[list[Row], list[Row]]:
    """Own pictures and others under a ``proxy`` that have a score of ``side``, and so of its bands."""
    mine = [row for row in rows if row["proxy"] == proxy and scored(row, side) and str(side) in row["by_band"]]
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


def accepted(row: Row, others: list[Row], tests: int, side: Side, known_side: Side, by_contrast: bool = False) -> bool:
    """Whether the picture would be said to be of the family, by a threshold from strangers among ``others``."""
    known = [one for one in strangers(row, others) if scored(one, known_side)]
    if by_contrast:
        reference = np.sort([of_contrast(one, known_side) for one in known])
    else:
        reference = np.sort([evidence(one, known_side, row["weights"]) for one in known])
    found = of_contrast(row, side) if by_contrast else evidence(row, side)
    return bool(found < reference[accepted_rank(len(reference), FPR / tests) - 1])


def area(own: Vector, others: Vector) -> str:
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
