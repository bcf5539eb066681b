"""Pictures with more than 8 bits per channel, read without losing any.

Pillow has no mode for 16-bit colour: it keeps the upper byte of each sample. Read a second time with the bytes of each
sample exchanged, it gives the lower ones. Planes and floating-point TIFF (TIFF 6.0, "PlanarConfiguration", and Adobe's
technical note 3) are presented to it as grey pictures, which it does read whole.
"""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import InvalidImageError
from .container import TiffDirectory

Pixels = NDArray[np.float32]
# Opens the bytes of a picture in the format called so, with all checks of the size.
Opener = Callable[[bytes, str], Image.Image]

_OTHER_BYTE_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_DEEP_COLOUR = re.compile(r"(RGB|RGBA|RGBX|LA);16[BLN]")
_DEEP_GREY = re.compile(r"I;16[BLN]?")
_PNM_HEADER = re.compile(rb"P([56])" + rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)" * 3 + rb"\s")
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 256, 257, 258, 259, 262, 277
_PREDICTOR, _STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES, _PLANAR, _SAMPLE_FORMAT = 317, 273, 279, 324, 325, 284, 339
_OTHER_BITS = "save it with 8 or 16 bits per channel."


def deep_pixels(content: bytes, file_format: str, open_picture: Opener) -> Pixels | None:
    """``[H,W,3]`` in [0,1], or ``None`` for a picture of 8 bits per channel.

    Raises :class:`InvalidImageError` with what is wrong and what to do, without the file's name, for depths that have
    no one meaning (32-bit integers, floating-point values outside [0,1] …).
    """
    if file_format == "PPM" and (header := _PNM_HEADER.match(content)) and int(header[4]) > 255:
        open_picture(content, file_format)
        return _pnm_pixels(content, header)
    if file_format == "TIFF" and (directory := TiffDirectory.of(content)) is not None:
        pixels = _tiff_pixels(content, directory, open_picture)
        if pixels is not None:
            return pixels
    picture = open_picture(content, file_format)
    rawmode = rawmode_of(picture)
    if _DEEP_COLOUR.fullmatch(rawmode):
        return _deep_colour(content, file_format, open_picture, rawmode)
    if picture.mode.startswith("I;16") or (picture.mode == "I" and _DEEP_GREY.fullmatch(rawmode)):
        if not (_DEEP_GREY.fullmatch(rawmode) or file_format == "JPEG2000"):
            raise InvalidImageError(f"has samples of an unusual kind ({rawmode}): {_OTHER_BITS}")
        return _grey(_loaded(picture) / np.float32(65535))
    if picture.mode == "F":
        return _grey(_unit_range(_loaded(picture)))
    if picture.mode.startswith("I") or re.search(r";(12|16|24|32|64)", rawmode):
        if file_format in ("TGA", "BMP"):  # pixels of 16 or 32 bits together, not each channel
            return None
        raise InvalidImageError(f"has samples of an unusual kind ({rawmode or picture.mode}): {_OTHER_BITS}")
    return None


def rawmode_of(picture: Image.Image) -> str:
    """How the samples of an opened, not yet loaded picture lie in its file, by Pillow's name."""
    tiles = getattr(picture, "tile", ())
    args = tiles[0][3] if tiles else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _withrawmode_of(picture: Image.Image, rawmode: str) -> Image.Image:
    tiles = []
    for tile in picture.tile:  # type: ignore[attr-defined]
        args = (rawmode, *tile[3][1:]) if isinstance(tile[3], tuple) else rawmode
        tiles.append(tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args))
    picture.tile = tiles  # type: ignore[attr-defined]
    return picture


def _loaded(picture: Image.Image) -> Pixels:
    picture.load()
    return np.asarray(picture).astype(np.float32)


def _grey(samples: Pixels) -> Pixels:
    return np.repeat(samples[..., None], 3, axis=2)


def _deep_colour(content: bytes, file_format: str, open_picture: Opener, rawmode: str) -> Pixels:
    if rawmode.startswith("LA"):  # the same four bytes, taken for a picture of 8 bits
        pairs = _loaded(_withrawmode_of(open_picture(content, file_format), "RGBA"))
        return _grey((pairs[..., 0] * 256 + pairs[..., 1]) / np.float32(65535))
    samples = _loaded(open_picture(content, file_format))[..., :3] * 256
    exchanged = rawmode[:-1] + _OTHER_BYTE_ORDER[rawmode[-1]]
    samples += _loaded(_withrawmode_of(open_picture(content, file_format), exchanged))[..., :3]
    return samples / np.float32(65535)


def _unit_range(samples: Pixels) -> Pixels:
    low, high = float(samples.min()), float(samples.max())
    if not (low >= 0 and high <= 1):  # not a number, too
        raise InvalidImageError(
            f"has floating-point values from {low:.3g} to {high:.3g}, which say nothing about how it is shown:"
            " save it as it is shown, with values from 0 to 1 or 8 or 16 bits per channel."
        )
    return samples


def _pnm_pixels(content: bytes, header: re.Match[bytes]) -> Pixels:
    """Netpbm's binary greymap or pixmap with two bytes per sample, the upper one first."""
    kind, width, height, largest = (int(number) for number in header.groups())
    channels = 3 if kind == 6 else 1
    if largest > 65535:
        raise InvalidImageError(f"has samples of up to {largest}, Netpbm allows 65535: {_OTHER_BITS}")
    count = width * height * channels
    if len(content) < header.end() + 2 * count:
        raise InvalidImageError("is cut off: get a whole copy.")
    samples = np.frombuffer(content, ">u2", count, header.end()).reshape(height, width, channels)
    return np.broadcast_to(np.minimum(samples / np.float32(largest), np.float32(1)), (height, width, 3))


def _tiff_pixels(content: bytes, directory: TiffDirectory, open_picture: Opener) -> Pixels | None:
    """Planes and floating-point colour, which Pillow does not read; ``None`` where it does (and for 8 bits)."""

    def values(tag: int, default: int) -> tuple[int, ...]:
        return directory.integers(content, tag) or (default,)

    bits, kinds = set(values(_BITS, 1)), set(values(_SAMPLE_FORMAT, 1))
    (samples,), (photometric,), (planar,) = (
        values(*one)[:1] for one in ((_SAMPLES, 1), (_PHOTOMETRIC, 0), (_PLANAR, 1))
    )
    if max(bits) <= 8:
        return None
    if samples == 1:
        if photometric == 0 and bits == {16} and kinds == {1}:  # white is zero, which Pillow heeds for 8 bits only
            return 1 - _grey(_loaded(open_picture(content, "TIFF")) / np.float32(65535))
        return None
    if planar == 1 and kinds == {1} and bits == {16} and photometric in (2, 5):
        return None
    if photometric != 2 or samples not in (3, 4) or bits not in ({16}, {32}) or kinds not in ({1}, {3}):
        raise InvalidImageError(f"has samples of an unusual kind: {_OTHER_BITS}")
    if planar == 2:
        planes = [_loaded(open_picture(_as_grey(content, directory, plane, samples, 1), "TIFF")) for plane in range(3)]
        pixels = np.stack(planes, axis=2)
    elif values(_PREDICTOR, 1) == (1,) and _STRIPS in directory.entries:
        pixels = _loaded(open_picture(_as_grey(content, directory, 0, 1, samples), "TIFF"))
        pixels = pixels.reshape(len(pixels), -1, samples)[..., :3]
    else:
        raise InvalidImageError(f"has floating-point samples that are tiled or predicted: {_OTHER_BITS}")
    if kinds == {3}:
        return _unit_range(pixels)
    if bits != {16}:
        raise InvalidImageError(f"has integers of 32 bits: {_OTHER_BITS}")
    return pixels / np.float32(65535)


def _as_grey(content: bytes, directory: TiffDirectory, plane: int, planes: int, widen: int) -> bytes:
    """The file with a further directory that takes one of its ``planes``, or rows of ``widen`` samples a pixel, for a
    grey picture.
    """

    def values(tag: int) -> tuple[int, ...]:
        return directory.integers(content, tag)

    def part(tag: int) -> tuple[int, ...]:
        each = len(values(tag)) // planes
        return values(tag)[plane * each : (plane + 1) * each]

    fields: dict[int, tuple[int, ...]] = {
        tag: values(tag) for tag in (_HEIGHT, _COMPRESSION, 266, 278, _PREDICTOR, 322, 323) if tag in directory.entries
    }
    fields |= {tag: part(tag) for tag in (_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES) if tag in directory.entries}
    fields |= {_WIDTH: (values(_WIDTH)[0] * widen,), _BITS: values(_BITS)[:1], _PHOTOMETRIC: (1,), _SAMPLES: (1,)}
    fields[_SAMPLE_FORMAT] = values(_SAMPLE_FORMAT)[:1] or (1,)
    short = {_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PREDICTOR, _SAMPLE_FORMAT, 266}
    order = directory.order
    start = len(content) + len(content) % 2
    behind = start + 2 + 12 * len(fields) + 4
    entries, long_values = struct.pack(order + "H", len(fields)), b""
    for tag, numbers in sorted(fields.items()):
        packed = struct.pack(f"{order}{len(numbers)}{'H' if tag in short else 'I'}", *numbers)
        if len(packed) > 4:
            packed, long_values = struct.pack(order + "I", behind + len(long_values)), long_values + packed
        entries += struct.pack(order + "HHI", tag, 3 if tag in short else 4, len(numbers)) + packed.ljust(4, b"\0")
    head = content[:4] + struct.pack(order + "I", start)
    return head + content[8:].ljust(start - 8, b"\0") + entries + bytes(4) + long_values


def note_on_depth(content: bytes, file_format: str, picture: Any) -> str:
    """That a picture was stored with more bits than Pillow gives, or ""."""
    if file_format == "AVIF":
        at = content.find(b"av1C")
        deep = 0 < at < len(content) - 6 and content[at + 6] & 0x40
    elif file_format == "JPEG2000" and not picture.mode.startswith("I"):
        at = content.find(b"\xff\x4f\xff\x51")
        deep = 0 <= at < len(content) - 42 and (content[at + 42] & 0x7F) > 7
    else:
        return ""
    return "it has more than 8 bits per channel, of which 8 were read" if deep else ""
