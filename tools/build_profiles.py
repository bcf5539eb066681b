"""Turn the benchmark's raw rows into the profiles that ship for well-known decoders.

python benchmarks/attribution.py --pictures 100 --inverted 0 --others 1 --rows rows.jsonl
python tools/build_profiles.py rows.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

from latent_tracer.core import DEFAULT_SCORE, Profile, load_autoencoder, make_score
from latent_tracer.core.profile import measured_error_rates

EMBEDDED = Path(__file__).resolve().parent.parent / "core" / "embedded"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, nargs="+", help="files written by benchmarks/attribution.py --rows")
    parser.add_argument("--size", type=int, default=256, help="crop size those rows were made with")
    args = parser.parse_args()
    data = Path(os.environ.get("LATENT_TRACER_DATA", Path(__file__).resolve().parents[2] / "shared"))
    unique = {}
    for path in args.rows:
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if row["condition"] == "clean":
                unique[row["inspected"], row["picture"], row["source"]] = row
    rows = list(unique.values())
    for inspected in sorted({row["inspected"] for row in rows}):
        own = [row for row in rows if row["inspected"] == inspected]
        belonging = [row["methods"][DEFAULT_SCORE][0] for row in own if row["belongs"]]
        others = [row for row in own if not row["belongs"]]
        pictures = len({row["picture"] for row in own})
        profile = Profile(
            fingerprint=load_autoencoder(data / "weights" / inspected).fingerprint,
            autoencoder=inspected,
            score=DEFAULT_SCORE,
            score_settings=dict(make_score().settings),
            quantiser="auto",
            decode_path="pillow",
            condition="clean",
            image_sizes=(args.size, args.size),
            calibrated_on=f"{pictures} free photographs and generated pictures, central {args.size}² crops",
            belonging_scores=tuple(belonging),
            non_belonging_scores=tuple(row["methods"][DEFAULT_SCORE][0] for row in others),
            # Pictures, made or photographed, are one source; so are other decoders, of which each picture met a few.
            non_belonging_sources=tuple(
                "picture" if row["source"] in ("real", "generated") else "another decoder" for row in others
            ),
            notes=(f"{pictures} photographs stand behind all samples", "built in, not calibrated by the user"),
        )
        profile = replace(profile, error_rates=measured_error_rates(profile))
        profile.save(EMBEDDED / f"{inspected}.profile.json")
        print(inspected, len(belonging), len(others), profile.error_rates, f"stated rate {profile.stated_fpr:.4f}")


if __name__ == "__main__":
    main()
