"""Evidence at a placement that a search would find: of other pictures, for its rate, and of the decoders' own.

    python benchmarks/placed.py --quick
    python benchmarks/placed.py --rows benchmarks/results/placed-rows.jsonl        # resumable
    python tools/build_profiles.py --placed                                        # the profile that ships

Every picture meets each way once, under one of the five decoders in turn. ``photograph``: at a size that it was not
made in, half of them out of JPEG; ``resized``: at the size it had before it was resized, where what its own model left
lies, or a camera; ``jpeg``: so a JPEG file of quality 30 to 90, with the traces of its blocks; ``twice``: a JPEG file
that was cut off its grid and stored as another, where the blocks of the first lie; ``another decoder's``: resized, at
the size in which that decoder made it; ``own``: so for the decoder that is asked. Sizes and factors differ.
"""

from __future__ import annotations

import io
import random

import torch
from latent_tracer.core import quantise, to_picture, to_tensor
from latent_tracer.core.images.jpeg import jpeg_quality
from latent_tracer.core.images.regularity import grid_strength
from latent_tracer.core.scores.contrast_map import contrast_map, evidence_of
from latent_tracer.core.scores.placement import made_sizes, resampled
from PIL import Image
from rich.progress import track
from torch import Tensor

from common import (  # isort: skip
    DECODERS, Row, all_pictures, cells_table, crop_of, decoder, made_by, parser_of, rows_of, write_json,
)  # fmt: skip

WAYS = ("photograph", "resized", "jpeg", "twice", "another decoder's", "own")
SIDES, FACTORS = (256, 320), (0.6, 0.7, 0.75, 0.8, 0.9, 1.25, 1.5)
KERNELS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
# A photograph's size is chosen among those of at most so many pixels.
MAX_PIXELS = 352 * 352


def through_jpeg(picture: Image.Image, quality: int | None) -> Image.Image:
    if quality is None:
        return picture
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=quality)
    return Image.open(content).convert("RGB")


@torch.no_grad()
def placed(way: str, pixels: Tensor, inspected: str, chance: random.Random) -> tuple[Tensor, Row]:
    """A picture of that way as a search would have placed it, and what was done to it before."""
    height, width = pixels.shape[-2:]
    maker, quality, factor = "", chance.choice((None, 90)), chance.choice(FACTORS)
    picture = to_picture(pixels)
    if way == "photograph":
        sizes = made_sizes(height, width, decoder(inspected).spatial_ratio)
        made = chance.choice([size for size in sizes if size[0] * size[1] <= MAX_PIXELS])
        delivered = through_jpeg(picture, quality)
        factor = width / made[1]
    elif way == "twice":
        stored = chance.choice((50, 75, 90))
        cut = through_jpeg(through_jpeg(picture, stored).crop((3, 5, width, height)), 90)
        # Its next corner on the first file's grid, and whole blocks.
        image = to_tensor(cut)[..., 3 : height // 16 * 16 - 5, 5 : width // 16 * 16 - 3]
        made = height - 8, width - 8
        return image[..., : made[0], : made[1]], {
            "made": list(made), "factor": 1.0, "quality": 90, "maker": f"jpeg-{stored}"
        }  # fmt: skip
    else:
        if way in ("resized", "jpeg"):
            quality, stored = None, chance.choice((30, 50, 75, 90)) if way == "jpeg" else None
            picture, maker = through_jpeg(picture, stored), f"jpeg-{stored}" if stored else ""
        else:
            maker = inspected if way == "own" else chance.choice([name for name in DECODERS if name != inspected])
            model = decoder(maker)
            picture = to_picture(quantise(model.decode(model.encode(pixels))))
        made = height, width
        resized = picture.resize((round(width * factor), round(height * factor)), chance.choice(KERNELS))
        delivered = through_jpeg(resized, quality)
    image = resampled(to_tensor(delivered), made, (0, 0), made)
    return image, {"made": list(made), "factor": round(factor, 3), "quality": quality, "maker": maker}


def measure(way: str, picture: str, number: int) -> Row:
    chance = random.Random(f"{way} {picture}")
    inspected = DECODERS[(number + WAYS.index(way)) % len(DECODERS)]
    pixels = crop_of(picture, chance.choice(SIDES), 16)
    height, width = (side // 16 * 16 for side in pixels.shape[-2:])
    image, row = placed(way, pixels[..., :height, :width], inspected, chance)
    contrast, error, _ = contrast_map(decoder(inspected), image).statistics()
    return {
        "way": way, "picture": picture, "inspected": inspected, **row, "contrast": round(contrast, 5),
        "error": round(error, 6), "grid": round(grid_strength(image), 3), "jpeg": jpeg_quality(image),
    }  # fmt: skip


def summary(rows: list[Row]) -> str:
    lines = []
    for way in WAYS:
        for name in (*DECODERS, "all"):
            part = [row for row in rows if row["way"] == way and name in (row["inspected"], "all")]
            if part:
                found = sorted(evidence_of(row["contrast"], row["error"]) for row in part)
                contrasts = sorted(row["contrast"] for row in part)
                cells = [f"{one[at]:.3g}" for one in (found, contrasts) for at in (0, len(part) // 2, -1)]
                lines.append([way, name, str(len(part)), *cells])
    head = ["way", "decoder", "pictures", "evidence: least", "median", "most", "contrast: least", "median", "most"]
    return cells_table(head, lines)


def main() -> None:
    parser = parser_of(__doc__, "two pictures", pictures=72)
    args = parser.parse_args()
    rows = rows_of(args, "placed", ("way", "picture"))
    jobs = [
        (way, name, n) for n, name in enumerate(all_pictures()[: 2 if args.quick else args.pictures]) for way in WAYS
    ]
    for way, name, number in track([] if args.report_only else jobs, "placing"):
        if rows.lacks(way, name):
            rows.add(measure(way, name, number))
    print(f"# Evidence at another placement\n\n{made_by(str(rows.path.name))}\n{summary(rows)}")
    write_json(args.json, list(rows))


if __name__ == "__main__":
    main()
