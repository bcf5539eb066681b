"""What a picture file is made of: the chunks of PNG, the segments of JPEG, the chunks of WebP, the directory of TIFF.

Read here and not by Pillow, which would refuse a whole picture because of its metadata, or look at them for minutes.
Every walk is linear in the bytes, and none has more than :data:`MAX_PARTS` steps.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# A PNG of half a gigabyte in the customary pieces of 8 KiB has 65,536 of them.
MAX_PARTS = 100_000
MAX_TIFF_ENTRIES = 4096
# Of one tag about how pixels lie: strips and tiles of the largest picture are far fewer.
MAX_TIFF_VALUES = 1_000_000
_TIFF_PIXEL_TAGS = {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339}
# Text, EXIF and colour profiles; none has a say in the RGB values that are traced.
_NOT_PIXELS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"caBX"})
_FILL = re.compile(rb"\xff+")
# Between scans; Pillow would gather them in ever longer pieces.
_LONG_FILL = re.compile(rb"\xff{64,}")
# JFIF and Adobe's segment tell how colours are stored, all other application data and comments do not.
_KEPT_APPLICATION_DATA = frozenset({0xE0, 0xEE})
ORIENTATION_TAG = 0x0112
_TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}


def png_chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and data of each whole chunk of a PNG file."""
    view = memoryview(content)
    position = 8
    for _ in range(MAX_PARTS):
        if position + 12 > len(content):
            return
        length, kind = struct.unpack_from(">I4s", content, position)
        if position + 12 + length > len(content):
            return
        yield kind, view[position + 8 : position + 8 + length]
        if kind == b"IEND":
            return
        position += 12 + length


def jpeg_segments(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Marker, data and end of each segment of a JPEG file before its pixels; fill bytes belong to none."""
    position = 2
    for _ in range(MAX_PARTS):
        fill = _FILL.match(content, position)
        if fill is None or fill.end() + 3 > len(content):
            return
        marker = content[fill.end()]
        position = fill.end() + 1
        if marker == 0xDA:  # the pixels begin
            return
        if 0xD0 <= marker <= 0xD8 or marker in (0x00, 0x01):  # has no length
            continue
        length = max(2, int.from_bytes(content[position : position + 2], "big"))
        yield marker, content[position + 2 : position + length], min(position + length, len(content))
        position += length


def riff_chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and data of each chunk of a WebP file; the last may be cut off."""
    view = memoryview(content)
    position = 12
    for _ in range(MAX_PARTS):
        if position + 8 > len(content):
            return
        kind, length = struct.unpack_from("<4sI", content, position)
        yield kind, view[position + 8 : position + 8 + length]
        position += 8 + length + length % 2


@dataclass(frozen=True)
class TiffEntry:
    """One entry of a directory: where its twelve bytes are, its ``kind`` (TIFF 6.0), and where its values are."""

    tag: int
    kind: int
    count: int
    entry: int
    values: int


@dataclass(frozen=True)
class TiffDirectory:
    """A directory of a TIFF file or EXIF block. ``order`` is struct's; ``further``: where the next one's
    address stands, 0 where that is beyond the end.
    """

    order: str
    entries: dict[int, TiffEntry]
    further: int

    @classmethod
    def of(cls, content: bytes, start: int | None = None) -> TiffDirectory | None:
        """The directory at ``start``, or the first one. ``None`` where there is none that can be read; entries whose
        values lie beyond the end are left out.
        """
        order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(content[:4]))
        if order is None or len(content) < 8:
            return None
        if start is None:
            (start,) = struct.unpack_from(order + "I", content, 4)
        if start + 2 > len(content):
            return None
        (count,) = struct.unpack_from(order + "H", content, start)
        entries: dict[int, TiffEntry] = {}
        for number in range(min(count, MAX_TIFF_ENTRIES)):
            entry = start + 2 + 12 * number
            if entry + 12 > len(content):
                break
            tag, kind, values_count, offset = struct.unpack_from(order + "HHII", content, entry)
            size = _TIFF_SIZES.get(kind, 1) * values_count
            values = entry + 8 if size <= 4 else offset
            if values + size <= len(content):
                entries.setdefault(tag, TiffEntry(tag, kind, values_count, entry, values))
        further = start + 2 + 12 * count
        return cls(order, entries, further if further + 4 <= len(content) else 0)

    def integers(self, content: bytes, tag: int) -> tuple[int, ...]:
        """The values of ``tag``, empty where it is missing or holds none of one, two or four bytes."""
        entry = self.entries.get(tag)
        if entry is not None and entry.count > MAX_TIFF_VALUES:
            return ()
        code = {1: "B", 3: "H", 4: "I", 13: "I"}.get(entry.kind) if entry is not None else None
        if entry is None or code is None:
            return ()
        return struct.unpack_from(f"{self.order}{entry.count}{code}", content, entry.values)

    def has_further(self, content: bytes) -> bool:
        return self.further > 0 and content[self.further : self.further + 4] != bytes(4)


def pixels_only(content: bytes) -> bytes:
    """A picture file without its texts, EXIF, colour profile, fill bytes and further pictures, as far as we know how.

    What remains decodes to the same pixels, not turned, and nothing else can keep the picture from being read. Raises
    ValueError for a file of more than :data:`MAX_PARTS` parts, and for a TIFF that says how its pixels lie in more than
    :data:`MAX_TIFF_VALUES` values.
    """
    if content.startswith(PNG_SIGNATURE):
        return _png_pixels(content)
    if content.startswith(b"\xff\xd8"):
        return _jpeg_pixels(content)
    if content[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_pixels(content)
    return content


def _png_pixels(content: bytes) -> bytes:
    kept = [content[:8]]
    position = 8
    for number, (kind, data) in enumerate(png_chunks(content), start=1):
        _check_parts(number)
        end = position + 12 + len(data)
        if kind not in _NOT_PIXELS:
            kept.append(content[position:end])
        position = end
    # Damaged or cut off: whatever follows the last whole chunk is the reader's to judge.
    kept.append(content[position:])
    return b"".join(kept)


def _jpeg_pixels(content: bytes) -> bytes:
    kept = [content[:2]]
    position = 2
    for number, (marker, data, end) in enumerate(jpeg_segments(content), start=1):
        _check_parts(number)
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker in _KEPT_APPLICATION_DATA:
            kept.append(bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2, "big") + data)
        position = end
    fill = _FILL.match(content, position)
    rest = b"\xff" + content[fill.end() :] if fill is not None else content[position:]
    kept.append(_LONG_FILL.sub(b"\xff", rest))
    return b"".join(kept)


def _tiff_pixels(content: bytes) -> bytes:
    """Pillow turns TIFF by itself, and follows every directory there is."""
    directory = TiffDirectory.of(content)
    if directory is None:
        return content
    for tag in _TIFF_PIXEL_TAGS & directory.entries.keys():
        if directory.entries[tag].count > MAX_TIFF_VALUES:
            raise ValueError(f"its tag {tag} holds more than {MAX_TIFF_VALUES} values")
    pixels = bytearray(content)
    if directory.further:
        pixels[directory.further : directory.further + 4] = bytes(4)
    orientation = directory.entries.get(ORIENTATION_TAG)
    if orientation is not None:
        struct.pack_into(directory.order + "HHIHH", pixels, orientation.entry, ORIENTATION_TAG, 3, 1, 1, 0)
    return bytes(pixels)


def _check_parts(number: int) -> None:
    if number >= MAX_PARTS:
        raise ValueError(f"it has more than {MAX_PARTS} parts")
