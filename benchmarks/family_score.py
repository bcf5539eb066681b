"""Which family made it: the score of real models' pictures through tiny autoencoders, beside photographs.

    python benchmarks/family_score.py --quick --pictures-from FOLDER
    python benchmarks/family_score.py --pictures-from FOLDER --pictures-from ANOTHER     # resumable
    python benchmarks/family_report.py                                                   # the report of the rows

A folder holds the pictures of its own index.tsv, or of pictures/families.tsv; they are found by their SHA-256. Of each
the central ``--side``² is asked, and the parts of it that lie within smaller squares tell how evidence grows with
pixels. Which were lossy files is noted. A row is one picture under one proxy: contrast and error for each side.
"""

from __future__ import annotations

import csv
import hashlib
import time
from collections import Counter
from pathlib import Path

import torch
from common import REPOSITORY, Row, decoder, parser_of, rows_of
from latent_tracer.core import InvalidImageError, load_image
from latent_tracer.core.images.jpeg import jpeg_quality
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.scores.double_reconstruction import DoubleReconstruction
from latent_tracer.core.scores.family_score import BANDS, block_ratios, of_tiles, tile_sums
from latent_tracer.core.scores.reconstruction import Reconstruction
from latent_tracer.core.scores.spectral import DCT_BLOCK
from rich.progress import track
from torch import Tensor

PROXIES = ("taesd", "taesdxl", "taesd3", "taef1", "taef2")
TABLE = REPOSITORY / "benchmarks" / "pictures" / "families.tsv"
SIDES = (128, 192, 256, 384, 512, 768, 1024, 1536)
# Families of the models of an index.tsv, which names no family: whose VAE they decode with. AuraFlow's is SDXL's.
FAMILY_OF = {
    "SD1": "SD1/SD2", "SD2": "SD1/SD2", "SDXL": "SDXL", "CosXL": "SDXL", "AuraFlow": "SDXL", "SD3": "SD3",
    "FLUX.1": "FLUX.1", "Chroma": "FLUX.1", "HiDream": "FLUX.1", "Lumina2": "FLUX.1", "FLUX.2": "FLUX.2",
    "Qwen": "Qwen",
}  # fmt: skip


def family_of(model: str) -> str:
    return next((family for start, family in FAMILY_OF.items() if model.startswith(start)), "none")


def pictures_in(folder: Path, table: Path) -> list[Row]:
    """The pictures that lie in ``folder`` and that its index, or else the ``table``, lists."""
    index = folder / "index.tsv"
    with (index if index.is_file() else table).open(encoding="utf-8", newline="") as stream:
        known = {line["sha256"]: line for line in csv.DictReader(stream, delimiter="\t")}
    found = []
    for path in sorted(folder.rglob("*.png")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        line = known.get(digest)
        if line:
            real = line["kind"] == "real"
            source = line["source"].partition(":")[0].partition("@")[0]
            found.append({
                "path": path, "picture": digest, "kind": line["kind"], "model": "" if real else line["model"],
                "family": "none" if real else line.get("family") or family_of(line["model"]), "source": source,
            })  # fmt: skip
    return found


def in_turns(lines: list[Row]) -> list[Row]:
    """One photograph for every two made pictures, first one of each model and source, then another: wherever a run
    ends, it has seen the most there is."""
    turn: Counter[tuple[str, str]] = Counter()
    ranked: dict[str, list[tuple[int, str, Row]]] = {"real": [], "generated": []}
    for line in sorted(lines, key=lambda one: one["picture"]):
        group = line["model"], line["source"]
        turn[group] += 1
        ranked[line["kind"]].append((turn[group], line["picture"], line))
    placed = []
    for kind, step in (("real", 2), ("generated", 1)):
        placed += [
            (step * place, kind, line) for place, (*_, line) in enumerate(sorted(ranked[kind], key=lambda one: one[:2]))
        ]
    return [line for *_, line in sorted(placed, key=lambda one: one[:2])]


def central(pixels: Tensor, side: int) -> Tensor:
    """The central ``side``² of ``pixels`` ``[1,3,H,W]``, on the grid of its corner; less where it is less."""
    top, left = (max(0, length - side) // 2 // 16 * 16 for length in pixels.shape[-2:])
    return pixels[..., top : top + side, left : left + side].contiguous()


def measure(proxy: str, line: Row, side: int) -> Row:
    autoencoder = decoder(proxy)
    pixels = load_image(line["path"]).pixels
    part = central(pixels, side)
    began = time.process_time()
    row = {"proxy": proxy, "side": side, **{key: value for key, value in line.items() if key != "path"}}
    row |= {"height": pixels.shape[-2], "width": pixels.shape[-1], "jpeg": jpeg_quality(pixels)}
    try:
        with torch.no_grad():
            ratios, weights = block_ratios(autoencoder, part, Passes())
        row["sides"] = {str(one): scored(ratios, weights, list(BANDS), one) for one in SIDES if one <= side}
        row["bands"] = [scored(ratios, weights, [band], side) for band in range(ratios.shape[-1])]
    except InvalidImageError as error:
        row["error"] = str(error)
    row["seconds"] = round(time.process_time() - began, 2)
    return row


def scored(ratios: Tensor, weights: Tensor, bands: list[int], side: int) -> list[float] | None:
    """Contrast and error of the central ``side``² of a picture; ``None`` where it is smaller, or holds too little."""
    blocks = (side - 24) // DCT_BLOCK
    height, width = ratios.shape[:2]
    if blocks > max(height, width) + DCT_BLOCK:
        return None
    top, left = (max(0, length - blocks) // 2 for length in (height, width))
    part = slice(top, top + blocks), slice(left, left + blocks)
    try:
        found = of_tiles(tile_sums(ratios[part][..., bands].sum(-1), weights[part][..., bands].sum(-1)), Passes())
    except InvalidImageError:
        return None
    return [round(found.contrast, 5), round(found.error, 5)]


def peers(proxy: str, line: Row, side: int) -> Row:
    """AEDR's ratio and AEROBLADE with the mean squared error, of the same pixels through the same proxy."""
    autoencoder = decoder(proxy)
    part = central(load_image(line["path"]).pixels, side)
    ratio, loss = DoubleReconstruction()(autoencoder, part).value, Reconstruction()(autoencoder, part).value
    return {"proxy": proxy, "side": side, "picture": line["picture"], "ratio": ratio, "loss": loss}


def main() -> None:
    parser = parser_of(__doc__, "six pictures under two proxies at 256²")
    parser.add_argument("--pictures-from", type=Path, action="append", default=[])
    parser.add_argument(
        "--table", type=Path, default=TABLE, help="the list of pictures of folders without an index.tsv"
    )
    parser.add_argument("--proxies", default=",".join(PROXIES))
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--peers", action="store_true", help="measure the peers instead, into rows of their own")
    args = parser.parse_args()
    if args.quick:
        args.side, args.proxies = 256, "taesd,taesdxl"
    rows = rows_of(args, "family-peers" if args.peers else "family-score", ("proxy", "side", "picture"))
    lines = {}
    for folder in args.pictures_from:
        lines |= {one["picture"]: one for one in pictures_in(folder, args.table)}
    for line in track(in_turns(list(lines.values()))[: 6 if args.quick else None], "pictures"):
        for proxy in args.proxies.split(","):
            if rows.lacks(proxy, args.side, line["picture"]):
                try:
                    rows.add((peers if args.peers else measure)(proxy, line, args.side))
                except InvalidImageError as error:  # it was taken away since the folder was listed
                    print(error)


if __name__ == "__main__":
    main()
