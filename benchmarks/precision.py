"""How far is our score in bfloat16 from the exact one, and does any verdict change?

    python benchmarks/precision.py --pictures 24 --json precision.json    # resumable

Per decoder: both scores of belonging and other images, the largest difference, and the verdicts under that decoder's
shipped profile, at the distance that every other picture gave. `tools/build_profiles.py --precision ROWS` puts the
differences into those profiles.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from attribution import HISTORY, Case, cases_of, image_of

from common import (  # isort: skip
    DECODERS, Row, Rows, all_pictures, decoders, parser_of, require_data, rows_of, shipped_profile, table, write_json,
)  # fmt: skip
from latent_tracer.core import Profile, verdict_from_profile
from latent_tracer.core.images.conditions import CLEAN, HISTORIES, alter
from latent_tracer.core.scores.grid_contrast import GridContrast
from latent_tracer.core.scores.rough_score import DISTANCE_FACTOR, is_decided
from rich.progress import track


def difference(row: Row) -> float:
    return float(min(abs(candidate - row["exact"]) for candidate in row["candidates"]))


def decided_by_other_pictures(rows: list[Row], profile: Profile) -> list[bool]:
    """Whether each row's rough score decides, at the distance that every other picture gave: never its own."""
    halves = [set(sorted({row["picture"] for row in rows})[fold::2]) for fold in (0, 1)]
    distances = [
        DISTANCE_FACTOR * max(difference(row) for row in rows if row["picture"] not in half) for half in halves
    ]
    return [is_decided(profile, row["candidates"], distances[row["picture"] in halves[1]]) for row in rows]


def summarise(rows: list[Row]) -> list[Row]:
    summary = []
    for inspected in sorted({row["inspected"] for row in rows}):
        own = [row for row in rows if row["inspected"] == inspected]
        profile = shipped_profile(inspected)
        differences = [difference(row) for row in own]
        decided = decided_by_other_pictures(own, profile)
        answers = [tuple(verdict_from_profile(row[key], profile).answer for key in ("rough", "exact")) for row in own]
        changed = [d and rough != exact for d, (rough, exact) in zip(decided, answers, strict=True)]
        seconds = [
            row["rough_seconds"] + (0 if d else row["exact_seconds"]) for d, row in zip(decided, own, strict=True)
        ]
        exact = float(np.median([row["exact_seconds"] for row in own]))
        aedr = float(np.median([2 * row["exact_seconds"] / row["exact_passes"] for row in own]))
        summary.append({
            "inspected": inspected, "images": len(own), "median_difference": round(float(np.median(differences)), 4),
            "largest_difference": round(max(differences), 4), "decided_in_bfloat16": round(float(np.mean(decided)), 3),
            "verdicts_changed": int(sum(changed)), "exact_seconds": round(exact, 3),
            "seconds": round(float(np.median(seconds)), 3), "mean_seconds": round(float(np.mean(seconds)), 3),
            "seconds_over_two_passes": round(float(np.median(seconds)) / aedr, 3),
            "mean_over_two_passes": round(float(np.mean(seconds)) / aedr, 3),
        })  # fmt: skip
    return summary


def run(args: argparse.Namespace, rows: Rows) -> None:
    names, models = args.decoders.split(","), decoders()
    jobs = [
        (case, CLEAN)
        for number, picture in enumerate(all_pictures()[: args.pictures])
        for name in names
        for case in cases_of(name, number, picture, 1)
    ]
    jobs += [
        (Case(name, picture, HISTORY, "as is"), HISTORIES[number % len(HISTORIES)])
        for number, picture in enumerate(all_pictures()[: args.pictures])
        for name in names
    ]
    score = GridContrast()
    for case, condition in track(jobs, description="scoring"):
        if not rows.lacks(case.inspected, case.picture, case.source, condition):
            continue
        image, model = alter(image_of(case, models, args.size), condition), models[case.inspected]
        began = time.perf_counter()
        rough = score.rough(model, image)
        middle = time.perf_counter()
        exact = score(model, image)
        rows.add({"inspected": case.inspected, "fingerprint": model.fingerprint, "picture": case.picture,
                  "source": case.source, "condition": condition, "belongs": case.belongs, "exact": exact.value,
                  "rough": rough.scored.value, "candidates": rough.candidates, "exact_passes": exact.passes.encoder,
                  "rough_passes": rough.scored.passes.encoder, "rough_seconds": middle - began,
                  "exact_seconds": time.perf_counter() - middle})  # fmt: skip


def main() -> None:
    args = parser_of(__doc__, "4 pictures of 128²", pictures=24, size=192, decoders=DECODERS).parse_args()
    if args.quick:
        args.pictures, args.size = 4, 128
    require_data()
    rows = rows_of(args, "precision", ("inspected", "picture", "source", "condition"))
    if not args.report_only:
        run(args, rows)
    summary = summarise(rows)
    print(table(summary))
    write_json(args.json, summary)


if __name__ == "__main__":
    main()
