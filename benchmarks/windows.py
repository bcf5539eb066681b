"""Do windows stand for a whole large picture? The same score both ways, on the same pictures.

    python benchmarks/windows.py --quick
    python benchmarks/windows.py --decoders taesd,taef2 --pictures 24     # resumable: interrupt and repeat at will

Every picture of 1024² and more is scored as it is and as each decoder's own (8 bit, rounded and truncated in turn),
whole and by the windows that :mod:`latent_tracer.core.scores.windows` chooses. What counts is whether the answer under
the decoder's shipped profile is the same. Seconds are of processor time.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attribution import DATA, DECODERS, RESULTS, all_pictures
from latent_tracer.core import builtin_profile, load_autoencoder, load_image, quantise
from latent_tracer.core.scores import windows
from latent_tracer.core.scores.grid_contrast import GridContrast
from rich.progress import track

SIDE = 1024


def measure(decoder: str, number: int, picture: str, whole_pixels: int) -> list[dict[str, Any]]:
    """Both scores of the picture itself and of the decoder's version of it."""
    model = load_autoencoder(DATA / "weights" / decoder)
    pixels = load_image(DATA / "images" / picture).pixels
    top, left = ((side - SIDE) // 2 // 8 * 8 for side in pixels.shape[-2:])
    pixels = pixels[..., top : top + SIDE, left : left + SIDE]
    with torch.no_grad():
        own = quantise(model.decode(model.encode(pixels)), ("round", "floor")[number % 2])
    rows = []
    for belongs, image in ((True, own), (False, pixels)):
        row: dict[str, Any] = {"decoder": decoder, "picture": picture, "belongs": belongs}
        for name, limit in (("whole", whole_pixels), ("windows", 0)):
            # The one number that decides between the two.
            windows.WHOLE_PIXELS, usual = limit, windows.WHOLE_PIXELS
            began = time.process_time()
            scored = GridContrast()(model, image)
            windows.WHOLE_PIXELS = usual
            row[name] = {"score": scored.value, "passes": scored.passes.encoder,
                         "seconds": round(time.process_time() - began, 2)}  # fmt: skip
        rows.append(row)
    return rows


def summary(rows: list[dict[str, Any]]) -> str:
    head = ("decoder", "images", "belonging", "correlation", "largest difference", "deviation", "mean difference",
            "answers that changed", "processor time, windows / whole")  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for decoder in dict.fromkeys(row["decoder"] for row in rows):
        profile = builtin_profile(load_autoencoder(DATA / "weights" / decoder).fingerprint)
        assert profile is not None
        for belongs in (True, False):
            part = [row for row in rows if row["decoder"] == decoder and row["belongs"] == belongs]
            if len(part) < 2:
                continue
            whole, some = (np.array([row[way]["score"] for row in part]) for way in ("whole", "windows"))
            answers = [[(profile.accepts(v), profile.refuses(v)) for v in values] for values in (whole, some)]
            changed = sum(one != other for one, other in zip(*answers, strict=True))
            cost = np.median([row["windows"]["seconds"] / row["whole"]["seconds"] for row in part])
            difference = some - whole
            lines.append(
                f"| {decoder} | {len(part)} | {'yes' if belongs else 'no'} | {np.corrcoef(whole, some)[0, 1]:.3f} |"
                f" {np.abs(difference).max():.3f} | {difference.std():.3f} | {difference.mean():+.3f} | {changed} |"
                f" {cost:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one picture, one decoder")
    parser.add_argument("--decoders", default=",".join(DECODERS))
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--rows", type=Path, default=RESULTS / "windows-rows.jsonl")
    parser.add_argument("--report-only", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.decoders, args.pictures, args.rows = "taesd", 1, RESULTS / "partial" / "windows-quick.jsonl"
    args.rows.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in args.rows.read_text().splitlines()] if args.rows.is_file() else []
    done = {(row["decoder"], row["picture"]) for row in rows}
    large = [name for name in all_pictures() if min(load_image(DATA / "images" / name).pixels.shape[-2:]) >= SIDE]
    jobs = [(d, k, p) for k, p in enumerate(large[: args.pictures]) for d in args.decoders.split(",")]
    with args.rows.open("a", encoding="utf-8") as stream:
        for decoder, number, picture in track([] if args.report_only else jobs, description="measuring"):
            if (decoder, picture) in done:
                continue
            for row in measure(decoder, number, picture, 10**9):
                rows.append(row)
                stream.write(json.dumps(row) + "\n")
            stream.flush()
    print(summary(rows))


if __name__ == "__main__":
    main()
