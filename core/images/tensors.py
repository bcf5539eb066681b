"""Pictures as tensors: to and from Pillow, checks, and the crop to the latent grid.

Everywhere in core an image is ``[B,3,H,W]`` float in [0,1]. Nothing here resamples: a trace does not survive it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..errors import InvalidImageError

_BAND = 256
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


def to_tensor(picture: Image.Image) -> Tensor:
    """An RGB Pillow image as ``[1,3,H,W]`` float32 in [0,1]."""
    width, height = picture.size
    pixels = torch.empty(height, width, 3)
    for top in range(0, height, _BAND):  # whole, there would be four copies of a large picture at once
        band = picture.crop((0, top, width, min(top + _BAND, height)))
        pixels[top : top + _BAND] = torch.from_numpy(np.array(band, dtype=np.uint8))
    return pixels.div_(255).permute(2, 0, 1)[None]


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
    found = finite_range(images)
    if found is None:
        raise InvalidImageError("The image contains NaN or infinite values: check the node or file it comes from.")
    low, high = found
    if low < -1e-3 or high > 1 + 1e-3:
        raise InvalidImageError(f"The image's values span [{low:.3g}, {high:.3g}]: scale it to the range [0, 1].")
    # No copy of a hundred megapixels for nothing.
    return images if low >= 0 and high <= 1 else images.clamp(0, 1)


def check_each(images: Tensor) -> tuple[Tensor, dict[int, str]]:
    """``images`` as :func:`check_images` gives them, and by their number why some of several cannot be judged.

    Black stands for those: one picture of a batch must not cost the others their answers. Raises
    :class:`InvalidImageError` where no picture is left.
    """
    reasons: dict[int, str] = {}
    for number in range(len(images) if images.ndim == 4 else 0):
        try:
            check_images(images[number : number + 1])
        except InvalidImageError as error:
            reasons[number] = str(error)
    if len(reasons) < len(images):
        images = images.clone()
        images[list(reasons)] = 0
    return check_images(images), reasons


def finite_range(images: Tensor) -> tuple[float, float] | None:
    """Smallest and largest value of ``images`` ``[B,C,H,W]``, ``None`` where any is NaN or infinite; makes no copy."""
    low, high = (float(value) for value in torch.aminmax(images))
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def telling_part(image: Tensor, side: int, block: int) -> Tensor:
    """The part of ``image`` ``[1,3,H,W]`` with most detail, at most ``side`` pixels each way, beginning at a whole
    ``block``; the middle one of those that have as much.

    For what need not see the whole of a large picture, and must not be led away from what a score looks at by a plain
    ground. Raises :class:`InvalidImageError` as :func:`check_images` does.
    """
    if max(image.shape[-2:]) <= side or min(image.shape[-2:]) < block:
        return check_images(image[..., :side, :side])
    # Differences along every fourth row of green; strong edges count no more than texture.
    changes = image[0, 1, ::4].diff(dim=-1).abs().clamp(max=16 / 255).float().cpu()
    height, width = (length // block for length in (image.shape[-2], changes.shape[-1]))
    rows = torch.arange(changes.shape[0]) * 4 // block
    by_rows = torch.zeros(int(rows[-1]) + 1, changes.shape[1]).index_add_(0, rows, changes)[: max(1, height)]
    # A picture of one block has one difference less than pixels.
    blocks = by_rows[:, : width * block].unflatten(1, (-1, block)).sum(2) if width else by_rows.sum(1, keepdim=True)
    whole = F.pad(blocks.double().cumsum(0).cumsum(1), (1, 0, 1, 0))
    tall, wide = (min(side // block, count) for count in blocks.shape)
    sums = whole[tall:, wide:] - whole[:-tall, wide:] - whole[tall:, :-wide] + whole[:-tall, :-wide]
    most = sums >= 0.98 * sums.max()
    places = most.nonzero().double()
    middle = torch.tensor([(count - 1) / 2 for count in sums.shape], dtype=torch.float64)
    top, left = (int(at) * block for at in places[(places - middle).square().sum(1).argmin()])
    return check_images(image[..., top : top + side, left : left + side])


def whole_cells(images: Tensor, spatial_ratio: int) -> Tensor:
    """``images`` ``[B,3,H,W]`` without what lies beyond the last whole latent cell, right and below; a view.

    What is left keeps its place on the grids of the decoder and of JPEG, which begin at the upper left corner. Raises
    :class:`InvalidImageError` for an image smaller than one latent cell.
    """
    height, width = (length // spatial_ratio * spatial_ratio for length in images.shape[-2:])
    if 0 in (height, width):
        raise _too_small(images, spatial_ratio)
    return images[..., :height, :width]


def _too_small(images: Tensor, spatial_ratio: int) -> InvalidImageError:
    height, width = images.shape[-2:]
    return InvalidImageError(
        f"The image is {width}×{height} pixels, smaller than one latent cell of {spatial_ratio}×{spatial_ratio}:"
        " use a larger picture."
    )


def crop_to_grid(images: Tensor, spatial_ratio: int) -> tuple[Tensor, Crop]:
    """Centre-crop ``images`` ``[B,3,H,W]`` to multiples of ``spatial_ratio`` pixels, as ComfyUI's VAE encode does.

    Raises :class:`InvalidImageError` for an image smaller than one latent cell.
    """
    height, width = images.shape[-2:]
    if min(height, width) < spatial_ratio:
        raise _too_small(images, spatial_ratio)
    kept_height, kept_width = height - height % spatial_ratio, width - width % spatial_ratio
    top, left = (height % spatial_ratio) // 2, (width % spatial_ratio) // 2
    crop = Crop(left, top, kept_width, kept_height, width, height)
    return images[..., top : top + kept_height, left : left + kept_width], crop
