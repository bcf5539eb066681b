"""Turn the benchmark's raw rows into the profiles that ship for well-known decoders.

python benchmarks/attribution.py --pictures 100 --histories 100 --inverted 0 --others 1 --size 192 --rows rows.jsonl
python benchmarks/localisation.py --patches 0 --conditions clean --pictures 40 --size 256 --rows maps.jsonl
python benchmarks/precision.py --pictures 24 --rows precision.jsonl
python tools/build_profiles.py rows.jsonl --size 192 --localisation maps.jsonl --precision precision.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from latent_tracer.core import DEFAULT_SCORE, Profile, load_autoencoder, make_score
from latent_tracer.core.conditions import CLEAN
from latent_tracer.core.localisation import THRESHOLD_KEY, fit_localisation
from latent_tracer.core.profile import measured_error_rates
from latent_tracer.core.rough_score import THRESHOLD_KEY as ROUGHNESS_KEY
from latent_tracer.core.rough_score import fit_roughness

EMBEDDED = Path(__file__).resolve().parent.parent / "core" / "embedded"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, nargs="+", help="files written by benchmarks/attribution.py --rows")
    parser.add_argument("--size", type=int, default=256, help="crop size those rows were made with")
    parser.add_argument("--localisation", type=Path, help="file written by benchmarks/localisation.py --rows")
    parser.add_argument("--precision", type=Path, help="file written by benchmarks/precision.py --rows")
    args = parser.parse_args()
    both = [json.loads(line) for line in args.precision.read_text().splitlines()] if args.precision else []
    maps = [json.loads(line) for line in args.localisation.read_text().splitlines()] if args.localisation else []
    data = Path(os.environ.get("LATENT_TRACER_DATA", Path(__file__).resolve().parents[2] / "shared"))
    unique = {}
    for path in args.rows:
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if row["condition"] == CLEAN or row["source"] == "history":
                unique[row["inspected"], row["picture"], row["source"], row["condition"]] = row
    rows = list(unique.values())
    profiles = []
    for inspected in sorted({row["inspected"] for row in rows}):
        own = [row for row in rows if row["inspected"] == inspected]
        profile = profile_from(own, inspected, load_autoencoder(data / "weights" / inspected).fingerprint, args.size)
        profiles.append(profile)
        # Whole pictures of this decoder: what their maps reach by chance.
        whole = [row for row in maps if row["inspected"] == inspected and row["patch"] == 0]
        excesses = [row["largest_excess"] for row in whole if row["condition"] == CLEAN]
        if excesses:
            profile = replace(profile, thresholds={**profile.thresholds, THRESHOLD_KEY: fit_localisation(excesses)})
        # How far the score in bfloat16 is from the exact one.
        pairs = [row for row in both if row["inspected"] == inspected]
        roughness = fit_roughness([min(abs(c - row["exact"]) for c in row["candidates"]) for row in pairs])
        if roughness is not None:
            profile = replace(profile, thresholds={**profile.thresholds, ROUGHNESS_KEY: roughness})
        profile.save(EMBEDDED / f"{inspected}.profile.json")
        print(inspected, len(profile.belonging_scores), profile.error_rates, f"stated rate {profile.stated_fpr:.4f}")
    default_of(profiles).save(EMBEDDED / "default.json")


def profile_from(rows: list[dict[str, Any]], inspected: str, fingerprint: str, size: int) -> Profile:
    """One decoder's profile from its rows."""
    belonging = [row["methods"][DEFAULT_SCORE][0] for row in rows if row["belongs"]]
    others = [row for row in rows if not row["belongs"]]
    pictures = len({row["picture"] for row in rows})
    profile = Profile(
        fingerprint=fingerprint,
        autoencoder=inspected,
        score=DEFAULT_SCORE,
        score_settings=dict(make_score().settings),
        quantiser="auto",
        decode_path="pillow",
        condition=CLEAN,
        image_sizes=(size, size),
        calibrated_on=f"{pictures} free photographs and generated pictures, central {size}² crops",
        belonging_scores=tuple(belonging),
        non_belonging_scores=tuple(row["methods"][DEFAULT_SCORE][0] for row in others),
        non_belonging_sources=tuple(map(source_of, others)),
        notes=(f"{pictures} photographs stand behind all samples", "built in, not calibrated by the user"),
    )
    return replace(profile, error_rates=measured_error_rates(profile))


def source_of(row: dict[str, Any]) -> str:
    """Pictures, made or photographed, are one source; so are other decoders, of which each picture met a few."""
    if row["source"] == "history":
        return f"picture, {row['condition']}"
    return "picture" if row["source"] in ("real", "generated") else "another decoder"


def default_of(profiles: list[Profile]) -> Profile:
    """What serves for a decoder that has no profile: every source under every decoder of ``profiles`` on its own."""
    names = ", ".join(profile.autoencoder for profile in profiles)
    return replace(
        profiles[0],
        fingerprint="no decoder",
        autoencoder=f"other decoders ({names})",
        calibrated_on=f"other decoders ({names}), {profiles[0].calibrated_on}",
        belonging_scores=tuple(score for profile in profiles for score in profile.belonging_scores),
        non_belonging_scores=tuple(score for profile in profiles for score in profile.non_belonging_scores),
        non_belonging_sources=tuple(
            f"{source} under {profile.autoencoder}" for profile in profiles for source in profile.non_belonging_sources
        ),
        error_rates={},
    )


if __name__ == "__main__":
    main()
