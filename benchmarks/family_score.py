"""Which family made it: the score of real models' pictures through tiny autoencoders, beside photographs.

    python benchmarks/family_score.py --quick --pictures-from FOLDER
    python benchmarks/family_score.py --pictures-from FOLDER --pictures-from ANOTHER     # resumable
    python benchmarks/family_report.py                                                   # the report of the rows

A folder holds the pictures of its own index.tsv, or of pictures/families.tsv; they are found by their SHA-256. Of each
the central ``--side``² is asked, or with ``--side whole`` all pixels of those that have more than 512²; the parts of it
that lie within smaller squares tell how evidence grows with pixels. Which were lossy files is noted. A row is one
picture under one proxy, ``--delivered`` in one way, and with ``--undone`` resized back as a search that finds how it
lies would: contrast and error for each side.
"""

from __future__ import annotations

import csv
import hashlib
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from common import REPOSITORY, RESULTS, Remembering, Row, decoder, parser_of, read_rows, rows_of
from deliveries import DELIVERIES, deliver
from latent_tracer.core import InvalidImageError, load_image, to_picture
from latent_tracer.core.images.jpeg import jpeg_quality
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.scores.double_reconstruction import DoubleReconstruction
from latent_tracer.core.scores.family_score import BANDS, block_ratios, of_tiles, tile_sums
from latent_tracer.core.scores.placement import resampled
from latent_tracer.core.scores.reconstruction import Reconstruction
from latent_tracer.core.scores.spectral import DCT_BLOCK
from latent_tracer.core.scores.windows import WHOLE_PIXELS, windows_of
from rich.progress import track
from torch import Tensor

PROXIES = ("taesd", "taesdxl", "taesd3", "taef1", "taef2")
TABLE = REPOSITORY / "benchmarks" / "pictures" / "families.tsv"
SIDES = (128, 192, 256, 384, 512, 768, 1024, 1536)
# After the name of a delivery: the sides are those again that the picture was made with.
UNDONE = ", resized back"
# The side of all pixels, and of the part that stands for larger pictures.
WHOLE, CENTRAL = "whole", 512
OF_PROXY = {"taesd": "SD1/SD2", "taesdxl": "SDXL", "taesd3": "SD3", "taef1": "FLUX.1", "taef2": "FLUX.2"}
# Pictures on which places and bands were chosen (320² of each under TAESD), by the start of their SHA-256: left out.
CHOSEN_ON = (
    "a56e27cbf5f8", "e25ca1ff2f0c", "10349e963c5c", "0895968cfca6", "b0d72ed9ace0", "5f441526aceb",
    "072c9be89a14", "f438c588cd1b", "a8dd3d7c1430",
)  # fmt: skip
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
                "size": (int(line["width"]), int(line["height"])),
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


def chosen(lines: list[Row], proxy: str, own: int | None, others: int | None, known: set[str]) -> list[Row]:
    """At most so many pictures of the proxy's family and of others, those that are ``known`` first."""
    lines = [line for line in lines if not line["picture"].startswith(CHOSEN_ON)]
    lines = sorted(lines, key=lambda line: line["picture"] not in known)
    belongs = [line["family"] == OF_PROXY[proxy] for line in lines]
    mine = [line for line, is_own in zip(lines, belongs, strict=True) if is_own][:own]
    return mine + [line for line, is_own in zip(lines, belongs, strict=True) if not is_own][:others]


def asked(line: Row, side: int | str, delivered: str) -> tuple[Tensor, Tensor]:
    """The pixels ``[1,3,H,W]`` of a picture as they were ``delivered``, and the part of them that is asked."""
    pixels = load_image(line["path"]).pixels
    if delivered:
        made = pixels.shape[-2], pixels.shape[-1]
        with tempfile.TemporaryDirectory() as folder:
            pixels = load_image(deliver(to_picture(pixels), delivered.removesuffix(UNDONE), Path(folder))).pixels
        if delivered.endswith(UNDONE):
            pixels = resampled(pixels, made, (0, 0), made)
    return pixels, pixels if isinstance(side, str) else central(pixels, side)


def central(pixels: Tensor, side: int) -> Tensor:
    """The central ``side``² of ``pixels`` ``[1,3,H,W]``, on the grid of its corner; less where it is less."""
    top, left = (max(0, length - side) // 2 // 16 * 16 for length in pixels.shape[-2:])
    return pixels[..., top : top + side, left : left + side].contiguous()


def measure(proxy: str, line: Row, side: int | str, delivered: str) -> Row:
    autoencoder = decoder(proxy)
    pixels, part = asked(line, side, delivered)
    began = time.process_time()
    row = {"proxy": proxy, "side": side, **{key: value for key, value in line.items() if key not in ("path", "size")}}
    row |= {"height": pixels.shape[-2], "width": pixels.shape[-1]}
    # Of a delivered picture, what it was before.
    row |= {"delivered": delivered, "jpeg": None} if delivered else {"jpeg": jpeg_quality(pixels)}
    try:
        with torch.no_grad():
            ratios, weights = block_ratios(autoencoder, part, Passes())
        least = min(part.shape[-2:])
        sides = [one for one in SIDES if one <= (side if isinstance(side, int) else least)]
        row["sides"] = {str(one): scored(ratios, weights, list(BANDS), one) for one in sides}
        every = range(ratios.shape[-1])
        if side == WHOLE:
            row["sides"][WHOLE] = pooled([(ratios[..., list(BANDS)].sum(-1), weights[..., list(BANDS)].sum(-1))])
            row["windows"] = of_windows(ratios, weights, part)
            row["by_band"] = {str(one): [scored(ratios, weights, [band], one) for band in every] for one in sides}
        row["bands"] = [scored(ratios, weights, [band], max(part.shape[-2:])) for band in every]
    except InvalidImageError as error:
        row["error"] = str(error)
    row["seconds"] = round(time.process_time() - began, 2)
    return row


def of_windows(ratios: Tensor, weights: Tensor, pixels: Tensor) -> list[float] | None:
    """Contrast and error of the windows that stand for a large picture in other scores: those with most detail."""
    if pixels.shape[-2] * pixels.shape[-1] <= WHOLE_PIXELS:
        return None
    parts = []
    for window in windows_of(pixels, DCT_BLOCK):
        high, wide = ((length - 3 * DCT_BLOCK) // DCT_BLOCK for length in (window.height, window.width))
        top, left = window.top // DCT_BLOCK, window.left // DCT_BLOCK
        part = slice(top, top + high), slice(left, left + wide), list(BANDS)
        parts.append((ratios[part].sum(-1), weights[part].sum(-1)))
    return pooled(parts)


def scored(ratios: Tensor, weights: Tensor, bands: list[int], side: int) -> list[float] | None:
    """Contrast and error of the central ``side``² of a picture; ``None`` where it is smaller, or holds too little."""
    blocks = (side - 24) // DCT_BLOCK
    height, width = ratios.shape[:2]
    if blocks > max(height, width) + DCT_BLOCK:
        return None
    top, left = (max(0, length - blocks) // 2 for length in (height, width))
    part = slice(top, top + blocks), slice(left, left + blocks), bands
    return pooled([(ratios[part].sum(-1), weights[part].sum(-1))])


def pooled(parts: list[tuple[Tensor, Tensor]]) -> list[float] | None:
    """Contrast and error of the blocks ``[h,w]`` of some parts together; ``None`` where they hold too little."""
    try:
        found = of_tiles(torch.cat([tile_sums(*part) for part in parts]), Passes())
    except InvalidImageError:
        return None
    return [round(found.contrast, 5), round(found.error, 5)]


def peers(proxy: str, line: Row, side: int | str, delivered: str) -> Row:
    """AEDR's ratio and AEROBLADE with the mean squared error, of the same pixels through the same proxy."""
    autoencoder = decoder(proxy)
    _, part = asked(line, side, delivered)
    shared: Any = Remembering(autoencoder)
    ratio, loss = DoubleReconstruction()(shared, part).value, Reconstruction()(shared, part).value
    row = {"proxy": proxy, "side": side, "picture": line["picture"], "ratio": ratio, "loss": loss}
    return row | ({"delivered": delivered} if delivered else {})


def key_of(row: Row) -> tuple[str, int | str, str, str]:
    return row["proxy"], row["side"], row["picture"], row.get("delivered", "")


def main() -> None:
    parser = parser_of(__doc__, "six pictures under two proxies at 256²")
    parser.add_argument("--pictures-from", type=Path, action="append", default=[])
    parser.add_argument(
        "--table", type=Path, default=TABLE, help="the list of pictures of folders without an index.tsv"
    )
    parser.add_argument("--proxies", default=",".join(PROXIES))
    parser.add_argument("--side", type=lambda text: text if text == WHOLE else int(text), default=CENTRAL)
    parser.add_argument("--delivered", choices=DELIVERIES, default="", metavar="WAY", help="one of deliveries.py")
    parser.add_argument("--undone", action="store_true", help="resized back to its sides after that")
    parser.add_argument("--least-side", type=int, default=0, help="only pictures with so many pixels each way")
    parser.add_argument("--most-pixels", type=int, default=10**9, help="only pictures with at most so many")
    parser.add_argument("--own", type=int, help="at most so many of each proxy's family")
    parser.add_argument("--others", type=int, help="at most so many others; first, as of --own, those with a row")
    parser.add_argument("--peers", action="store_true", help="measure the peers instead, into rows of their own")
    args = parser.parse_args()
    if args.quick:
        args.side, args.proxies = 256, "taesd,taesdxl"
    way = args.delivered + (UNDONE if args.undone else "")
    rows = rows_of(args, "family-peers" if args.peers else "family-score", key_of)
    lines = {}
    for folder in args.pictures_from:
        lines |= {one["picture"]: one for one in pictures_in(folder, args.table)}
    least = CENTRAL**2 if args.side == WHOLE else 0  # of smaller ones the central part is all there is
    turns = [
        line
        for line in in_turns(list(lines.values()))
        if min(line["size"]) >= args.least_side and least < line["size"][0] * line["size"][1] <= args.most_pixels
    ]
    kept = RESULTS / "family-score-rows.jsonl"
    measured = read_rows(kept) if kept.is_file() else []
    measured = [row for row in measured if row["side"] == CENTRAL and not row.get("delivered")]
    known = {row["picture"] for row in measured}
    if args.own is not None or args.others is not None:
        once_lossy = {row["picture"] for row in measured if row["jpeg"] or "error" in row}
        turns = [line for line in turns if line["picture"] not in once_lossy]
    for proxy in args.proxies.split(","):
        mine = turns
        if args.own is not None or args.others is not None:
            mine = chosen(turns, proxy, args.own, args.others, known)
        for line in track(mine[: 6 if args.quick else None], proxy):
            if rows.lacks(proxy, args.side, line["picture"], way):
                try:
                    rows.add((peers if args.peers else measure)(proxy, line, args.side, way))
                except InvalidImageError as error:  # it was taken away since the folder was listed
                    print(error)


if __name__ == "__main__":
    main()
