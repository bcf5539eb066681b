"""A no only where a yes could have been seen: answers for own pictures as they are delivered, and for other pictures.

    python benchmarks/power.py --quick
    python benchmarks/power.py --pictures 20 --json benchmarks/results/power.json        # resumable
    python benchmarks/power.py --only "mirrored;photograph" ...                          # some rows of the table
    python benchmarks/power.py --untaught ...    # as if nobody had calibrated the decoder: its own profile is not used

Every picture is passed through each decoder, stored as 8 bit, delivered in some way, and traced like a user's file.
``empty`` and ``smooth`` are decoded from an empty latent and from one of smooth noise. Photographs and other decoders'
pictures come as they were made: those should keep their no.
"""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from latent_tracer.core import Picture, Tracer, quantise, to_picture
from latent_tracer.core.profiles import builtin_profile
from PIL import Image
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from common import (  # isort: skip
    DECODERS, Row, cells_table, crop_of, decoder, made_by, parser_of, pictures_of_side, rows_of, write_json,
)  # fmt: skip

LANCZOS, BICUBIC = Image.Resampling.LANCZOS, Image.Resampling.BICUBIC


def _resized(factor: float, kernel: Image.Resampling) -> Callable[[Image.Image], Image.Image]:
    return lambda picture: picture.resize([round(side * factor) for side in picture.size], kernel)


def _canvas(picture: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", (picture.width + 90, picture.height + 110), "#dcdfe4")
    canvas.paste(picture, (37, 51))
    return canvas


def _through(file_format: str, quality: int) -> Callable[[Image.Image], Image.Image]:
    def stored(picture: Image.Image) -> Image.Image:
        content = io.BytesIO()
        picture.save(content, file_format, quality=quality)
        return Image.open(content).convert("RGB")

    return stored


DELIVERIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as made": lambda picture: picture,
    "resized ×0.75": _resized(0.75, LANCZOS),
    "resized ×1.5": _resized(1.5, BICUBIC),
    "cropped at (3,5)": lambda picture: picture.crop((3, 5, *picture.size)),
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned by 90°": lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
    "on a canvas at (37,51)": _canvas,
    "EXIF orientation 6": lambda picture: picture,
    "64 colours": lambda picture: picture.quantize(64).convert("RGB"),
    "16 colours": lambda picture: picture.quantize(16).convert("RGB"),
    "PNG of WebP 80": _through("WEBP", 80),
    "PNG of WebP 60": _through("WEBP", 60),
    "PNG of AVIF 75": _through("AVIF", 75),
}
MADE, OTHERS = ("empty", "smooth"), ("photograph", "another decoder's")


def picture_of(image: Tensor, delivery: str, folder: Path) -> Picture:
    """``image`` as a file of that delivery, read as a user's file is."""
    path = folder / "delivered.png"
    exif = Image.Exif()
    if delivery.startswith("EXIF"):
        exif[0x0112] = 6
    DELIVERIES[delivery](to_picture(image)).save(path, exif=exif)
    return Picture.read(path)


@torch.no_grad()
def made_by_model(name: str, kind: str, pixels: Tensor, number: int) -> Tensor:
    """A picture of ``name``: what it makes of ``pixels``, of an empty latent, or of smooth noise."""
    model = decoder(name)
    latents = model.encode(pixels)
    if kind == "empty":
        latents = torch.zeros_like(latents)
    if kind == "smooth":
        noise = torch.randn(1, latents.shape[1], 5, 5, generator=torch.Generator().manual_seed(number))
        latents = model.latent_spread * F.interpolate(noise, latents.shape[-2:], mode="bicubic")
    return quantise(model.decode(latents))


def measure(name: str, picture: str, number: int, kind: str, size: int, untaught: bool, folder: Path) -> Row:
    pixels = crop_of(picture, size, 8)
    height, width = (side // 16 * 16 for side in pixels.shape[-2:])
    pixels, model = pixels[..., :height, :width], decoder(name)
    if kind == "photograph":
        image = pixels
    elif kind == "another decoder's":
        others = [one for one in DECODERS if one != name]
        image = made_by_model(others[number % len(others)], "own", pixels, number)
    else:
        image = made_by_model(name, kind if kind in MADE else "own", pixels, number)
    tracer = Tracer(model, () if untaught else builtin_profile(model.fingerprint))
    began = time.process_time()
    traced = tracer.trace(picture_of(image, kind if kind in DELIVERIES else "as made", folder))
    verdict = traced.verdict
    return {
        "decoder": name, "picture": picture, "kind": kind, "size": size, "untaught": untaught,
        "answer": verdict.answer, "score": verdict.score, "power": verdict.power, "state": list(verdict.state),
        "basis": verdict.basis, "passes": traced.passes.encoder, "seconds": round(time.process_time() - began, 2),
    }  # fmt: skip


def summary(rows: list[Row]) -> str:
    """Yes, inconclusive and no of each delivery and decoder, and the cost."""
    names = list(dict.fromkeys(row["decoder"] for row in rows))
    lines = []
    for kind in (*DELIVERIES, *MADE, *OTHERS):
        cells = []
        for name in (*names, None):
            answers = Counter(r["answer"] for r in rows if r["kind"] == kind and name in (r["decoder"], None))
            cells.append(" / ".join(str(answers[one]) for one in ("belonging", "inconclusive", "non-belonging")))
        part = [row for row in rows if row["kind"] == kind]
        passes = sorted(row["passes"] for row in part)[len(part) // 2] if part else ""
        lines.append([kind, *cells, passes])
    head = ["picture (yes / inconclusive / no)", *names, "all", "passes of each network, median"]
    return cells_table(head, lines)


def main() -> None:
    import tempfile

    parser = parser_of(__doc__, "two pictures of 192², one decoder", pictures=20, size=256, decoders=DECODERS)
    parser.add_argument("--untaught", action="store_true", help="by the default profile")
    parser.add_argument("--only", default=";".join((*DELIVERIES, *MADE, *OTHERS)), help="rows, with ';' between them")
    args = parser.parse_args()
    names = ["taesd"] if args.quick else args.decoders.split(",")
    size, count = (192, 2) if args.quick else (args.size, args.pictures)
    key = ("decoder", "picture", "kind", "size", "untaught")
    rows = rows_of(args, "power", key)
    jobs = [
        (name, picture, number, kind)
        for number, picture in enumerate(pictures_of_side(size, count))
        for name in names
        # There is one empty latent; of what does not belong, photographs and others' pictures take turns.
        for kind in (*DELIVERIES, *MADE[number > 0 :], OTHERS[number % 2])
        if kind in args.only.split(";")
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, picture, number, kind in track([] if args.report_only else jobs, "tracing"):
            if rows.lacks(name, picture, kind, size, args.untaught):
                rows.add(measure(name, picture, number, kind, size, args.untaught, Path(folder)))
    part = [row for row in rows if row["untaught"] == args.untaught and row["size"] == size]
    print(f"# Answers before and after delivery\n\n{made_by(str(rows.path.name))}\n{summary(part)}")
    write_json(args.json, part)


if __name__ == "__main__":
    main()
