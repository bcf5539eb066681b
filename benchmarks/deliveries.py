"""What happens to a picture between the decoder and the user: formats, sizes, cuts, turns, and pairs of these."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image

Alteration = Callable[[Image.Image], Image.Image]
FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "Lanczos": Image.Resampling.LANCZOS,
}


def resized(factor: float, kernel: str) -> Alteration:
    return lambda picture: picture.resize([max(1, round(side * factor)) for side in picture.size], FILTERS[kernel])


def stored(file_format: str, quality: int, **options: object) -> Alteration:
    """The pixels of such a file."""

    def through(picture: Image.Image) -> Image.Image:
        content = io.BytesIO()
        picture.save(content, file_format, quality=quality, **options)
        return Image.open(content).convert("RGB")

    return through


def cut(picture: Image.Image) -> Image.Image:
    return picture.crop((3, 5, picture.width - 10, picture.height - 2))


def framed(picture: Image.Image) -> Image.Image:
    """As on a screen: with bars around it."""
    canvas = Image.new("RGB", (picture.width + 90, picture.height + 110), "#dcdfe4")
    canvas.paste(picture, (37, 51))
    return canvas


def mirrored(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def turned(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.ROTATE_90)


def turned_by_half(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.ROTATE_180)


def palette(colours: int) -> Alteration:
    return lambda picture: picture.quantize(colours).convert("RGB")


# Alterations, then how the file is stored: None for PNG, else a format with its options.
Delivery = tuple[tuple[Alteration, ...], tuple[str, dict[str, object]] | None]
JPEG_75, JPEG_85, JPEG_90 = (("JPEG", {"quality": quality}) for quality in (75, 85, 90))
DELIVERIES: dict[str, Delivery] = {
    "as made": ((), None),
    "JPEG 95": ((), ("JPEG", {"quality": 95})),
    "JPEG 90": ((), JPEG_90),
    "JPEG 90, 4:4:4": ((), ("JPEG", {"quality": 90, "subsampling": 0})),
    "JPEG 75": ((), JPEG_75),
    "JPEG 75, then 90": ((stored("JPEG", 75),), JPEG_90),
    "JPEG 90, cut off its grid": ((stored("JPEG", 90), cut), None),
    "WebP 80": ((), ("WEBP", {"quality": 80})),
    "AVIF 75": ((), ("AVIF", {"quality": 75})),
    "64 colours": ((palette(64),), None),
    "×0.35 Lanczos": ((resized(0.35, "Lanczos"),), None),
    "×0.5 bicubic": ((resized(0.5, "bicubic"),), None),
    "×0.5 bicubic, JPEG 85": ((resized(0.5, "bicubic"),), JPEG_85),
    "×0.62 Lanczos, JPEG 85": ((resized(0.62, "Lanczos"),), JPEG_85),
    "×0.7 bilinear": ((resized(0.7, "bilinear"),), None),
    "×0.75 box": ((resized(0.75, "box"),), None),
    "×0.75 bilinear": ((resized(0.75, "bilinear"),), None),
    "×0.75 bicubic": ((resized(0.75, "bicubic"),), None),
    "×0.75 Lanczos": ((resized(0.75, "Lanczos"),), None),
    "×0.75 Lanczos, JPEG 90": ((resized(0.75, "Lanczos"),), JPEG_90),
    "×0.9 bicubic": ((resized(0.9, "bicubic"),), None),
    "×0.9 bicubic, JPEG 90": ((resized(0.9, "bicubic"),), JPEG_90),
    "×1.25 Lanczos": ((resized(1.25, "Lanczos"),), None),
    "×1.5 bicubic": ((resized(1.5, "bicubic"),), None),
    "×1.5 bicubic, JPEG 90": ((resized(1.5, "bicubic"),), JPEG_90),
    "×2 Lanczos": ((resized(2, "Lanczos"),), None),
    "×2.5 bilinear": ((resized(2.5, "bilinear"),), None),
    "cut at (3,5)": ((cut,), None),
    "cut at (3,5), JPEG 90": ((cut,), JPEG_90),
    "mirrored": ((mirrored,), None),
    "turned by 90°": ((turned,), None),
    "turned by 180°, JPEG 90": ((turned_by_half,), JPEG_90),
    "on a canvas": ((framed,), None),
    "on a canvas, JPEG 90": ((framed,), JPEG_90),
    # Services make the longest side of 1536 pixels 1080, 1200 or 1600.
    "messenger: ×0.703, JPEG 80": ((resized(1080 / 1536, "bilinear"),), ("JPEG", {"quality": 80})),
    "forum: ×0.781, JPEG 85": ((resized(1200 / 1536, "Lanczos"),), JPEG_85),
    "blog: ×1.042, WebP 80": ((resized(1600 / 1536, "bicubic"),), ("WEBP", {"quality": 80})),
    "cut, then ×0.75": ((cut, resized(0.75, "bicubic")), None),
    "×0.75, then cut": ((resized(0.75, "bicubic"), cut), None),
    "mirrored, ×0.75": ((mirrored, resized(0.75, "bicubic")), None),
}


def deliver(picture: Image.Image, delivery: str, folder: Path) -> Path:
    """The file that somebody gets who is sent ``picture``."""
    alterations, storage = DELIVERIES[delivery]
    for alter in alterations:
        picture = alter(picture)
    file_format, options = storage or ("PNG", {})
    path = folder / f"delivered.{file_format.lower()}"
    picture.save(path, file_format, **options)
    return path
