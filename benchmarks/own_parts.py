"""A part of a photograph that a decoder made: is it seen, and how often does a picture without one show one?

    python benchmarks/own_parts.py --quick
    python benchmarks/own_parts.py --rows benchmarks/results/own-parts-rows.jsonl        # resumable

``whole``: pictures as they are, and ``another decoder's``, under one of five decoders in turn: false alarms.
``part``: a square of a photograph of 448² was passed through the decoder on its grid and put back, as inpainting does;
of 64², 96², 128² and 192² pixels in turn, half of the pictures through JPEG 90.
"""

from __future__ import annotations

import random

import torch
from latent_tracer.core import quantise
from latent_tracer.core.images.conditions import alter
from latent_tracer.core.scores.contrast_map import contrast_map
from latent_tracer.core.verdicts.own_part import OWN_PART, own_part
from rich.progress import track

from common import (  # isort: skip
    DECODERS, Row, all_pictures, cells_table, crop_of, decoder, made_by, parser_of, rows_of, write_json,
)  # fmt: skip

KINDS, PARTS = ("whole", "another decoder's", "part"), (64, 96, 128, 192)


@torch.no_grad()
def measure(kind: str, picture: str, number: int) -> Row:
    chance = random.Random(f"{kind} {picture}")
    inspected = DECODERS[(number + KINDS.index(kind)) % len(DECODERS)]
    pixels = crop_of(picture, 448 if kind == "part" else chance.choice((256, 320, 448)), 16)
    height, width = (side // 16 * 16 for side in pixels.shape[-2:])
    image, maker, side, inside = pixels[..., :height, :width], "", 0, None
    if kind != "whole":
        maker = inspected if kind == "part" else chance.choice([name for name in DECODERS if name != inspected])
        model = decoder(maker)
        made = quantise(model.decode(model.encode(image)))
        if kind == "part":
            side = min(PARTS[number // 2 % len(PARTS)], height - 64, width - 64)
            top, left = (16 * chance.randrange((length - side) // 16 + 1) for length in (height, width))
            image = image.clone()
            image[..., top : top + side, left : left + side] = made[..., top : top + side, left : left + side]
        else:
            image = made
    condition = "jpeg-90" if kind == "part" and number % 2 else "clean"
    found = own_part(contrast_map(decoder(inspected), alter(image, condition)))
    if kind == "part" and found.part is not None:
        centre = (found.part.top + found.part.height / 2, found.part.left + found.part.width / 2)
        inside = top <= centre[0] <= top + side and left <= centre[1] <= left + side
    return {
        "kind": kind, "picture": picture, "inspected": inspected, "maker": maker, "side": side, "condition": condition,
        "excess": round(found.excess, 3), "inside": inside,
    }  # fmt: skip


def summary(rows: list[Row]) -> str:
    lines = []
    groups = sorted({(row["kind"], row["side"], row["condition"]) for row in rows}, key=lambda one: (one[1], one[0]))
    for kind, side, condition in groups:
        part = [row for row in rows if (row["kind"], row["side"], row["condition"]) == (kind, side, condition)]
        values = sorted(row["excess"] for row in part)
        beyond = sum(value > OWN_PART for value in values)
        cells = [f"{values[at]:.1f}" for at in (0, len(values) // 2, -1)]
        inside = sum(bool(row["inside"]) for row in part)
        lines.append([kind, f"{side}²" if side else "", condition, len(part), *cells, beyond, inside if side else ""])
    head = ["picture", "part", "condition", "pictures", "excess: least", "median", "most", "beyond", "centre inside"]
    return cells_table(head, lines)


def main() -> None:
    args = parser_of(__doc__, "two pictures", pictures=72).parse_args()
    rows = rows_of(args, "own-parts", ("kind", "picture"))
    names = all_pictures()[: 2 if args.quick else args.pictures]
    jobs = [(kind, name, n) for n, name in enumerate(names) for kind in KINDS]
    for kind, name, number in track([] if args.report_only else jobs, "looking"):
        if rows.lacks(kind, name):
            rows.add(measure(kind, name, number))
    print(f"# Parts of pictures that a decoder made\n\n{made_by(str(rows.path.name))}\n{summary(rows)}")
    write_json(args.json, list(rows))


if __name__ == "__main__":
    main()
