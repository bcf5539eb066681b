"""Are pasted regions found? Pixel AUC and IoU on real decoders, clean and as JPEG, with AEDR's local ratio beside.

A square patch of a photograph, or of another decoder's version of it, is pasted into a picture that the inspected
decoder made, at a place drawn from a fixed seed. Controls are whole pictures without a patch: they give the false
alarms at the uncalibrated threshold.

    python benchmarks/localisation.py --quick
    python benchmarks/localisation.py --json localisation.json   # resumable
    python benchmarks/localisation.py --own ...   # the reverse: a patch that it made, on its grid, in another picture
"""

from __future__ import annotations

import argparse
import hashlib
from typing import Any

import numpy as np
import torch

from common import (  # isort: skip
    DECODERS, Row, Rows, crop_of, decoders, parser_of, pictures_of_side, require_data, rows_of, table, write_json,
)  # fmt: skip
from latent_tracer.core import ModuleAutoencoder, Passes, locate_foreign, locate_own, quantise
from latent_tracer.core.images.conditions import alter
from latent_tracer.core.images.regularity import grid_strength
from latent_tracer.core.scores.protocol import reconstruct
from rich.progress import track
from scipy import stats
from torch import Tensor

PATCHES = (0, 64, 128, 192)
CONDITIONS = ("clean", "jpeg-90")


def local_ratio(autoencoder: ModuleAutoencoder, image: Tensor) -> Tensor:
    """AEDR's ratio with local means (32 pixels) in place of the whole image's: ``[H,W]``, higher where foreign."""
    first = reconstruct(autoencoder, image, Passes())
    second = reconstruct(autoencoder, first, Passes())
    upper, lower = ((a - b).square().mean(1, keepdim=True) for a, b in ((image, first), (first, second)))
    local = [
        torch.nn.functional.avg_pool2d(x, 33, stride=1, padding=16, count_include_pad=False) for x in (upper, lower)
    ]
    return (local[0] / (local[1] + 1e-7)).log()[0, 0]


def pixel_auc(values: Tensor, truth: Tensor) -> float:
    """Area under the pixel-level curve, by ranks (every 4th pixel each way)."""
    thinned, inside = values[::4, ::4].flatten().numpy(), truth[::4, ::4].flatten().numpy()
    ranks = stats.rankdata(thinned)
    positives, negatives = int(inside.sum()), int((~inside).sum())
    return float((ranks[inside].sum() - positives * (positives + 1) / 2) / (positives * negatives))


@torch.no_grad()
def case_of(
    models: dict[str, ModuleAutoencoder],
    inspected: str,
    number: int,
    picture: str,
    size: int,
    patch: int,
    sought: str = "foreign",
) -> Any:
    """(image, truth, foreign source): a belonging picture with a patch at a place that depends on names only.

    ``sought`` "own": the patch belongs, the rest does not, and it lies on whole cells.
    """
    original = crop_of(picture, size)
    own = quantise(models[inspected].decode(models[inspected].encode(original)), ("round", "floor")[number % 2])
    truth = torch.zeros(size, size, dtype=torch.bool)
    if patch == 0 and sought == "foreign":
        return own, truth, "none"
    seed = int(hashlib.sha256(f"{picture} {inspected} {patch}".encode()).hexdigest()[:8], 16)
    top, left = np.random.default_rng(seed).integers(0, size - patch + 1, 2)
    if sought == "own":
        top, left = (start // 16 * 16 for start in (top, left))
    truth[top : top + patch, left : left + patch] = True
    others = [name for name in models if name != inspected]
    source = "photograph" if number % 2 == 0 or not others else others[number // 2 % len(others)]
    foreign = original if source == "photograph" else quantise(models[source].decode(models[source].encode(original)))
    return torch.where(truth, own, foreign) if sought == "own" else torch.where(truth, foreign, own), truth, source


def summarise(rows: list[Row]) -> list[Row]:
    summary = []
    names = ("sought", "inspected", "condition", "size", "patch")
    for key in sorted({tuple(r[name] for name in names) for r in rows}):
        part = [r for r in rows if tuple(r[name] for name in names) == key]
        row: dict[str, Any] = dict(zip(names, key, strict=True))
        row["images"] = len(part)
        row["with_mask"] = round(float(np.mean([r["share"] > 0 for r in part])), 3)
        if row["patch"]:
            for name in ("auc", "auc_aedr", "iou"):
                row[name] = round(float(np.mean([r[name] for r in part])), 3)
            row["least_auc"] = round(float(np.min([r["auc"] for r in part])), 3)
        else:
            row["largest_excess"] = round(float(np.max([r["largest_excess"] for r in part])), 2)
        summary.append(row)
    return summary


def key_of(row: Row) -> tuple[Any, ...]:
    """Rows of before the reverse do not say what was sought."""
    return (
        *(row[name] for name in ("inspected", "condition", "size", "patch", "picture")),
        row.get("sought", "foreign"),
    )


COLUMNS = (
    "sought", "inspected", "condition", "size", "patch", "images", "auc", "least_auc", "auc_aedr", "iou", "with_mask",
    "largest_excess",
)  # fmt: skip


def main() -> None:
    quick = "2 pictures of 256², one decoder, one patch size, clean"
    parser = parser_of(__doc__, quick, pictures=8, size=512, decoders=DECODERS)
    parser.add_argument("--patches", default=",".join(map(str, PATCHES)))
    parser.add_argument("--own", action="store_true", help="look for the part that the decoder made")
    parser.add_argument("--conditions", default=",".join(CONDITIONS))
    args = parser.parse_args()
    if args.quick:
        args.pictures, args.size, args.patches, args.conditions, args.decoders = 2, 256, "96", "clean", "taesd"
    require_data()
    rows = rows_of(args, "localisation", key_of)
    for row in rows:
        row.setdefault("sought", "foreign")
    if not args.report_only:
        run(args, rows)
    summary = summarise(rows)
    print(table(summary, COLUMNS))
    write_json(args.json, summary)


def run(args: argparse.Namespace, rows: Rows) -> None:
    models = decoders()
    jobs = [
        (number, picture, condition, int(patch), inspected)
        for number, picture in enumerate(pictures_of_side(args.size, args.pictures))
        for condition in args.conditions.split(",")
        for patch in args.patches.split(",")
        for inspected in args.decoders.split(",")
    ]
    for number, picture, condition, patch, inspected in track(jobs, description="locating"):
        sought = "own" if args.own else "foreign"
        if not rows.lacks(inspected, condition, args.size, patch, picture, sought):
            continue
        image, truth, source = case_of(models, inspected, number, picture, args.size, patch, sought)
        image = alter(image, condition)
        found = (locate_own if args.own else locate_foreign)(models[inspected], image)
        row = {"inspected": inspected, "condition": condition, "size": args.size, "patch": patch, "picture": picture,
               "sought": sought, "source": source, "share": found.share,
               "largest_excess": found.largest_excess}  # fmt: skip
        if patch:
            union = float((found.mask | truth).sum())
            row["iou"] = float((found.mask & truth).sum()) / union
            row["auc"] = pixel_auc(found.excess, truth)
            ratio = local_ratio(models[inspected], image)
            row["auc_aedr"] = pixel_auc(-ratio if args.own else ratio, truth)
        else:
            row["grid"] = grid_strength(image)
        rows.add(row)


if __name__ == "__main__":
    main()
