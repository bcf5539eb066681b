"""Do pictures with a grid, repeats or rough compression of their own pass for a decoder's? One command, resumable.

Photographs, none of which ever met a decoder, are turned into what looks most like a decoder's grid: rough JPEG and
WebP, mosaics, ruled lines, ordered dithering, tiles, enlargements. Counted is how many get a yes by their score alone,
and how many by the verdict, which also heeds what the pixels show of the picture's history.

    python benchmarks/histories.py --quick               # a few minutes
    python benchmarks/histories.py --json histories.json # interrupt and repeat at will
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Callable

import numpy as np

from common import (  # isort: skip
    DECODERS, Row, Rows, all_pictures, cells_table, crop_of, decoder, parser_of, require_data, rows_of,
    shipped_profile, write_json,
)  # fmt: skip
from latent_tracer.core import Picture, Tracer, to_picture, to_tensor
from latent_tracer.core.verdicts.doubt import History
from latent_tracer.core.verdicts.verdict import verdict_from_profile
from PIL import Image, ImageDraw
from rich.progress import track

Drawn = Image.Image


def stored(picture: Drawn, file_format: str, quality: int) -> Drawn:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, quality=quality)
    return Image.open(buffer).convert("RGB")


def enlarged(picture: Drawn, factor: int, how: Image.Resampling) -> Drawn:
    small = picture.resize((picture.width // factor, picture.height // factor), Image.Resampling.BOX)
    return small.resize(picture.size, how)


def partly(picture: Drawn, side: int) -> Drawn:
    box = (picture.width // 4, picture.height // 4, 3 * picture.width // 4, 3 * picture.height // 4)
    result = picture.copy()
    result.paste(enlarged(picture, side, Image.Resampling.NEAREST).crop(box), box[:2])
    return result


def ruled(picture: Drawn, side: int) -> Drawn:
    result = picture.copy()
    draw = ImageDraw.Draw(result)
    for place in range(0, max(picture.size), side):
        draw.line((place, 0, place, picture.height), fill=(20, 20, 20))
        draw.line((0, place, picture.width, place), fill=(20, 20, 20))
    return result


def tiled(picture: Drawn, side: int) -> Drawn:
    tile = np.asarray(picture)[60 : 60 + side, 60 : 60 + side]
    rows, columns = (-(-length // side) for length in (picture.height, picture.width))
    return Image.fromarray(np.tile(tile, (rows, columns, 1))[: picture.height, : picture.width])


def dithered(picture: Drawn, levels: int) -> Drawn:
    """Ordered dithering by Bayer's 8×8 matrix."""
    matrix = np.array([[0]])
    while len(matrix) < 8:
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    pixels = np.asarray(picture) / 255 * (levels - 1)
    rows, columns = (-(-length // 8) for length in pixels.shape[:2])
    thresholds = np.tile((matrix + 0.5) / 64, (rows, columns))[: pixels.shape[0], : pixels.shape[1], None]
    chosen = np.floor(pixels + thresholds).clip(0, levels - 1) / (levels - 1)
    return Image.fromarray((255 * chosen).round().astype(np.uint8))


NEAREST, BILINEAR, BICUBIC = Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
HISTORIES: dict[str, Callable[[Drawn], Drawn]] = {
    **{f"JPEG {q}": lambda picture, q=q: stored(picture, "JPEG", q) for q in (5, 10, 15, 20, 25)},
    **{f"WebP {q}": lambda picture, q=q: stored(picture, "WEBP", q) for q in (1, 10)},
    "JPEG 10 enlarged twice": lambda picture: enlarged(stored(picture, "JPEG", 10), 2, NEAREST),
    "JPEG 5, then 90": lambda picture: stored(stored(picture, "JPEG", 5), "JPEG", 90),
    **{f"mosaic of {n}": lambda picture, n=n: enlarged(picture, n, NEAREST) for n in (4, 8, 16)},
    "partly mosaic of 8": lambda picture: partly(picture, 8),
    "enlarged 8 times, bilinear": lambda picture: enlarged(picture, 8, BILINEAR),
    "enlarged 8 times, bicubic": lambda picture: enlarged(picture, 8, BICUBIC),
    "enlarged 16 times, bilinear": lambda picture: enlarged(picture, 16, BILINEAR),
    **{f"ruled every {n}": lambda picture, n=n: ruled(picture, n) for n in (8, 16)},
    **{f"tile of {n}": lambda picture, n=n: tiled(picture, n) for n in (8, 16, 32)},
    **{f"dithered to {n} levels": lambda picture, n=n: dithered(picture, n) for n in (2, 4)},
    "palette of 32": lambda picture: picture.quantize(32).convert("RGB"),
}


def run(args: argparse.Namespace, rows: Rows) -> None:
    photographs = [name for name in all_pictures() if name.startswith("real")][: args.pictures]
    for inspected in args.decoders.split(","):
        profile = shipped_profile(inspected)
        jobs = [(n, h) for n in photographs for h in HISTORIES if rows.lacks(inspected, n, h)]
        for name, history in track(jobs, description=inspected):
            image = to_tensor(HISTORIES[history](to_picture(crop_of(name, args.size))))
            verdict = Tracer(decoder(inspected), profile).trace(Picture.of(image)).verdict
            scored = math.isfinite(verdict.score)
            seen = History.of(image)
            rows.add({
                "inspected": inspected, "picture": name, "history": history, "answer": verdict.answer,
                "by_score": verdict_from_profile(verdict.score, profile).answer if scored else "not scored",
                "score": verdict.score if scored else None, "jpeg_quality": seen.jpeg_quality,
                "grid": round(seen.grid, 3), "blocks": [seen.different_blocks, seen.telling_blocks],
            })  # fmt: skip


def summarise(rows: list[Row]) -> list[Row]:
    table = []
    for history in HISTORIES:
        for inspected in DECODERS:
            chosen = [row for row in rows if (row["history"], row["inspected"]) == (history, inspected)]
            if chosen:
                table.append({
                    "history": history, "inspected": inspected, "n": len(chosen),
                    "yes_by_score": sum(row["by_score"] == "belonging" for row in chosen),
                    "yes": sum(row["answer"] == "belonging" for row in chosen),
                })  # fmt: skip
    return table


def markdown(table: list[Row]) -> str:
    decoders = [name for name in DECODERS if any(row["inspected"] == name for row in table)]
    lines = []
    for history in dict.fromkeys(row["history"] for row in table):
        cells = {
            r["inspected"]: f"{r['yes_by_score']} to {r['yes']} of {r['n']}" for r in table if r["history"] == history
        }
        lines.append((history, *(cells.get(name, "") for name in decoders)))
    return cells_table(("history", *decoders), lines)


def main() -> None:
    args = parser_of(__doc__, "2 pictures, one decoder", pictures=8, size=192, decoders=DECODERS).parse_args()
    if args.quick:
        args.pictures, args.decoders = 2, DECODERS[0]
    require_data()
    rows = rows_of(args, f"histories-{args.size}", ("inspected", "picture", "history"))
    if not args.report_only:
        run(args, rows)
    table = summarise(rows)
    print(markdown(table))
    write_json(args.json, table)


if __name__ == "__main__":
    main()
