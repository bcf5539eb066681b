"""Pictures in and out: files to tensors, checks, and the crop to the latent grid.

Everywhere in core an image is ``[B,3,H,W]`` float in [0,1]. Nothing here resamples: a trace does not survive it.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from .errors import InvalidImageError
from .orientation import ORIENTATIONS
from .orientation import stored as turned_back
from .picture_metadata import without_texts

# Far above any generated picture, far below what would exhaust the memory of a desktop.
MAX_PIXELS = 100_000_000
MAX_FILE_BYTES = 512 * 1024 * 1024
# Any other format may have altered the pixels (a WebP file does not say whether it did).
LOSSLESS_FORMATS = frozenset({"PNG", "BMP", "TIFF", "PPM", "GIF", "TGA"})
# What Pillow's readers raise on damaged files, whichever format they belong to.
_DECODING_ERRORS = (
    *(OSError, SyntaxError, TypeError, ValueError, EOFError, LookupError, ArithmeticError, struct.error),
    Image.DecompressionBombError,
)
ALPHA_NOTE = "transparency was dropped, the colours under it were traced"


@dataclass(frozen=True)
class Crop:
    """The part of a picture that was traced, in pixels of the original."""

    left: int
    top: int
    width: int
    height: int
    original_width: int
    original_height: int

    @property
    def is_whole(self) -> bool:
        return (self.width, self.height) == (self.original_width, self.original_height)

    def __str__(self) -> str:
        if self.is_whole:
            return "none"
        return (
            f"{self.width}×{self.height} at ({self.left}, {self.top}) of {self.original_width}×{self.original_height}"
        )


@dataclass(frozen=True)
class LoadedImage:
    """One picture file: ``pixels`` ``[1,3,H,W]`` in [0,1] as stored, how it was read, what its format tells."""

    path: Path
    pixels: Tensor
    notes: tuple[str, ...] = ()
    lossy: bool = False
    format: str = ""
    orientation: int = 1
    palette: int | None = None


def load_image(path: str | Path, content: bytes | None = None) -> LoadedImage:
    """Read a picture with Pillow as it is stored, not turned by its EXIF orientation, as 8-bit RGB.

    Alpha is dropped (not blended: blending would alter the pixels under test) and noted; metadata, however broken, do
    not keep the pixels from being read. ``content``: the bytes of the file, where they were already read. Raises
    :class:`InvalidImageError` for a missing, foreign, truncated or oversized file.
    """
    path = Path(path)
    notes: list[str] = []
    try:
        stored = io.BytesIO(without_texts(read_content(path) if content is None else content))
        with Image.open(stored) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise InvalidImageError(
                    f"{path} has {picture.width}×{picture.height} pixels, more than the {MAX_PIXELS} allowed:"
                    " trace a part of it."
                )
            if getattr(picture, "n_frames", 1) > 1:
                notes.append("only the first frame was traced")
            if picture.mode.startswith(("I", "F")) or _stored_in_16_bit(picture):
                raise InvalidImageError(
                    f"{path} has more than 8 bits per channel: save it as 8-bit RGB with the software that made it."
                )
            file_format = picture.format or ""
            lossy = file_format not in LOSSLESS_FORMATS
            orientation = _orientation(picture, notes)
            picture.load()
            palette = len(picture.getcolors() or ()) if picture.mode == "P" else None
    except FileNotFoundError:
        raise InvalidImageError(f"{path} does not exist: give the path of a picture.") from None
    except (UnidentifiedImageError, IsADirectoryError, PermissionError):
        raise InvalidImageError(f"{path} is not a readable picture: give a PNG, JPEG or WebP file.") from None
    except _DECODING_ERRORS as error:
        if isinstance(error, InvalidImageError):
            raise
        raise InvalidImageError(f"{path} cannot be decoded ({error}): it may be truncated, get a whole copy.") from None
    has_alpha = "A" in picture.getbands() or "transparency" in picture.info
    if has_alpha:
        notes.append(ALPHA_NOTE)
    pixels = to_tensor(picture.convert("RGBA").convert("RGB") if has_alpha else picture.convert("RGB"))
    if file_format == "TIFF":  # Pillow turns these and no others by itself
        pixels = turned_back(pixels, orientation)
    return LoadedImage(path, pixels, tuple(notes), lossy or palette is not None, file_format, orientation, palette)


def read_content(path: Path) -> bytes:
    """The bytes of a file; raises :class:`InvalidImageError` above :data:`MAX_FILE_BYTES`, OSError as open does."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise InvalidImageError(
            f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB: it is no picture that can be traced."
        )
    return content


def _orientation(picture: Image.Image, notes: list[str]) -> int:
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except _DECODING_ERRORS:
        notes.append("its EXIF data is damaged: whether it is to be turned is not known")
        return 1
    if orientation not in ORIENTATIONS or orientation == 1:
        return 1
    notes.append("EXIF turns it upright to be shown; it was traced as it is stored")
    return int(orientation)


def _stored_in_16_bit(picture: Image.Image) -> bool:
    """Pillow opens 16-bit RGB as mode RGB and silently keeps the upper byte; only the raw mode of its tiles tells."""
    return any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ()))


def to_tensor(picture: Image.Image) -> Tensor:
    """An RGB Pillow image as ``[1,3,H,W]`` float32 in [0,1]."""
    array = np.array(picture, dtype=np.uint8)
    return torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255


def to_picture(image: Tensor) -> Image.Image:
    """``[3,H,W]`` or ``[1,3,H,W]`` as a Pillow image, clamped to [0,1] and rounded."""
    pixels = image[0] if image.ndim == 4 else image
    array = (pixels.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(array.permute(1, 2, 0).numpy(), "RGB")


def check_images(images: Tensor) -> Tensor:
    """Return ``images`` as float32 ``[B,3,H,W]`` without alpha; raises :class:`InvalidImageError` if untraceable."""
    if images.ndim != 4:
        raise InvalidImageError(
            f"An image batch has 4 dimensions [B,3,H,W], this one has {images.ndim}: add the batch."
        )
    if images.numel() == 0:
        raise InvalidImageError(
            f"The image is empty (shape {tuple(images.shape)}): connect a picture with pixels in it."
        )
    if images.shape[1] not in (3, 4):
        raise InvalidImageError(f"The image has {images.shape[1]} channels: only RGB and RGBA pictures can be traced.")
    images = images[:, :3].float()
    if not torch.isfinite(images).all():
        raise InvalidImageError("The image contains NaN or infinite values: check the node or file it comes from.")
    if images.min() < -1e-3 or images.max() > 1 + 1e-3:
        raise InvalidImageError(
            f"The image's values span [{images.min():.3g}, {images.max():.3g}]: scale it to the range [0, 1]."
        )
    return images.clamp(0, 1)


def central_part(image: Tensor, side: int, block: int) -> Tensor:
    """The middle of ``image`` ``[1,3,H,W]``, at most ``side`` pixels each way, beginning at a whole ``block``.

    For what need not see the whole of a large picture. Raises :class:`InvalidImageError` as :func:`check_images` does.
    """
    image = check_images(image)
    top, left = (max(0, length - side) // 2 // block * block for length in image.shape[-2:])
    return image[..., top : top + side, left : left + side]


def crop_to_grid(images: Tensor, spatial_ratio: int) -> tuple[Tensor, Crop]:
    """Centre-crop ``images`` ``[B,3,H,W]`` to multiples of ``spatial_ratio`` pixels, as ComfyUI's VAE encode does.

    Raises :class:`InvalidImageError` for an image smaller than one latent cell.
    """
    height, width = images.shape[-2:]
    if min(height, width) < spatial_ratio:
        raise InvalidImageError(
            f"The image is {width}×{height} pixels, smaller than one latent cell of {spatial_ratio}×{spatial_ratio}:"
            " use a larger picture."
        )
    kept_height, kept_width = height - height % spatial_ratio, width - width % spatial_ratio
    top, left = (height % spatial_ratio) // 2, (width % spatial_ratio) // 2
    crop = Crop(left, top, kept_width, kept_height, width, height)
    return images[..., top : top + kept_height, left : left + kept_width], crop
