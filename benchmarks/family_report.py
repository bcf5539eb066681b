"""The report of family_score.py's rows, and the calibration of families that ships.

    python benchmarks/family_report.py ROWS [--peers ROWS]
    python benchmarks/family_report.py ROWS --calibration core/embedded/families.json

Nothing is chosen on the picture that is asked about: its threshold comes from pictures of other models and sources.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, Row, area_under_curve, cells_table, decoder, made_by, read_rows
from latent_tracer.core import same_weights
from latent_tracer.core.profiles.families import NO_FAMILY, Families, FamilyProxy, KnownPicture
from latent_tracer.core.profiles.thresholds import accepted_rank, rate_interval
from latent_tracer.core.scores.family_score import SETTINGS
from latent_tracer.core.storage.atomic import write_text
from numpy.typing import NDArray

FAMILY = {"taesd": "SD1/SD2", "taesdxl": "SDXL", "taesd3": "SD3", "taef1": "FLUX.1", "taef2": "FLUX.2"}
# Deviation of the contrasts of pictures that do not belong beside their own errors, see the report; what a proxy's own
# pictures are below: six had -0.32 to -0.53, of a family's own none has less than -0.2.
SYSTEMATIC, OWN_WORK = 0.004, -0.25
FPR, FNR, SIDE = 0.01, 0.05, 512
RESAMPLES, SEED = 2000, 7
# Pictures on which places and bands were chosen (320² of each under TAESD), by the start of their SHA-256: left out.
CHOSEN_ON = (
    "a56e27cbf5f8",
    "e25ca1ff2f0c",
    "10349e963c5c",
    "0895968cfca6",
    "b0d72ed9ace0",
    "5f441526aceb",
    "072c9be89a14",
    "f438c588cd1b",
    "a8dd3d7c1430",
)


def usable(rows: list[Row], side: int = SIDE) -> list[Row]:
    """Rows of lossless pictures with a score of ``side``² (or the whole), under every proxy that any has."""
    rows = [row for row in rows if not row["picture"].startswith(CHOSEN_ON)]
    rows = [row for row in rows if not row.get("jpeg") and "error" not in row and scored(row, side)]
    proxies = {row["proxy"] for row in rows}
    seen: dict[str, set[str]] = {}
    for row in rows:
        seen.setdefault(row["picture"], set()).add(row["proxy"])
    return [row for row in rows if seen[row["picture"]] == proxies]


def scored(row: Row, side: int = SIDE) -> list[float] | None:
    value: list[float] | None = row["sides"].get(str(side))
    return value


def evidence(row: Row, side: int = SIDE) -> float:
    found = scored(row, side)
    assert found is not None
    return found[0] / math.hypot(found[1], SYSTEMATIC)


def strangers(row: Row, others: list[Row]) -> list[Row]:
    """Of ``others`` those that share neither model nor source with the picture of ``row``."""
    return [
        one
        for one in others
        if one["picture"] != row["picture"]
        and one["source"] != row["source"]
        and (one["model"] != row["model"] or not row["model"])
    ]


def accepted(row: Row, others: list[Row], tests: int, side: int = SIDE) -> bool:
    """Whether the picture would be said to be of the family, by a threshold from strangers."""
    reference = np.sort([evidence(one, side) for one in strangers(row, others) if scored(one, side)])
    return bool(evidence(row, side) < reference[accepted_rank(len(reference), FPR / tests) - 1])


def area(own: NDArray[Any], others: NDArray[Any]) -> str:
    """AUC with the 95 % interval of a bootstrap over pictures."""
    draw = np.random.default_rng(SEED)
    values = [area_under_curve(draw.choice(own, len(own)), draw.choice(others, len(others))) for _ in range(RESAMPLES)]
    low, high = np.quantile(values, (0.025, 0.975))
    return f"{area_under_curve(own, others):.3f} ({low:.3f}–{high:.3f})"


def share(flags: list[bool]) -> str:
    low, high = rate_interval(sum(flags), len(flags))
    return f"{sum(flags)} of {len(flags)} ({100 * low:.0f}–{100 * high:.0f} %)" if flags else "none"


def separation(rows: list[Row]) -> str:
    lines = []
    proxies = dict.fromkeys(row["proxy"] for row in rows)
    for proxy in proxies:
        mine = [row for row in rows if row["proxy"] == proxy]
        own = [row for row in mine if row["family"] == FAMILY[proxy]]
        others = [row for row in mine if row["family"] != FAMILY[proxy]]
        if not own or not others:
            continue
        wrong = [row for row in others if accepted(row, others, len(proxies))]
        named = ", ".join(sorted({row["model"] or row["source"] for row in wrong})) or "–"
        lines.append((
            FAMILY[proxy], proxy, len(own), len({row["model"] for row in own}), len(others),
            area(np.array([evidence(one) for one in own]), np.array([evidence(one) for one in others])),
            share([accepted(row, others, len(proxies)) for row in own]), share([row in wrong for row in others]), named,
        ))  # fmt: skip
    heads = ("family", "proxy", "own", "models", "others", "AUC", "found", "wrongly", "of which")
    return cells_table(heads, lines)


def growth(rows: list[Row]) -> str:
    lines = []
    for proxy in dict.fromkeys(row["proxy"] for row in rows):
        for side in sorted({int(one) for row in rows for one, value in row["sides"].items() if value}):
            mine = [row for row in rows if row["proxy"] == proxy and scored(row, side)]
            own = np.array([evidence(row, side) for row in mine if row["family"] == FAMILY[proxy]])
            others = np.array([evidence(row, side) for row in mine if row["family"] != FAMILY[proxy]])
            if len(own) and len(others):
                lines.append((
                    FAMILY[proxy], f"{side}²", len(own), f"{np.median(own):.1f}", f"{own.max():.1f}", len(others),
                    f"{np.median(others):.1f}", f"{others.min():.1f}", f"{others.std():.2f}",
                ))  # fmt: skip
    heads = ("family", "side", "own", "median", "highest", "others", "median", "lowest", "deviation")
    return cells_table(heads, lines)


def by_model(rows: list[Row]) -> str:
    lines = []
    proxies = list(dict.fromkeys(row["proxy"] for row in rows))
    groups = dict.fromkeys((row["family"], row["model"] or row["source"]) for row in rows)
    for family, model in sorted(groups):
        mine = [row for row in rows if (row["family"], row["model"] or row["source"]) == (family, model)]
        cells = []
        for proxy in proxies:
            values = sorted(evidence(row) for row in mine if row["proxy"] == proxy)
            cells.append(" ".join(f"{value:.1f}" for value in values))
        lines.append((family, model, *cells))
    return cells_table(("family", "model or source", *proxies), lines)


def of_peers(rows: list[Row], peers: list[Row]) -> str:
    """AUC of each score through the same proxies, of the pictures that all have."""
    known = {(row["proxy"], row["picture"]): row for row in peers}
    lines = []
    for proxy in dict.fromkeys(row["proxy"] for row in rows):
        mine = [row for row in rows if row["proxy"] == proxy and (proxy, row["picture"]) in known]
        cells = []
        for value in (evidence, lambda row: known[row["proxy"], row["picture"]]["ratio"],
                      lambda row: known[row["proxy"], row["picture"]]["loss"]):  # fmt: skip
            own, others = (
                np.array([value(row) for row in mine if (row["family"] == FAMILY[proxy]) is belongs])
                for belongs in (True, False)
            )
            cells.append(area(own, others) if len(own) and len(others) else "–")
        lines.append((FAMILY[proxy], len(mine), *cells))
    return cells_table(("family", "pictures", "ours", "AEDR's ratio", "AEROBLADE, MSE"), lines)


def calibration(rows: list[Row]) -> Families:
    """The calibration of the pictures that every proxy has scored."""
    proxies = list(dict.fromkeys(row["proxy"] for row in rows))
    first = [row for row in rows if row["proxy"] == proxies[0]]
    places = {(row["proxy"], row["picture"]): scored(row) for row in rows}
    pictures = tuple(KnownPicture(row["picture"], row["family"], row["model"], row["source"]) for row in first)
    known = []
    for proxy in proxies:
        values = [places[proxy, picture.sha256] for picture in pictures]
        contrasts, errors = zip(*filter(None, values), strict=True)
        known.append(FamilyProxy(FAMILY[proxy], proxy, decoder(proxy).fingerprint, contrasts, errors))
        assert same_weights(known[-1].digest, decoder(proxy).fingerprint)
    made = {picture.model for picture in pictures if picture.model}
    photographs = sum(picture.family == NO_FAMILY and not picture.model for picture in pictures)
    about = f"{len(pictures) - photographs} pictures that {len(made)} models made and {photographs} photographs"
    settings = {**SETTINGS, "side": SIDE}
    return Families(about, settings, SYSTEMATIC, OWN_WORK, FPR, FNR, pictures, tuple(known))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, nargs="?", default=RESULTS / "family-score-rows.jsonl")
    parser.add_argument("--peers", type=Path, help="rows of the peers")
    parser.add_argument("--calibration", type=Path, help="write the calibration of families")
    parser.add_argument("--report", type=Path, default=RESULTS / "family-score.md")
    args = parser.parse_args()
    rows = usable(read_rows(args.rows))
    if args.calibration:
        write_text(args.calibration, calibration(rows).to_json())
    pictures = {row["picture"]: row for row in rows}.values()
    photographs = sum(row["kind"] == "real" for row in pictures)
    models = len({row["model"] for row in pictures if row["model"]})
    parts = [
        "# Which family of models made a picture\n",
        made_by(f"`{args.rows.name}`"),
        f"{len(pictures) - photographs} pictures that {models} models made, {photographs} photographs, central {SIDE}²"
        f" or the whole, as PNG; evidence in deviations, with {SYSTEMATIC} beside each picture's own error.\n",
        "## Separation\n\nFound and wrong at 1 % for all proxies together, or at the least that so many pictures can"
        " state; each threshold is from pictures of other models and sources. Where that least is the"
        " lowest of n, one of n is wrong by construction. Intervals: 95 %.\n",
        separation(rows),
        "\n## How evidence grows with pixels\n",
        growth(rows),
        *(["\n## Peers through the same proxies\n", of_peers(rows, read_rows(args.peers))] if args.peers else []),
        "\n## Every picture\n",
        by_model(rows),
    ]
    write_text(args.report, "\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
