"""Regularity of the picture itself that a decoder's latent grid could be mistaken for, or that repeats few details.

A score that compares the latent grid with a shifted one takes a picture's own grid of the same period for the trace:
block edges of rough compression, mosaics, ruled paper, pixels enlarged eightfold. And a texture that repeats itself
holds no more evidence than one tile of it, however large the picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .tensors import central_part

# Pixels per side of JPEG's blocks, and of a latent cell of most decoders.
JPEG_BLOCK = 8
# The middle of a larger picture is looked at.
MAX_SIDE = 1024
# Noise floor of second differences in 8-bit levels, so that rounding in flat parts is no pattern
# (benchmarks/results/constants.md).
FLOOR = 0.5
# A block is flat, and says nothing, below this range of levels in every channel: rounding alone has 1.
FLAT_RANGE = 4


def grid_strength(image: Tensor, period: int = JPEG_BLOCK) -> float:
    """How much one row or column in ``period`` stands out: ln of its second differences against its neighbours'.

    ``image`` ``[1,3,H,W]`` in [0,1]. The median over all lines of one phase, the largest of all phases and both
    directions: a few strong edges do not count, a grid does wherever it begins, and one of twice the period shows, too.
    Second differences also show the knots of enlargement by interpolation (Gallagher, "Detection of linear and cubic
    interpolation in JPEG compressed images", 2005). 0 where the picture has fewer than four lines of each phase.
    """
    pixels = 255 * central_part(image, MAX_SIDE, JPEG_BLOCK)[0].cpu().double().numpy(force=True)
    luminance = np.tensordot(np.array([0.299, 0.587, 0.114]), pixels, axes=(0, 0))
    return max(_grid_strength_of_columns(lines, period) for lines in (luminance, luminance.T))


def _grid_strength_of_columns(luminance: NDArray[np.float64], period: int) -> float:
    if luminance.shape[1] < 4 * period + 2:
        return 0.0
    changes = np.abs(np.diff(luminance, n=2, axis=1)).mean(0) + FLOOR
    half = period // 2
    padded = np.pad(changes, half, constant_values=np.nan)
    beside = [offset for offset in range(2 * half + 1) if offset != half]
    neighbours = np.nanmedian(np.stack([padded[offset : offset + len(changes)] for offset in beside]), axis=0)
    excess = np.log(changes / neighbours)
    return max(0.0, *(float(np.median(excess[phase::period])) for phase in range(period)))


def different_blocks(image: Tensor) -> tuple[int, int]:
    """Of the 8×8 blocks of ``image`` ``[1,3,H,W]`` that are not flat: how many differ, and how many there are."""
    levels = (255 * central_part(image, MAX_SIDE, JPEG_BLOCK)[0]).round().clamp(0, 255).byte().numpy(force=True)
    rows, columns = (side // JPEG_BLOCK for side in levels.shape[-2:])
    cells = levels[:, : rows * JPEG_BLOCK, : columns * JPEG_BLOCK].reshape(3, rows, JPEG_BLOCK, columns, JPEG_BLOCK)
    cells = cells.transpose(1, 3, 0, 2, 4).reshape(rows * columns, 3, JPEG_BLOCK * JPEG_BLOCK)
    ranges = cells.max(2).astype(int) - cells.min(2)
    telling = cells[(ranges >= FLAT_RANGE).any(1)]
    return len({cell.tobytes() for cell in telling}), len(telling)


def repeated_pattern(image: Tensor, period: int) -> float:
    """How much more the pixels of ``image`` ``[1,3,H,W]`` in [0,1] are like those one and two ``period`` pixels on than
    like the neighbours of those: correlations of first differences of luma, -4 to 4, about 0 in photographs.

    A decoder that writes equal cells side by side, of an empty or a smooth latent, leaves its own pattern in each. The
    larger of both directions; 0 where the middle of the picture has fewer than four periods.
    """
    pixels = 255 * central_part(image, MAX_SIDE, JPEG_BLOCK)[0].cpu().double().numpy(force=True)
    luminance = np.tensordot(np.array([0.299, 0.587, 0.114]), pixels, axes=(0, 0))
    if min(luminance.shape) < 4 * period:
        return 0.0
    return max(_repeated_along_rows(lines, period) for lines in (luminance, luminance.T))


def _repeated_along_rows(luminance: NDArray[np.float64], period: int) -> float:
    changes = np.diff(luminance, axis=1)
    changes -= changes.mean(1, keepdims=True)
    # In flat parts rounding is no pattern.
    power = float((changes**2).mean()) + FLOOR**2

    def likeness(lag: int) -> float:
        return float((changes[:, lag:] * changes[:, :-lag]).mean()) / power

    return sum(likeness(at) - (likeness(at - 1) + likeness(at + 1)) / 2 for at in (period, 2 * period))
