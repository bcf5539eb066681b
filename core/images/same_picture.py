"""Which pictures show the same: copies of a photograph are no independent evidence about error rates.

A picture is reduced to a small grey thumbnail without its coarse light, and two pictures are compared by normalised
correlation, which brightness and contrast do not change; re-encoding, noise and resizing average out. Mirrored and
turned ones and crops down to nine tenths are looked for by trying. One photograph of a scene and the next of a burst
are the same in this sense, and rightly: their scores are as alike.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from .tensors import check_images

# Side of the thumbnail, and of the picture that its crops are cut from, in pixels.
SIDE, WORKING_SIDE = 16, 160
# Standard deviation in thumbnail pixels of the coarse light that is taken away
# (benchmarks/results/constants.md, as SAME).
COARSE = 3.0
CROPS = (0.95, 0.9)
# 82 different pictures (this project's 72 and scikit-image's) reach 0.62, with shared parts 0.88 (a stereo pair).
# JPEG at quality 30, half the size, both, double the size, 10 % brighter or darker: 0.95 and more. Crops down to nine
# tenths, half a degree of turn: 0.94 and more, but for textures of stones and bricks with 0.77 to 0.87.
SAME = 0.9
# Root mean square of a thumbnail, in [0,1], below which it shows nothing but rounding.
NOTHING = 0.5 / 255 / 4


class SeenPictures:
    """Pictures looked at so far, one thumbnail and its crops each: a picture itself can be forgotten."""

    def __init__(self) -> None:
        self._whole = torch.zeros(0, SIDE * SIDE)
        self._crops = torch.zeros(0, SIDE * SIDE)

    def __len__(self) -> int:
        return len(self._whole)

    def number_of(self, image: Tensor) -> tuple[int, bool]:
        """(number, whether new) of ``image`` ``[1,3,H,W]`` in [0,1]: that of the first picture that shows the same.

        Raises :class:`InvalidImageError` as :func:`check_images` does.
        """
        crops = thumbnails(image)
        turned = _turned(crops)
        if len(self):
            # The new picture or a part of it as the whole known one, or itself as a part of the known one.
            likeness = torch.maximum(
                (turned @ self._whole.T).amax(0),
                (_turned(crops[:1]) @ self._crops.T).amax(0).view(len(self), -1).amax(1),
            )
            best = int(likeness.argmax())
            if likeness[best] >= SAME:
                return best, False
        self._whole = torch.cat([self._whole, crops[:1]])
        self._crops = torch.cat([self._crops, crops])
        return len(self) - 1, True


def thumbnails(image: Tensor) -> Tensor:
    """``[19, 256]``: the whole of ``image`` and eighteen large parts, each of unit length, or 0 where it is flat."""
    if image.ndim != 4 or image.shape[1] not in (3, 4) or image.numel() == 0:
        check_images(image)  # says what is wrong
    # What cannot be used shows in the small picture, too; checking the large one would take copies of it.
    small_sides = (min(image.shape[-2], WORKING_SIDE), min(image.shape[-1], WORKING_SIDE))
    grey = check_images(F.adaptive_avg_pool2d(image[:, :3].float(), small_sides)).mean(1, keepdim=True)
    height, width = grey.shape[-2:]
    parts = [grey]
    for share in CROPS:
        rows, columns = max(1, round(share * height)), max(1, round(share * width))
        for down in (0, (height - rows) // 2, height - rows):
            for right in (0, (width - columns) // 2, width - columns):
                parts.append(grey[..., down : down + rows, right : right + columns])
    small = torch.cat([F.adaptive_avg_pool2d(part, SIDE) for part in parts])
    reach = round(2 * COARSE)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1.0) / COARSE) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    padded = F.pad(small, (reach,) * 4, mode="reflect")
    fine = (small - F.conv2d(F.conv2d(padded, kernel), kernel.mT)).flatten(1)
    fine = fine - fine.mean(1, keepdim=True)
    length = fine.norm(dim=1, keepdim=True)
    return torch.where(length > NOTHING * SIDE, fine / length.clamp_min(1e-12), 0.0)


def _turned(vectors: Tensor) -> Tensor:
    """``[8·n, 256]``: the thumbnails ``[n, 256]``, mirrored and turned by quarters."""
    squares = vectors.view(-1, SIDE, SIDE)
    mirrored = [squares, squares.flip(2), squares.flip(1), squares.flip(1, 2)]
    return torch.cat([*mirrored, *(one.mT for one in mirrored)]).reshape(-1, SIDE * SIDE)
