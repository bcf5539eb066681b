"""The text that a picture file carries beside its pixels: PNG text chunks, EXIF in JPEG, WebP and PNG.

Written by whoever made or last touched the file, so every size is bounded and nothing is trusted. The containers are
read here and not by Pillow, whose own limits would refuse the whole picture because of its metadata.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# A workflow of a thousand nodes has about one megabyte.
MAX_TEXT_BYTES = 8 * 1024 * 1024
MAX_EXIF_ENTRIES = 256
# What ComfyUI writes; whatever else a file says is not even unpacked.
KEYWORDS = frozenset({"prompt", "workflow"})
# Text and colour profiles; neither has a say in the RGB values that are traced.
_NOT_PIXELS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})
_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt"})


@dataclass
class PictureTexts:
    """``texts`` by keyword (:data:`KEYWORDS`), first of its name only; a sentence about each that was left out."""

    texts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, keyword: str, text: str) -> None:
        if keyword in self.texts:
            self.notes.append(f"its {keyword} occurs more than once, the first one was read")
        else:
            self.texts[keyword] = text


def read_texts(content: bytes) -> PictureTexts:
    """The texts in the bytes of a picture file; never raises, whatever the bytes are."""
    found = PictureTexts()
    if content.startswith(PNG_SIGNATURE):
        for kind, data in png_chunks(content):
            if kind in _TEXT_CHUNKS:
                _read_text_chunk(kind, bytes(data[: MAX_TEXT_BYTES + 100]), found)
            elif kind == b"eXIf":
                _read_exif(bytes(data[:MAX_TEXT_BYTES]), found)
    elif content.startswith(b"\xff\xd8"):
        for blob in _jpeg_exif(content):
            _read_exif(blob, found)
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        for blob in _webp_exif(content):
            _read_exif(blob, found)
    found.notes = list(dict.fromkeys(found.notes))
    return found


def without_texts(content: bytes) -> bytes:
    """A PNG file without its texts and colour profile, everything else byte for byte; other files unchanged.

    What remains decodes to the same pixels, and no text can keep the picture from being read.
    """
    if not content.startswith(PNG_SIGNATURE):
        return content
    kept = [content[:8]]
    position = 8
    for kind, data in png_chunks(content):
        end = position + 12 + len(data)
        if kind not in _NOT_PIXELS:
            kept.append(content[position:end])
        position = end
    # Damaged or cut off: whatever follows the last whole chunk is the reader's to judge.
    kept.append(content[position:])
    return b"".join(kept)


def png_chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and data of every whole chunk up to IEND; checksums are not looked at."""
    view = memoryview(content)
    position = 8
    while position + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if position + 12 + length > len(content):
            return
        yield kind, view[position + 8 : position + 8 + length]
        if kind == b"IEND":
            return
        position += 12 + length


def _read_text_chunk(kind: bytes, data: bytes, found: PictureTexts) -> None:
    start, _, rest = data.partition(b"\0")
    keyword = start.decode("latin-1")
    if keyword not in KEYWORDS:
        return
    encoding, packed = "latin-1", None
    if kind == b"zTXt":
        packed = rest[1:]
    elif kind == b"iTXt":
        encoding = "utf-8"
        is_compressed = rest[:1] == b"\1"
        # Language tag and translated keyword, each ended by a zero.
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        packed = rest if is_compressed else None
    if packed is not None:
        try:
            rest = zlib.decompressobj().decompress(packed, MAX_TEXT_BYTES + 1)
        except zlib.error:
            found.notes.append(f"its {keyword} is damaged and was left out")
            return
    if len(rest) > MAX_TEXT_BYTES:
        found.notes.append(f"its {keyword} has more than {MAX_TEXT_BYTES // 2**20} MiB and was left out")
        return
    found.add(keyword, rest.decode(encoding, errors="replace"))


def _jpeg_exif(content: bytes) -> Iterator[bytes]:
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xDA:  # the pixels begin
            return
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        (length,) = struct.unpack_from(">H", content, position + 2)
        if marker == 0xE1 and content[position + 4 : position + 10] == b"Exif\0\0":
            yield content[position + 10 : position + 2 + length]
        position += 2 + max(length, 2)


def _webp_exif(content: bytes) -> Iterator[bytes]:
    position = 12
    while position + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, position)
        if kind == b"EXIF":
            yield content[position + 8 : position + 8 + min(length, MAX_TEXT_BYTES)]
        position += 8 + length + length % 2


def _read_exif(blob: bytes, found: PictureTexts) -> None:
    """ComfyUI writes ``keyword:text`` into ASCII tags of the first directory (Model, Make and those before it)."""
    blob = blob.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(blob[:2])
    if order is None or len(blob) < 8:
        return
    (directory,) = struct.unpack_from(order + "I", blob, 4)
    if directory + 2 > len(blob):
        return
    (count,) = struct.unpack_from(order + "H", blob, directory)
    for number in range(min(count, MAX_EXIF_ENTRIES)):
        entry = directory + 2 + 12 * number
        if entry + 12 > len(blob):
            return
        _, kind, length, offset = struct.unpack_from(order + "HHII", blob, entry)
        if kind != 2 or length <= 4:
            continue
        if offset + length > len(blob):
            found.notes.append("an EXIF text that reaches beyond the file was left out")
            continue
        text = blob[offset : offset + length].rstrip(b"\0").decode("utf-8", errors="replace")
        keyword, separator, rest = text.partition(":")
        if separator and keyword.lower() in KEYWORDS:
            found.add(keyword.lower(), rest)
