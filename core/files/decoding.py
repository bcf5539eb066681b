"""From the bytes of a picture file to its pixels, as they are stored; whatever is wrong with them is one sentence.

Colours are not managed: a profile in the file is noted and not applied, as no model's decoder knows of it.
"""

from __future__ import annotations

import io
import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..errors import InvalidImageError, is_out_of_memory, visible
from ..images.tensors import ALPHA_NOTE, to_tensor
from ..storage.safe_text import clean_text
from .container import TiffDirectory, pixels_only
from .deep_colour import deep_pixels, note_on_depth, rawmode_of
from .formats import READ_FORMATS, picture_format
from .metadata import read_texts
from .stored_colours import has_alpha, has_profile, note_on_jpeg, notes_on_altered_pixels, palette_size, to_rgb

# Far above any generated picture, and what the largest cameras make. The side is what JPEG allows.
MAX_PIXELS = 100_000_000
MAX_SIDE = 65_535
MAX_FILE_BYTES = 512 * 1024 * 1024
# Above so many pixels a file must hold a byte for each thousand of them: a few kilobytes that claim a hundred
# megapixels would take a gigabyte to become one flat colour. Photographs have a byte for ten pixels.
FREE_PIXELS, PIXELS_PER_BYTE = 16_000_000, 1000
# Each scan of a progressive JPEG goes over the whole picture; encoders write about ten.
MAX_SCANS, MAX_SCANNED_PIXELS = 100, 2**31
# Of processor time, while Pillow asks for more of the file: twenty times what an ordinary picture of that size needs.
SECONDS, PIXELS_PER_SECOND = 2.0, 4_000_000
FRAME_NOTE = "only the first frame was traced"
TURN_NOTE = "EXIF turns it upright to be shown; it was traced as it is stored"
PROFILE_NOTE = "its colour profile was not applied"


@dataclass(frozen=True)
class LoadedImage:
    """One picture file: ``pixels`` ``[1,3,H,W]`` in [0,1] as stored, how it was read, what its format tells.

    ``lossy``: the pixels may not be those that were stored first; ``orientation``: EXIF's, 1 to 8; ``palette``: how
    many colours the picture has, where the file stores a palette; ``exif``: the block of files whose container only
    Pillow knows.
    """

    path: Path
    pixels: Tensor
    notes: tuple[str, ...] = ()
    lossy: bool = False
    format: str = ""
    orientation: int = 1
    palette: int | None = None
    exif: bytes = b""


def load_image(path: str | Path, content: bytes | None = None) -> LoadedImage:
    """Read a picture as it is stored, not turned by its EXIF orientation; 16-bit pictures keep all their bits.

    Alpha is dropped (not blended: blending would alter the pixels under test) and noted; metadata, however broken, do
    not keep the pixels from being read. ``content``: the bytes of the file, where they were already read. Raises
    :class:`InvalidImageError` for a missing, foreign, truncated or oversized file.
    """
    path = Path(path)
    content = read_content(path, str(path)) if content is None else content
    try:
        with warnings.catch_warnings(), _quiet(content):
            warnings.simplefilter("ignore")  # what Pillow grumbles about is decided and said here
            return _load(path, content)
    except (InvalidImageError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except Image.DecompressionBombError:
        problem = f"has more than the {MAX_PIXELS} pixels allowed: trace a part of it."
    except TimeoutError:
        problem = "takes too long to read: save it anew with the software that made it."
    except MemoryError:
        problem = "does not fit into the free memory: trace a part of it."
    except UnidentifiedImageError:
        problem = "cannot be decoded (its header is damaged): it may be truncated, get a whole copy."
    except BaseException as error:  # decoders raise what they like, those written in Rust not even an Exception
        reason = clean_text(str(error) or type(error).__name__)
        problem = f"cannot be decoded ({reason}): it may be truncated, get a whole copy."
        if is_out_of_memory(error):
            problem = "does not fit into the free memory: trace a part of it."
    raise InvalidImageError(f"{path} {problem}")


def read_content(path: Path, name: str) -> bytes:
    """The bytes of a file, called ``name`` in errors; raises :class:`InvalidImageError` if it cannot be read whole."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # opening a pipe would wait for ever
            raise InvalidImageError(f"{name} is no ordinary file: give the path of a picture.")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise InvalidImageError(f"{name} does not exist: give the path of a picture.") from None
    except (IsADirectoryError, PermissionError):
        raise InvalidImageError(f"{name} is not a readable picture: give a {READ_FORMATS} file.") from None
    except MemoryError:
        raise InvalidImageError(f"{name} does not fit into the free memory: close other programs.") from None
    except InvalidImageError:
        raise
    except (OSError, ValueError) as error:  # a zero in a name is a ValueError
        reason = clean_text(getattr(error, "strerror", None) or str(error))
        raise InvalidImageError(f"{name} cannot be read ({reason}): see that it is a file you may read.") from None
    if len(content) > MAX_FILE_BYTES:
        raise InvalidImageError(
            f"{name} is larger than {MAX_FILE_BYTES // 2**20} MiB: it is no picture that can be traced."
        )
    return content


# Held while standard error leads nowhere: whoever has something to say waits for it.
STANDARD_ERROR = threading.Lock()


@contextmanager
def _quiet(content: bytes) -> Iterator[None]:
    """While TIFF is read: libtiff writes about damage to the process's standard error, past Python."""
    if content[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        yield
        return
    with STANDARD_ERROR:
        try:
            kept = os.dup(2)
        except OSError:  # there is none
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


class _TimedBytes(io.BytesIO):
    """A file in memory that is not read after ``deadline`` seconds of this thread's processor time."""

    deadline = float("inf")

    def read(self, size: int | None = -1, /) -> bytes:
        if time.thread_time() > self.deadline:
            raise TimeoutError
        return super().read(size)


def _load(path: Path, content: bytes) -> LoadedImage:
    kind = picture_format(content, str(path))
    stored = pixels_only(content)
    notes: list[str] = []

    def open_picture(data: bytes, file_format: str) -> Image.Image:
        file = _TimedBytes(data)
        file.deadline = time.thread_time() + SECONDS
        picture = Image.open(file, formats=[file_format])
        _check_size(path, picture, len(content))
        file.deadline += picture.width * picture.height / PIXELS_PER_SECOND
        return picture

    try:
        deep = deep_pixels(stored, kind.name, open_picture)
    except InvalidImageError as error:
        raise error if str(error).startswith(visible(str(path))) else InvalidImageError(f"{path} {error}") from None
    # Floating-point colour in TIFF was opened as something else, its own directory Pillow does not know.
    picture = open_picture(stored, kind.name) if deep is None or kind.name != "TIFF" else None
    info = picture.info if picture is not None else {}
    exif = b"" if kind.name in ("PNG", "JPEG", "WEBP", "TIFF") else bytes(info.get("exif") or b"")
    orientation = read_texts(content, exif).orientation
    if getattr(picture, "is_animated", False) or _has_further_pictures(content, kind.name):
        notes.append(FRAME_NOTE)
    if orientation != 1:
        notes.append(TURN_NOTE)
    if has_profile(content, kind.name, picture):
        notes.append(PROFILE_NOTE)
    lossy, palette = not kind.keeps_pixels, None
    if deep is not None:
        notes.append("it has more than 8 bits per channel, all were read")
        pixels = torch.from_numpy(np.ascontiguousarray(deep)).permute(2, 0, 1)[None]
    else:
        assert picture is not None
        if kind.name == "JPEG":
            _check_scans(path, stored, picture)
        rawmode = rawmode_of(picture)
        picture.load()
        palette = palette_size(picture, rawmode)
        notes += filter(None, (note_on_depth(content, kind.name, picture), note_on_jpeg(picture, kind.name)))
        altered = notes_on_altered_pixels(content, kind.name, picture)
        notes += altered
        lossy = lossy or palette is not None or bool(altered)
        pixels = to_tensor(to_rgb(picture))
    if has_alpha(content, kind.name, picture):
        notes.append(ALPHA_NOTE)
    return LoadedImage(path, pixels, tuple(notes), lossy, kind.name, orientation, palette, exif)


def _check_size(path: Path, picture: Image.Image, size: int) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise InvalidImageError(
            f"{path} has {width}×{height} pixels, more than the {MAX_PIXELS} allowed: trace a part of it."
        )
    if max(width, height) > MAX_SIDE:
        raise InvalidImageError(
            f"{path} has {width}×{height} pixels, more than the {MAX_SIDE} allowed for a side: trace a part of it."
        )
    if width * height > max(FREE_PIXELS, PIXELS_PER_BYTE * size):
        raise InvalidImageError(
            f"{path} claims {width}×{height} pixels in {size} bytes: it is damaged or all one colour, trace a part."
        )
    if min(width, height) < 1:
        raise InvalidImageError(f"{path} has {width}×{height} pixels: give a picture with pixels in it.")


def _has_further_pictures(content: bytes, file_format: str) -> bool:
    """Pages of a TIFF, and the further pictures of cameras' JPEG (MPO), without looking at any of them."""
    if file_format == "TIFF":
        directory = TiffDirectory.of(content)
        return directory is not None and directory.has_further(content)
    return file_format == "JPEG" and b"MPF\0" in content[:100_000]


def _check_scans(path: Path, content: bytes, picture: Image.Image) -> None:
    scans = content.count(b"\xff\xda")
    if scans > MAX_SCANS or scans * picture.width * picture.height > MAX_SCANNED_PIXELS:
        raise InvalidImageError(f"{path} has {scans} scans: save it anew with the software that made it.")
