"""How far is our score in bfloat16 from the exact one, and does any verdict change?

    python benchmarks/precision.py --pictures 24 --json precision.json    # resumable

Per decoder: both scores of belonging and other images, the largest difference, and the verdicts under that decoder's
shipped profile, at the distance that every other picture gave. `tools/build_profiles.py --precision ROWS` puts the
differences into those profiles.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from attribution import DATA, DECODERS, HISTORY, RESULTS, Case, all_pictures, cases_of, image_of
from latent_tracer.core import Profile, builtin_profile, load_autoencoder, verdict_from_profile
from latent_tracer.core.images.conditions import CLEAN, HISTORIES, alter
from latent_tracer.core.scores.grid_contrast import GridContrast
from latent_tracer.core.scores.rough_score import DISTANCE_FACTOR, is_decided
from latent_tracer.core.storage.atomic import write_text
from rich.progress import track


def difference(row: dict[str, Any]) -> float:
    return float(min(abs(candidate - row["exact"]) for candidate in row["candidates"]))


def decided_by_other_pictures(rows: list[dict[str, Any]], profile: Profile) -> list[bool]:
    """Whether each row's rough score decides, at the distance that every other picture gave: never its own."""
    halves = [set(sorted({row["picture"] for row in rows})[fold::2]) for fold in (0, 1)]
    distances = [
        DISTANCE_FACTOR * max(difference(row) for row in rows if row["picture"] not in half) for half in halves
    ]
    return [is_decided(profile, row["candidates"], distances[row["picture"] in halves[1]]) for row in rows]


def summarise(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    table = []
    for inspected in sorted({row["inspected"] for row in rows}):
        own = [row for row in rows if row["inspected"] == inspected]
        profile = builtin_profile(own[0]["fingerprint"])
        assert profile is not None
        differences = [difference(row) for row in own]
        decided = decided_by_other_pictures(own, profile)
        answers = [tuple(verdict_from_profile(row[key], profile).answer for key in ("rough", "exact")) for row in own]
        changed = [d and rough != exact for d, (rough, exact) in zip(decided, answers, strict=True)]
        seconds = [
            row["rough_seconds"] + (0 if d else row["exact_seconds"]) for d, row in zip(decided, own, strict=True)
        ]
        exact = float(np.median([row["exact_seconds"] for row in own]))
        aedr = float(np.median([2 * row["exact_seconds"] / row["exact_passes"] for row in own]))
        table.append({
            "inspected": inspected, "images": len(own), "median_difference": round(float(np.median(differences)), 4),
            "largest_difference": round(max(differences), 4), "decided_in_bfloat16": round(float(np.mean(decided)), 3),
            "verdicts_changed": int(sum(changed)), "exact_seconds": round(exact, 3),
            "seconds": round(float(np.median(seconds)), 3), "mean_seconds": round(float(np.mean(seconds)), 3),
            "seconds_over_two_passes": round(float(np.median(seconds)) / aedr, 3),
            "mean_over_two_passes": round(float(np.mean(seconds)) / aedr, 3),
        })  # fmt: skip
    return table


def markdown(table: list[dict[str, Any]]) -> str:
    lines = ["| " + " | ".join(table[0]) + " |", "|" + "---|" * len(table[0])]
    return "\n".join(lines + ["| " + " | ".join(str(v) for v in row.values()) + " |" for row in table])


def run(args: argparse.Namespace, path: Path, rows: list[dict[str, Any]]) -> None:
    names = args.decoders.split(",")
    models = {name: load_autoencoder(DATA / "weights" / name) for name in DECODERS}
    done = {(row["inspected"], row["picture"], row["source"], row["condition"]) for row in rows}
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
    with path.open("a", encoding="utf-8") as stream:
        for case, condition in track(jobs, description="scoring"):
            if (case.inspected, case.picture, case.source, condition) in done:
                continue
            image, model = alter(image_of(case, models, args.size), condition), models[case.inspected]
            began = time.perf_counter()
            rough = score.rough(model, image)
            middle = time.perf_counter()
            exact = score(model, image)
            row = {"inspected": case.inspected, "fingerprint": model.fingerprint, "picture": case.picture,
                   "source": case.source, "condition": condition, "belongs": case.belongs, "exact": exact.value,
                   "rough": rough.scored.value, "candidates": rough.candidates, "exact_passes": exact.passes.encoder,
                   "rough_passes": rough.scored.passes.encoder, "rough_seconds": middle - began,
                   "exact_seconds": time.perf_counter() - middle}  # fmt: skip
            rows.append(row)
            stream.write(json.dumps(row) + "\n")
            stream.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="4 pictures of 128²")
    parser.add_argument("--json", type=Path, help="write the table as JSON")
    parser.add_argument("--rows", type=Path, help="resumable raw rows (default: results/partial/precision.jsonl)")
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--decoders", default=",".join(DECODERS))
    parser.add_argument("--report-only", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.pictures, args.size = 4, 128
    if not (DATA / "weights").is_dir():
        raise SystemExit(f"No data at {DATA}: set LATENT_TRACER_DATA to the folder with weights/ and images/.")
    path = args.rows or RESULTS / "partial" / ("precision-quick.jsonl" if args.quick else "precision.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    if not args.report_only:
        run(args, path, rows)
    table = summarise(rows)
    print(markdown(table))
    if args.json:
        write_text(args.json, json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
