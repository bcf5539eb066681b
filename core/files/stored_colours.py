"""How a file stores its colours, and what that means for the pixels that are read from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .container import TiffDirectory

# Tags of TIFF; the compressions are JPEG old and new, JPEG 2000, lossy JPEG of cameras, and WebP.
_COMPRESSION, _PHOTOMETRIC, _EXTRA_SAMPLES, _PROFILE = 259, 262, 338, 34675
_LOSSY_COMPRESSION, _YCBCR = (6, 7, 33003, 33004, 33005, 34712, 34892, 50001, 50002), 6
# JPEG stores YCbCr as a matter of course; elsewhere a conversion comes between the pixels and their maker.
_CONVERTED = {"CMYK": "CMYK", "YCbCr": "YCbCr", "LAB": "CIELAB", "HSV": "HSV", "RGBa": "premultiplied alpha"}


def _tiff_tag(content: bytes, file_format: str, tag: int) -> int | None:
    directory = TiffDirectory.of(content) if file_format == "TIFF" else None
    return next(iter(directory.integers(content, tag)), None) if directory is not None else None


def has_profile(content: bytes, file_format: str, picture: Image.Image | None) -> bool:
    """Whether there is a colour profile; Pillow does not get to see those of PNG and JPEG."""
    if picture is None:
        directory = TiffDirectory.of(content)
        return directory is not None and _PROFILE in directory.entries
    head = content[:100_000]
    hidden = {"PNG": b"iCCP" in head[:1000], "JPEG": b"ICC_PROFILE\0" in head}
    return hidden.get(file_format, "icc_profile" in picture.info)


def notes_on_altered_pixels(content: bytes, file_format: str, picture: Image.Image) -> list[str]:
    """What lies between the pixels that were stored first and those that are read, in a format that keeps its own."""
    notes = []
    if _tiff_tag(content, file_format, _COMPRESSION) in _LOSSY_COMPRESSION:
        notes.append("it holds JPEG data or the like")
    converted = _CONVERTED.get(picture.mode)
    if converted is None and _tiff_tag(content, file_format, _PHOTOMETRIC) == _YCBCR:
        converted = "YCbCr"
    if converted is not None:
        notes.append(f"its colours were converted from {converted} to RGB")
    return notes


def note_on_jpeg(picture: Image.Image, file_format: str) -> str:
    """Adobe's transform 0, or components called R, G and B (libjpeg, ``default_decompress_parms``)."""
    layers = [layer[0] for layer in getattr(picture, "layer", ())]
    if file_format != "JPEG" or len(layers) != 3 or "jfif" in picture.info:
        return ""
    is_rgb = picture.info.get("adobe_transform") == 0 or layers == [82, 71, 66]
    return "it stores RGB, not YCbCr as most JPEG files do" if is_rgb else ""


def palette_size(picture: Image.Image, rawmode: str) -> int | None:
    """How many colours a loaded picture has, where they come from a palette or from fewer than 8 bits of grey."""
    if picture.mode not in ("P", "PA", "1") and picture.format != "GIF" and rawmode not in ("L;2", "L;4"):
        return None
    return len(np.unique(np.asarray(picture.getchannel(0) if picture.mode == "PA" else picture)))


def has_alpha(content: bytes, file_format: str, picture: Image.Image | None) -> bool:
    """``picture`` is ``None`` where Pillow does not know the whole file."""
    if picture is None:
        return _tiff_tag(content, file_format, _EXTRA_SAMPLES) in (1, 2)
    return picture.mode in ("RGBA", "LA", "La", "PA", "RGBa") or "transparency" in picture.info


def to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB":
        return picture
    if picture.mode == "LAB":
        return Image.fromarray(_lab_to_rgb(np.asarray(picture)))
    if picture.mode in ("RGBa", "La"):
        picture = picture.convert("RGBA" if picture.mode == "RGBa" else "LA")
    if picture.mode == "P" and "transparency" in picture.info:
        return picture.convert("RGBA").convert("RGB")
    return picture.convert("RGB")


def _lab_to_rgb(stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """CIELAB as TIFF stores it (L* 0…255 for 0…100, a* and b* as signed bytes, white D50) to sRGB.

    CIE 15:2004, and the matrix of IEC 61966-2-1 adapted to D50 (Bradford).
    """
    lightness = stored[..., 0].astype(np.float32) * np.float32(100 / 255)
    a, b = stored[..., 1:].astype(np.int8).astype(np.float32).transpose(2, 0, 1)
    y = (lightness + 16) / 116
    cubes = np.stack((y + a / 500, y, y - b / 200), axis=-1)
    xyz = np.where(cubes > 6 / 29, cubes**3, 3 * (6 / 29) ** 2 * (cubes - 4 / 29)) * (0.96422, 1.0, 0.82521)
    to_linear = np.array(
        ((3.1338561, -1.6168667, -0.4906146), (-0.9787684, 1.9161415, 0.0334540), (0.0719453, -0.2289914, 1.4052427))
    )
    linear = np.clip(xyz @ to_linear.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)
