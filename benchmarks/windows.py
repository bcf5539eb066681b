"""Do windows stand for a whole large picture? The same score both ways, on the same pictures.

    python benchmarks/windows.py --quick
    python benchmarks/windows.py --decoders taesd,taef2 --pictures 24     # resumable: interrupt and repeat at will

Every picture of 1024² and more is scored as it is and as each decoder's own (8 bit, rounded and truncated in turn),
whole and by the windows that :mod:`latent_tracer.core.scores.windows` chooses. What counts is whether the answer under
the decoder's shipped profile is the same. Seconds are of processor time.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from common import (  # isort: skip
    DECODERS, PARTIAL, RESULTS, Row, Rows, cells_table, crop_of, decoder, parser_of, pictures_of_side, shipped_profile,
)  # fmt: skip
from latent_tracer.core import quantise
from latent_tracer.core.scores import windows
from latent_tracer.core.scores.grid_contrast import GridContrast
from rich.progress import track

SIDE = 1024


def measure(name: str, number: int, picture: str, whole_pixels: int) -> list[Row]:
    """Both scores of the picture itself and of the decoder's version of it."""
    model, pixels = decoder(name), crop_of(picture, SIDE, 8)
    with torch.no_grad():
        own = quantise(model.decode(model.encode(pixels)), ("round", "floor")[number % 2])
    rows = []
    for belongs, image in ((True, own), (False, pixels)):
        row: Row = {"decoder": name, "picture": picture, "belongs": belongs}
        for way, limit in (("whole", whole_pixels), ("windows", 0)):
            # The one number that decides between the two.
            windows.WHOLE_PIXELS, usual = limit, windows.WHOLE_PIXELS
            began = time.process_time()
            scored = GridContrast()(model, image)
            windows.WHOLE_PIXELS = usual
            row[way] = {"score": scored.value, "passes": scored.passes.encoder,
                         "seconds": round(time.process_time() - began, 2)}  # fmt: skip
        rows.append(row)
    return rows


def summary(rows: list[Row]) -> str:
    head = ("decoder", "images", "belonging", "correlation", "largest difference", "deviation", "mean difference",
            "answers that changed", "processor time, windows / whole")  # fmt: skip
    lines = []
    for name in dict.fromkeys(row["decoder"] for row in rows):
        profile = shipped_profile(name)
        for belongs in (True, False):
            part = [row for row in rows if row["decoder"] == name and row["belongs"] == belongs]
            if len(part) < 2:
                continue
            whole, some = (np.array([row[way]["score"] for row in part]) for way in ("whole", "windows"))
            answers = [[(profile.accepts(v), profile.refuses(v)) for v in values] for values in (whole, some)]
            changed = sum(one != other for one, other in zip(*answers, strict=True))
            cost = np.median([row["windows"]["seconds"] / row["whole"]["seconds"] for row in part])
            difference = some - whole
            figures = np.corrcoef(whole, some)[0, 1], np.abs(difference).max(), difference.std()
            lines.append((name, len(part), "yes" if belongs else "no", *(f"{one:.3f}" for one in figures),
                          f"{difference.mean():+.3f}", changed, f"{cost:.2f}"))  # fmt: skip
    return cells_table(head, lines)


def main() -> None:
    args = parser_of(__doc__, "one picture, one decoder", pictures=24, decoders=DECODERS).parse_args()
    if args.quick:
        args.decoders, args.pictures, args.rows = "taesd", 1, PARTIAL / "windows-quick.jsonl"
    rows = Rows(args.rows or RESULTS / "windows-rows.jsonl", ("decoder", "picture"))
    large = [] if args.report_only else pictures_of_side(SIDE, args.pictures)
    jobs = [(d, k, p) for k, p in enumerate(large) for d in args.decoders.split(",") if rows.lacks(d, p)]
    for name, number, picture in track(jobs, description="measuring"):
        for row in measure(name, number, picture, 10**9):
            rows.add(row)
    print(summary(rows))


if __name__ == "__main__":
    main()
