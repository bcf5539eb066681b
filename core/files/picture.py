"""A picture and the file it lies in: the stored pixels, and the facts that pixels alone do not tell."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from .decoding import load_image, read_content
from .orientation import upright
from .provenance import Claims, read_claims


@dataclass(frozen=True)
class PictureFile:
    """One file to read: ``name`` is its path below its folder, or its own name where it was given alone."""

    path: Path
    name: str


@dataclass(frozen=True)
class UnreadableFile:
    """A file that cannot be traced, and why; ``digest`` and ``size`` in bytes where its content could be read."""

    name: str
    error: str
    digest: str = ""
    size: int = 0


@dataclass(frozen=True)
class FileFacts:
    """What a file tells beside its pixels.

    ``digest``: SHA-256 of its bytes, ``size``: their number; ``width`` and ``height`` as stored; ``lossy``: its format
    may have altered the pixels; ``position`` of ``total`` in the run; ``orientation``: EXIF's, 1 to 8; ``palette``: how
    many colours the picture has, where the file stores a palette.
    """

    name: str
    digest: str
    size: int
    format: str
    width: int
    height: int
    lossy: bool
    notes: tuple[str, ...] = ()
    claims: Claims = Claims()
    position: int = 1
    total: int = 1
    orientation: int = 1
    palette: int | None = None


@dataclass(frozen=True)
class Picture:
    """``pixels`` ``[1,3,H,W]`` float32 in [0,1] as the file stores them (not turned by EXIF), and the ``facts``."""

    pixels: Tensor
    facts: FileFacts

    @classmethod
    def of(cls, pixels: Tensor, name: str = "picture") -> Picture:
        """``pixels`` ``[1,3,H,W]`` alone: nothing is known of a file."""
        height, width = pixels.shape[-2:]
        return cls(pixels, FileFacts(name, "", 0, "", width, height, False))

    @classmethod
    def read(
        cls, file: str | Path | PictureFile, content: bytes | None = None, *, position: int = 1, total: int = 1
    ) -> Picture:
        """The picture in ``file``; raises :class:`InvalidImageError`, which names it.

        ``content``: the bytes of the file, where they were already read.
        """
        if not isinstance(file, PictureFile):
            file = PictureFile(Path(file), str(file))
        content = read_bytes(file) if content is None else content
        loaded = load_image(file.name, content)
        height, width = loaded.pixels.shape[-2:]
        facts = FileFacts(
            name=file.name,
            digest=content_digest(content),
            size=len(content),
            format=loaded.format,
            width=width,
            height=height,
            lossy=loaded.lossy,
            notes=loaded.notes,
            claims=read_claims(content, loaded.exif),
            position=position,
            total=total,
            orientation=loaded.orientation,
            palette=loaded.palette,
        )
        return cls(loaded.pixels, facts)

    @property
    def upright(self) -> Tensor:
        """The pixels turned by the EXIF orientation, for showing: ``[1,3,H,W]`` or ``[1,3,W,H]`` in [0,1]."""
        return upright(self.pixels, self.facts.orientation)


def read_bytes(file: PictureFile) -> bytes:
    """The bytes of ``file``; raises :class:`InvalidImageError` for one that cannot be read."""
    return read_content(file.path, file.name)


def content_digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
