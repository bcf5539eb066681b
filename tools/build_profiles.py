"""Turn the benchmark's raw rows into the profiles that ship for well-known decoders. No decoder runs: seconds.

    python tools/build_profiles.py            # from the rows in benchmarks/results
    python tools/build_profiles.py --rekey    # only fit the profiles that are there to the digests of today
    python tools/build_profiles.py --placed   # only the one of evidence at another placement

The rows, where they have to be measured again (hours):

    python benchmarks/attribution.py --pictures 100 --histories 100 --inverted 0 --others 1 --size 192 --rows R
    python benchmarks/localisation.py --patches 0 --conditions clean --pictures 100 --size 256 --rows R
    python benchmarks/precision.py --pictures 24 --rows R
    python benchmarks/placed.py --rows R
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from latent_tracer.core import DEFAULT_SCORE, Profile, load_autoencoder, load_image, load_profile, make_score
from latent_tracer.core.images.conditions import CLEAN
from latent_tracer.core.images.same_picture import SeenPictures
from latent_tracer.core.models.loading import EMBEDDED as DEMOS
from latent_tracer.core.profiles import Limits, Source, save_profile
from latent_tracer.core.profiles.table import found_among_belonging
from latent_tracer.core.profiles.thresholds import shown_rate
from latent_tracer.core.profiles.trust import EMBEDDED
from latent_tracer.core.scores.contrast_map import evidence_of
from latent_tracer.core.scores.decoder_grid import grid_of
from latent_tracer.core.scores.rough_score import fit_roughness
from latent_tracer.core.verdicts.doubt import fit_grid
from latent_tracer.core.verdicts.localisation import fit_localisation

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
DATA = Path(os.environ.get("LATENT_TRACER_DATA", Path(__file__).resolve().parents[2] / "shared"))
KINDS = {"plain": "decoded", "noise": "perturbed", "real": "photograph", "generated": "photograph"}
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=RESULTS / "attribution-192-rows.jsonl")
    parser.add_argument("--size", type=int, default=192, help="crop size those rows were made with")
    parser.add_argument("--localisation", type=Path, default=RESULTS / "localisation-whole-rows.jsonl")
    parser.add_argument("--precision", type=Path, default=RESULTS / "precision-rows.jsonl")
    parser.add_argument("--rekey", action="store_true", help="keep all scores, renew fingerprint and grid only")
    parser.add_argument("--placed", action="store_true", help="build only placed.json")
    args = parser.parse_args()
    if args.rekey:
        rekey()
        return
    save(placed_profile(read_rows(RESULTS / "placed-rows.jsonl")), "placed.json")
    if args.placed:
        return
    rows = [row for row in read_rows(args.rows) if row["condition"] == CLEAN or row["source"] == "history"]
    numbers = picture_numbers(rows, args.size)
    maps, pairs = read_rows(args.localisation), read_rows(args.precision)
    profiles = []
    for inspected in sorted({row["inspected"] for row in rows}):
        own = [row for row in rows if row["inspected"] == inspected]
        limits = limits_from(*([row for row in one if row["inspected"] == inspected] for one in (maps, pairs)))
        profile = profile_from(own, numbers, inspected, args.size, limits)
        profiles.append(profile)
        save(profile, f"{inspected}.profile.json")
    save(default_of(profiles), "default.json")


def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def save(profile: Profile, name: str) -> None:
    save_profile(profile, EMBEDDED / name)
    found = found_among_belonging(profile)
    print(f"{name}: {profile.pictures_counted} of {profile.pictures_given} pictures, a yes is wrong for"
          f" {shown_rate(profile.stated_fpr, profile.fpr_bound)}, finds {found.accepted} of {found.n}")  # fmt: skip


def rekey() -> None:
    """Other digests for the same weights: nothing was measured anew, and no score may change."""
    folders = {path.name.removesuffix(".profile.json"): path for path in sorted(EMBEDDED.glob("*.profile.json"))}
    for name, path in folders.items():
        model = load_autoencoder(name if name in DEMOS else DATA / "weights" / name)
        save(replace(load_profile(path), fingerprint=model.fingerprint, grid=grid_of(model)), path.name)


def picture_numbers(rows: list[Row], size: int) -> dict[str, int]:
    """A number for each picture, the same for those that show the same where they were scored."""
    seen, numbers = SeenPictures(), {}
    for name in pictures_of(rows):
        pixels = load_image(DATA / "images" / name).pixels
        top, left = ((side - size) // 2 for side in pixels.shape[-2:])
        numbers[name] = seen.number_of(pixels[..., top : top + size, left : left + size])[0]
    return numbers


def pictures_of(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["picture"] for row in rows))


def profile_from(rows: list[Row], numbers: dict[str, int], inspected: str, size: int, limits: Limits) -> Profile:
    """One decoder's profile from its rows."""
    model = load_autoencoder(DATA / "weights" / inspected)
    given = pictures_of(rows)
    return Profile(
        fingerprint=model.fingerprint,
        autoencoder=inspected,
        score=DEFAULT_SCORE,
        score_settings=dict(make_score().settings),
        condition=CLEAN,
        image_sizes=(size, size),
        calibrated_on=f"{len(given)} free photographs and generated pictures, central {size}² crops",
        belonging=sources_of([row for row in rows if row["belongs"]], numbers),
        others=sources_of([row for row in rows if not row["belongs"]], numbers),
        pictures_given=len(given),
        pictures_counted=len({numbers[name] for name in given}),
        grid=grid_of(model),
        limits=limits,
    )


def placed_profile(rows: list[Row]) -> Profile:
    """Evidence of pictures that lie otherwise than they were made, or seem to: several decoders in one."""
    numbers = picture_numbers(rows, 192)

    def source(kind: str, part: list[Row], history: str = CLEAN, under: str = "", makers: bool = False) -> Source:
        scores = tuple(round(evidence_of(row["contrast"], row["error"]), 4) for row in part)
        pictures = tuple(numbers[row["picture"]] for row in part)
        return Source(kind, scores, pictures, history, tuple(row["maker"] for row in part) if makers else (), under)

    def of(way: str) -> list[Row]:
        return [row for row in rows if row["way"] == way]

    deciders = sorted({row["inspected"] for row in rows})
    return Profile(
        fingerprint="no decoder",
        autoencoder=f"several decoders ({', '.join(deciders)})",
        score="placed-evidence",
        score_settings={},
        condition=CLEAN,
        image_sizes=(256, 448),
        calibrated_on=f"{len(numbers)} free photographs and generated pictures, crops of 256² to 448² pixels, resized",
        belonging=tuple(
            source("decoded", [row for row in of("own") if row["inspected"] == one], under=one) for one in deciders
        ),
        others=(
            source("photograph", of("photograph")),
            source("photograph", of("resized"), under="at the size they had"),
            source("photograph", of("jpeg"), history="jpeg-30"),
            source("photograph", of("twice"), history="jpeg-90"),
            source("decoder", of("another decoder's"), makers=True),
        ),
        pictures_given=len(numbers),
        pictures_counted=len(set(numbers.values())),
    )


def sources_of(rows: list[Row], numbers: dict[str, int]) -> tuple[Source, ...]:
    """Pictures, made or photographed, are one source; so are other decoders, of which each picture met one."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        kind = "photograph" if row["source"] == "history" else KINDS.get(row["source"], "decoder")
        found.setdefault((kind, row["condition"]), []).append(row)
    return tuple(
        Source(
            kind,
            tuple(row["methods"][DEFAULT_SCORE][0] for row in part),
            tuple(numbers[row["picture"]] for row in part),
            history,
            tuple(row["source"] for row in part) if kind == "decoder" else (),
        )
        for (kind, history), part in found.items()
    )


def limits_from(maps: list[Row], pairs: list[Row]) -> Limits:
    """What maps of wholly belonging pictures reach by chance, their own grids, and how far bfloat16 is off."""
    whole = [row for row in maps if row["patch"] == 0 and row["condition"] == CLEAN]
    return Limits(
        localisation=fit_localisation([row["largest_excess"] for row in whole]),
        low_precision=fit_roughness([min(abs(c - row["exact"]) for c in row["candidates"]) for row in pairs]),
        own_grid=fit_grid([row["grid"] for row in whole]),
    )


def default_of(profiles: list[Profile]) -> Profile:
    """What serves for a decoder that has no profile: every source under every decoder of ``profiles`` on its own."""
    names = ", ".join(profile.autoencoder for profile in profiles)
    return replace(
        profiles[0],
        fingerprint="no decoder",
        autoencoder=f"other decoders ({names})",
        calibrated_on=f"other decoders ({names}), {profiles[0].calibrated_on}",
        belonging=tuple(replace(s, under=one.autoencoder) for one in profiles for s in one.belonging),
        others=tuple(replace(s, under=one.autoencoder) for one in profiles for s in one.others),
        grid=None,
        limits=Limits(),
    )


if __name__ == "__main__":
    main()
