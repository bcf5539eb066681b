"""What happens to pictures between the decoder and the test, as named conditions that calibration can repeat."""

from __future__ import annotations

import io
from collections.abc import Callable

import torch
from PIL import Image, ImageEnhance, ImageFilter
from torch import Tensor

from ..errors import InvalidImageError, InvalidSettingError
from .tensors import to_picture, to_tensor

CLEAN = "clean"
# Conditions that change the scale, and by what factor.
RESIZES = {"resize-0.75": 0.75, "resize-0.5": 0.5}


def _stored_as(picture: Image.Image, file_format: str, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, quality=quality)
    return Image.open(buffer).convert("RGB")


def _resized(picture: Image.Image, factor: float) -> Image.Image:
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.BICUBIC)


def _noisy(picture: Image.Image, sigma: float) -> Image.Image:
    # One fixed noise field: the condition must be the same for calibration and test to be repeatable.
    generator = torch.Generator().manual_seed(0)
    pixels = to_tensor(picture)
    return to_picture(pixels + sigma * torch.randn(pixels.shape, generator=generator))


_ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    CLEAN: lambda picture: picture,
    "jpeg-95": lambda picture: _stored_as(picture, "JPEG", 95),
    "jpeg-90": lambda picture: _stored_as(picture, "JPEG", 90),
    "jpeg-75": lambda picture: _stored_as(picture, "JPEG", 75),
    "webp-90": lambda picture: _stored_as(picture, "WEBP", 90),
    "noise-0.01": lambda picture: _noisy(picture, 0.01),
    "blur-0.5": lambda picture: picture.filter(ImageFilter.GaussianBlur(0.5)),
    "brighter-10": lambda picture: ImageEnhance.Brightness(picture).enhance(1.1),
    "darker-10": lambda picture: ImageEnhance.Brightness(picture).enhance(0.9),
    "resize-0.75": lambda picture: _resized(picture, RESIZES["resize-0.75"]),
    "resize-0.5": lambda picture: _resized(picture, RESIZES["resize-0.5"]),
    "off-grid-crop": lambda picture: picture.crop((3, 5, picture.width, picture.height)),
    "flip": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "jpeg-30": lambda picture: _stored_as(picture, "JPEG", 30),
}
CONDITIONS = tuple(_ALTERATIONS)
# One profile for these serves a folder of PNG and JPEG files, as they occur; of which a picture is, its pixels show.
# Not webp-90: how strongly such a file was compressed does not show, and a yes needs no profile of its own.
USUAL = (CLEAN, "jpeg-90", "jpeg-75")
LOSSY = ("jpeg-95", "jpeg-90", "jpeg-75", "jpeg-30", "webp-90")
# What may have happened to a picture that does not belong before anybody stored it as it is now. JPEG works on an
# 8-pixel grid as most decoders do: of all histories it is the one that could pass for a decoder's trace, the more the
# stronger it is (at quality 10 it does, for some decoders).
HISTORIES = ("jpeg-75", "jpeg-30")
# Above the quality of any JPEG file: of what never was one.
NO_JPEG = 101


def jpeg_quality_of(condition: str) -> int:
    """The quality in a condition such as ``jpeg-75``; :data:`NO_JPEG` for one without JPEG."""
    quality = condition.removeprefix("jpeg-")
    return int(quality) if quality != condition and quality.isdecimal() else NO_JPEG


def stored_as_jpeg(image: Tensor, quality: int) -> Tensor:
    """One 8-bit image ``[1,3,H,W]`` in [0,1] out of a JPEG file of ``quality`` (1 to 100) by Pillow."""
    return to_tensor(_stored_as(to_picture(image), "JPEG", quality))


def alter(image: Tensor, condition: str) -> Tensor:
    """Apply ``condition`` to one 8-bit image ``[1,3,H,W]`` in [0,1]; the result is 8-bit again, maybe of another size.

    Deterministic. Raises :class:`InvalidSettingError` for a condition that is not in :data:`CONDITIONS` and
    :class:`InvalidImageError` for anything but one finite image: 8-bit storage would turn NaN into black.
    """
    if condition not in _ALTERATIONS:
        raise InvalidSettingError(f"Unknown condition {condition!r}: choose one of {', '.join(CONDITIONS)}.")
    if image.ndim != 4 or image.shape[:2] != (1, 3) or not torch.isfinite(image).all():
        raise InvalidImageError(
            f"A condition applies to one finite image [1,3,H,W], got shape {tuple(image.shape)}: give one at a time."
        )
    if condition == CLEAN:
        return image
    return to_tensor(_ALTERATIONS[condition](to_picture(image)))
