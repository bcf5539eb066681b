"""The tables of family_report.py: each from rows of family_evidence.py's :func:`usable`."""

from __future__ import annotations

import numpy as np
from common import Row, cells_table
from family_evidence import (
    LARGEST,
    Side,
    Vector,
    accepted,
    area,
    evidence,
    is_own,
    is_whole,
    of_contrast,
    scored,
    share,
    split,
)  # fmt: skip
from family_periods import PERIODS
from family_score import CENTRAL, OF_PROXY, SIDES, WHOLE

# Values of what does not shrink with the picture.
SWEEP = (0.0, 0.002, 0.004, 0.006, 0.008)
# Pictures from which a deviation can be had.
LEAST = 5


def proxies_of(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["proxy"] for row in rows))


def values(rows: list[Row], side: Side) -> Vector:
    return np.array([evidence(row, side) for row in rows])


def separation(rows: list[Row]) -> str:
    lines = []
    proxies = proxies_of(rows)
    for proxy in proxies:
        for asked, side, larger, by_contrast in (
            (f"central {CENTRAL}², three bands alike", CENTRAL, False, True),
            (f"central {CENTRAL}²", CENTRAL, False, False),
            (f"central {CENTRAL}² of larger ones", CENTRAL, True, False),
            ("the whole of these", WHOLE, True, False),
            ("each at its largest", LARGEST, False, False),
        ):
            own, others = ([one for one in some if is_whole(one) or not larger] for some in split(rows, proxy, side))
            if not own or not others:
                continue
            # Few were measured whole: the threshold for these comes from all others, each at its largest.
            known_side = LARGEST if side == WHOLE else side
            known = split(rows, proxy, known_side)[1]
            yes = [
                [accepted(row, known, len(proxies), side, known_side, by_contrast) for row in some]
                for some in (own, others)
            ]
            score = of_contrast if by_contrast else evidence
            wrong = [row["model"] or row["source"] for row, said in zip(others, yes[1], strict=True) if said]
            lines.append((
                OF_PROXY[proxy], asked, len(own), len({row["model"] for row in own}), len(others),
                area(*(np.array([score(row, side) for row in some]) for some in (own, others))),
                share(yes[0]), share(yes[1]), ", ".join(sorted(set(wrong))) or "–",
            ))  # fmt: skip
    heads = ("family", "asked", "own", "models", "others", "AUC", "found", "wrongly", "of which")
    return cells_table(heads, lines)


def scatter(rows: list[Row]) -> str:
    """How others scatter by size, and with what a deviation that does not shrink it is the same at each."""
    lines = []
    for proxy in proxies_of(rows):
        for side in (*SIDES, WHOLE):
            others = [row for row in rows if row["proxy"] == proxy and not is_own(row)]
            others = [row for row in others if scored(row, side) and (is_whole(row) or side in SIDES)]
            banded = split(rows, proxy, side)[1]
            if len(others) < LEAST:
                continue
            contrasts, errors = np.array([scored(row, side) for row in others]).T
            lines.append((
                OF_PROXY[proxy], side if side == WHOLE else f"{side}²", len(others), f"{contrasts.mean():.4f}",
                f"{np.median(errors):.4f}", *(f"{(contrasts / np.hypot(errors, one)).std():.2f}" for one in SWEEP),
                f"{values(banded, side).std():.2f} of {len(banded)}" if len(banded) >= LEAST else "–",
            ))  # fmt: skip
    heads = ("family", "side", "others", "mean contrast", "median error", *(f"{one:g}" for one in SWEEP), "all bands")
    return cells_table(heads, lines)


def growth(rows: list[Row]) -> str:
    """By the contrast alone, which rows of central parts have for each side."""
    lines = []
    for proxy in proxies_of(rows):
        for side in (*SIDES, WHOLE):
            own, others = contrasts_of(rows, proxy, side)
            if len(own) and len(others):
                lines.append((
                    OF_PROXY[proxy], side if side == WHOLE else f"{side}²", len(own), f"{np.median(own):.1f}",
                    f"{own.max():.1f}", len(others), f"{np.median(others):.1f}", f"{others.min():.1f}",
                    f"{others.std():.2f}",
                ))  # fmt: skip
    heads = ("family", "side", "own", "median", "highest", "others", "median", "lowest", "deviation")
    return cells_table(heads, lines)


def contrasts_of(rows: list[Row], proxy: str, side: Side) -> list[Vector]:
    """Evidence of the contrast of own pictures and of others that have a score of ``side``."""
    mine = [row for row in rows if row["proxy"] == proxy and scored(row, side)]
    return [np.array([of_contrast(row, side) for row in mine if is_own(row) is one]) for one in (True, False)]


def windows(rows: list[Row]) -> str:
    """The whole against the windows that stand for large pictures in other scores, by the contrast alone."""
    lines = []
    for proxy in proxies_of(rows):
        some = [
            {**row, "sides": {**row["sides"], "windows": row["windows"]}}
            for row in rows
            if row["proxy"] == proxy and row.get("windows")
        ]
        for name, side in ((f"central {CENTRAL}²", CENTRAL), ("windows", "windows"), ("all pixels", WHOLE)):
            cells = [
                (len(found), f"{np.median(found):.1f}", f"{end(found):.1f}") if len(found) else (0, "–", "–")
                for found, end in zip(contrasts_of(some, proxy, side), (np.max, np.min), strict=True)
            ]
            if some:
                lines.append((OF_PROXY[proxy], name, *cells[0], *cells[1]))
    heads = ("family", "asked", "own", "median", "highest", "others", "median", "lowest")
    return cells_table(heads, lines)


def of_delivered(rows: list[Row], sent: dict[str, list[Row]]) -> str:
    """What each way of delivery leaves, beside the same pictures as made, by the threshold of pictures as made."""
    lines = []
    kept = {(row["proxy"], row["picture"]): row for row in rows}
    tests = len(proxies_of(rows))
    for proxy in proxies_of(rows):
        reference = split(rows, proxy, CENTRAL)[1]
        for way, some in sent.items():
            own, others = split(some, proxy, CENTRAL)
            if not own:
                continue
            as_made = ([kept[proxy, one["picture"]] for one in these] for these in (own, others))
            for name, (mine, theirs) in (("as made", as_made), (way, (own, others))):
                yes = ([accepted(row, reference, tests, CENTRAL, CENTRAL) for row in these] for these in (mine, theirs))
                ours, found = values(mine, CENTRAL), values(theirs, CENTRAL)
                rest = [f"{np.median(found):.1f}", f"{found.std():.2f}", f"{found.min():.1f}"] if theirs else ["–"] * 3
                lines.append((
                    OF_PROXY[proxy], name, len(mine), f"{np.median(ours):.1f}", len(theirs), *rest, area(ours, found),
                    *map(share, yes),
                ))  # fmt: skip
    heads = ("family", "delivered", "own", "median", "others", "median", "deviation", "lowest", "AUC", "found",
             "wrongly")  # fmt: skip
    return cells_table(heads, lines)


def by_model(rows: list[Row]) -> str:
    lines = []
    proxies = proxies_of(rows)
    groups = dict.fromkeys((row["family"], row["model"] or row["source"]) for row in rows)
    for family, model in sorted(groups):
        mine = [row for row in rows if (row["family"], row["model"] or row["source"]) == (family, model)]
        cells = []
        for proxy in proxies:
            of_proxy = sorted((row for row in mine if row["proxy"] == proxy), key=lambda row: evidence(row, LARGEST))
            cells.append(" ".join(f"{evidence(row, LARGEST):.1f}{'*' * is_whole(row)}" for row in of_proxy))
        lines.append((family, model, *cells))
    return cells_table(("family", "model or source", *proxies), lines)


def of_peers(rows: list[Row], peers: list[Row]) -> str:
    """AUC of each score through the same proxies, of the pictures that all have."""
    known = {(row["proxy"], row["picture"]): row for row in peers}
    lines = []
    for proxy in proxies_of(rows):
        own, others = (
            [row for row in some if (proxy, row["picture"]) in known] for some in split(rows, proxy, CENTRAL)
        )
        cells = [area(values(own, CENTRAL), values(others, CENTRAL))]
        for name in ("ratio", "loss"):
            mine, theirs = (np.array([known[proxy, row["picture"]][name] for row in some]) for some in (own, others))
            cells.append(area(mine, theirs))
        lines.append((OF_PROXY[proxy], len(own), len(others), *cells))
    return cells_table(("family", "own", "others", "ours", "AEDR's ratio", "AEROBLADE, MSE"), lines)


def of_periods(periods: list[Row], rows: list[Row]) -> str:
    """AUC of the peaks at each period and of their sum, of the pictures of ``rows``, which were never lossy; more is
    taken to speak for the first group."""
    lines = []
    never_lossy = {row["picture"] for row in rows}
    periods = [row for row in periods if row["picture"] in never_lossy]
    groups = {family: ([row for row in periods if row["family"] == family],
                       [row for row in periods if row["family"] != family])
              for family in dict.fromkeys(OF_PROXY.values())}  # fmt: skip
    groups = {f"{family} against all others": pair for family, pair in groups.items()}
    groups["any model against photographs"] = (
        [row for row in periods if row["kind"] != "real"],
        [row for row in periods if row["kind"] == "real"],
    )
    for name, (own, others) in groups.items():
        cells = []
        for some in (*([period] for period in PERIODS), PERIODS):
            mine, theirs = (
                -np.array([sum(row[str(CENTRAL)][str(one)] for one in some) for row in pictures])
                for pictures in (own, others)
            )
            cells.append(area(mine, theirs))
        lines.append((name, len(own), len(others), *cells))
    return cells_table(("", "first", "second", *(f"period {one}" for one in PERIODS), "sum"), lines)
