"""The text that a picture file carries beside its pixels: PNG text chunks, EXIF in PNG, JPEG, WebP, TIFF and AVIF.

Written by whoever made or last touched the file, so every size is bounded, nothing is unpacked twice, and nothing is
trusted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from .container import ORIENTATION_TAG, PNG_SIGNATURE, TiffDirectory, jpeg_segments, png_chunks, riff_chunks
from .orientation import ORIENTATIONS

# A workflow of a thousand nodes has about one megabyte.
MAX_TEXT_BYTES = 8 * 1024 * 1024
# All texts of one file together.
MAX_TEXTS_BYTES = 3 * MAX_TEXT_BYTES
# What ComfyUI writes, and what the programs of core.claims_of_programs do; nothing else is even unpacked.
KEYWORDS = frozenset(
    {"prompt", "workflow", "parameters", "invokeai_metadata", "sd-metadata", "Comment", "Software", "Source"}
)
# The keywords of the PNG specification and what editors write: no program that makes pictures is told by them.
_COMMON_KEYWORDS = frozenset(
    {"Title", "Author", "Description", "Copyright", "Creation Time", "Disclaimer", "Warning", "XML:com.adobe.xmp"}
    | {"fooocus_scheme", "date:create", "date:modify", "date:timestamp", "Generation time", "signed_hash"}
)
_IMAGE_DESCRIPTION, _EXIF_DIRECTORY, _USER_COMMENT, _C2PA_TAG = 0x010E, 0x8769, 0x9286, 0xCD41
_ASCII_TEXT = 2
# The box that holds a C2PA manifest in AVIF, HEIF and JPEG XL (C2PA 2.1, annex A).
_C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_DIGITAL_SOURCE = b"digitalsourcetype/"


@dataclass
class PictureTexts:
    """``texts`` by keyword (:data:`KEYWORDS`), first of its name only; a sentence about each that was left out.

    ``orientation``: EXIF's, 1 to 8. ``manifest``: a C2PA manifest is there. ``digital_source``: the IPTC type that the
    file calls itself. ``has_others``: there is text of a program that is not known here.
    """

    texts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    orientation: int = 1
    manifest: bool = False
    digital_source: str = ""
    has_others: bool = False
    _seen: set[str] = field(default_factory=set)
    _room: int = MAX_TEXTS_BYTES

    def is_first(self, keyword: str) -> bool:
        """Whether ``keyword`` is to be read: one that is known and did not occur yet."""
        if keyword not in KEYWORDS:
            self.has_others = self.has_others or keyword not in _COMMON_KEYWORDS
            return False
        if keyword in self._seen:
            self.notes.append(f"its {keyword} occurs more than once, the first one was read")
            return False
        self._seen.add(keyword)
        return True

    def add(self, keyword: str, text: bytes, encoding: str) -> None:
        """Keep ``text`` if it is not too long."""
        if len(text) > min(MAX_TEXT_BYTES, self._room):
            self.notes.append(f"its {keyword} has more than {MAX_TEXT_BYTES // 2**20} MiB and was left out")
            return
        self._room -= len(text)
        self.texts[keyword] = text.decode(encoding, errors="replace")


def read_texts(content: bytes, exif: bytes = b"") -> PictureTexts:
    """The texts in the bytes of a picture file; never raises, whatever the bytes are.

    ``exif``: the EXIF block of a file whose container is not walked here (AVIF, HEIF, JPEG XL), as Pillow gives it.
    """
    found = PictureTexts()
    if content.startswith(PNG_SIGNATURE):
        for kind, data in png_chunks(content):
            if kind in (b"tEXt", b"zTXt", b"iTXt"):
                _read_text_chunk(kind, bytes(data[: MAX_TEXT_BYTES + 100]), found)
            elif kind == b"eXIf":
                _read_exif(bytes(data[:MAX_TEXT_BYTES]), found)
            elif kind == b"caBX":
                found.manifest = True
    elif content.startswith(b"\xff\xd8"):
        for marker, segment, _ in jpeg_segments(content):
            if marker == 0xE1 and segment.startswith(b"Exif\0\0"):
                _read_exif(segment, found)
            elif marker == 0xEB and b"jumb" in segment[:64]:
                found.manifest = True
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        for kind, data in riff_chunks(content):
            if kind == b"EXIF":
                _read_exif(bytes(data[:MAX_TEXT_BYTES]), found)
            elif kind == b"C2PA":
                found.manifest = True
    elif content[:4] in (b"II*\0", b"MM\0*"):
        _read_exif(content, found)
    else:
        _read_exif(exif, found)
        found.manifest = _C2PA_BOX in content
    at = content.find(_DIGITAL_SOURCE)
    if at >= 0:
        named = content[at + len(_DIGITAL_SOURCE) :][:60]
        found.digital_source = "".join(map(chr, named[: next(_ends(named))]))
    found.notes = list(dict.fromkeys(found.notes))
    return found


def _ends(name: bytes) -> Iterator[int]:
    yield from (at for at, byte in enumerate(name) if not chr(byte).isascii() or not chr(byte).isalpha())
    yield len(name)


def _read_text_chunk(kind: bytes, data: bytes, found: PictureTexts) -> None:
    start, _, rest = data.partition(b"\0")
    keyword = start.decode("latin-1")
    if not found.is_first(keyword):
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
    found.add(keyword, rest, encoding)


def _read_exif(blob: bytes, found: PictureTexts) -> None:
    """ComfyUI writes ``keyword:text`` into ASCII tags of the first directory (Model, Make and those before it), most
    others put their text into UserComment or ImageDescription.
    """
    blob = blob.removeprefix(b"Exif\0\0")
    directory = TiffDirectory.of(blob)
    if directory is None:
        return
    found.orientation = next((o for o in directory.integers(blob, ORIENTATION_TAG)[:1] if o in ORIENTATIONS), 1)
    found.manifest = found.manifest or _C2PA_TAG in directory.entries
    for entry in directory.entries.values():
        if entry.kind != _ASCII_TEXT or entry.count <= 4:
            continue
        text = bytes(blob[entry.values : entry.values + min(entry.count, MAX_TEXT_BYTES + 20)]).rstrip(b"\0")
        keyword, separator, rest = text.partition(b":")
        name = keyword[:20].decode("latin-1").lower()
        if separator and name in ("prompt", "workflow"):
            if found.is_first(name):
                found.add(name, rest, "utf-8")
        elif entry.tag == _IMAGE_DESCRIPTION and _is_of_a_program(text) and found.is_first("parameters"):
            found.add("parameters", text, "utf-8")
    for start in directory.integers(blob, _EXIF_DIRECTORY)[:1]:
        further = TiffDirectory.of(blob, start)
        comment = further.entries.get(_USER_COMMENT) if further is not None else None
        if comment is None:
            continue
        text, encoding = _user_comment(blob[comment.values : comment.values + min(comment.count, MAX_TEXT_BYTES + 20)])
        if text.strip(b"\0 ") and found.is_first("parameters"):
            found.add("parameters", text, encoding)


def _is_of_a_program(text: bytes) -> bool:
    return text.lstrip()[:1] == b"{" or b"Steps: " in text


def _user_comment(value: bytes) -> tuple[bytes, str]:
    """The text and its encoding (EXIF 2.32, UserComment); the order of UTF-16 is not told, but most text is Latin."""
    code, text = value[:8], value[8:]
    if code == b"UNICODE\0":
        is_big = text[:2000:2].count(0) >= text[1:2000:2].count(0)
        return text, "utf-16-be" if is_big else "utf-16-le"
    return (text if code in (b"ASCII\0\0\0", bytes(8)) else value), "utf-8"
