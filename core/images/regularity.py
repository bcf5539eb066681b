"""Regularity of the picture itself that a decoder's latent grid could be mistaken for, or that repeats few details.

A score that compares the latent grid with a shifted one takes a picture's own grid of the same period for the trace:
block edges of rough compression, mosaics, ruled paper, pixels enlarged eightfold. And a texture that repeats itself
holds no more evidence than one tile of it, however large the picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .tensors import telling_part

# Pixels per side of JPEG's blocks, and of a latent cell of most decoders.
JPEG_BLOCK = 8
# The part of a larger picture that has most detail is looked at, for repetition a smaller one.
MAX_SIDE, LAG_SIDE = 1024, 512
# Noise floor of second differences in 8-bit levels, so that rounding in flat parts is no pattern
# (benchmarks/results/constants.md).
FLOOR = 0.5
# A block is flat, and says nothing, below this range of levels in every channel: rounding alone has 1.
FLAT_RANGE = 4
# A line belongs to the plain margin where fewer than so many second differences are larger than this, in levels.
BENT, LEAST_BENT = 2.0, 4
# Fine texture that is like itself by so much, at a lag of whole blocks, repeats; a block that is so like another one is
# no further evidence. Noise laid over it takes a little away.
REPEATED, NEARLY, ALIKE = 0.5, 0.8, 0.6


def grid_strength(image: Tensor, period: int = JPEG_BLOCK) -> float:
    """How much one row or column in ``period`` stands out: ln of its second differences against its neighbours'.

    ``image`` ``[1,3,H,W]`` in [0,1]. The median over all lines of one phase, but for plain margins, the largest of all
    phases and both directions: a few strong edges do not count, a grid does wherever it begins, and one of twice the
    period shows, too. Second differences also show the knots of enlargement by interpolation (Gallagher, "Detection of
    linear and cubic interpolation in JPEG compressed images", 2005). 0 where the picture has fewer than four lines of
    each phase.
    """
    pixels = 255 * telling_part(image, MAX_SIDE, JPEG_BLOCK)[0].cpu().double().numpy(force=True)
    luminance = np.tensordot(np.array([0.299, 0.587, 0.114]), pixels, axes=(0, 0))
    return max(_grid_strength_of_columns(lines, period) for lines in (luminance, luminance.T))


def _grid_strength_of_columns(luminance: NDArray[np.float64], period: int) -> float:
    if luminance.shape[1] < 4 * period + 2:
        return 0.0
    bends = _content(np.abs(np.diff(luminance, n=2, axis=1)), 4 * period)
    changes = bends.mean(0) + FLOOR
    half = period // 2
    padded = np.pad(changes, half, constant_values=np.nan)
    beside = [offset for offset in range(2 * half + 1) if offset != half]
    neighbours = np.nanmedian(np.stack([padded[offset : offset + len(changes)] for offset in beside]), axis=0)
    excess = np.log(changes / neighbours)
    return max(0.0, *(float(np.median(excess[phase::period])) for phase in range(period)))


def _content(bends: NDArray[np.float64], least: int) -> NDArray[np.float64]:
    """``bends`` ``[H,W]`` without the plain margins: a patch on a plain ground has its grid in its own lines."""
    bent = bends > BENT
    rows, columns = (np.flatnonzero(bent.sum(axis) >= LEAST_BENT) for axis in (1, 0))
    if not len(rows) or not len(columns) or columns[-1] - columns[0] < least:
        return bends
    return bends[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def different_blocks(image: Tensor) -> tuple[int, int]:
    """Of the 8×8 blocks of ``image`` ``[1,3,H,W]`` that are not flat: how many differ, and how many there are.

    Where the texture repeats, so do blocks that are as good as alike: with noise, a gradient or a vignette over them.
    """
    levels = (255 * telling_part(image, MAX_SIDE, JPEG_BLOCK)[0]).round().clamp(0, 255).byte().numpy(force=True)
    rows, columns = (side // JPEG_BLOCK for side in levels.shape[-2:])
    cells = levels[:, : rows * JPEG_BLOCK, : columns * JPEG_BLOCK].reshape(3, rows, JPEG_BLOCK, columns, JPEG_BLOCK)
    cells = cells.transpose(1, 3, 0, 2, 4).reshape(rows * columns, 3, JPEG_BLOCK * JPEG_BLOCK)
    ranges = cells.max(2).astype(int) - cells.min(2)
    telling = cells[(ranges >= FLAT_RANGE).any(1)]
    exact = len({cell.tobytes() for cell in telling})
    if not len(telling):
        return 0, 0
    again = _repeated_blocks(levels[:, : rows * JPEG_BLOCK, : columns * JPEG_BLOCK])
    return min(exact, int((~again.reshape(-1) & (ranges >= FLAT_RANGE).any(1)).sum())), len(telling)


def _repeated_blocks(levels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """``[rows, columns]``: which blocks of ``levels`` ``[3,H,W]`` are like one above or left of them, at a lag of whole
    blocks by which the whole texture repeats."""
    fine = _fine_texture(levels)
    height, width = (side // JPEG_BLOCK for side in fine.shape)
    again = np.zeros((height, width), bool)
    for down, right in _lags(fine):
        moved = np.full(fine.shape, np.nan)
        across = slice(max(0, right), min(fine.shape[1], fine.shape[1] + right))
        source = slice(max(0, -right), min(fine.shape[1], fine.shape[1] - right))
        moved[down:, across] = fine[: fine.shape[0] - down, source]
        products = [
            _block_sums(one * other, height, width) for one, other in ((fine, moved), (fine, fine), (moved, moved))
        ]
        with np.errstate(invalid="ignore"):
            again |= products[0] > ALIKE * np.sqrt(products[1] * products[2]) + FLOOR
    return again


def _fine_texture(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """``[H,W]``: luma less the mean of its four neighbours, which no gradient changes."""
    luma = np.tensordot(np.array([0.299, 0.587, 0.114]), levels.astype(np.float64), axes=(0, 0))
    wide = np.pad(luma, 1, mode="edge")
    return luma - (wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]) / 4


def _block_sums(values: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    return values.reshape(height, JPEG_BLOCK, width, JPEG_BLOCK).sum((1, 3))


def _lags(fine: NDArray[np.float64]) -> list[tuple[int, int]]:
    """(down, right) in whole blocks at which ``fine`` is like itself: the best along rows, columns and of all."""
    top, left = ((side - min(side, LAG_SIDE)) // 2 // JPEG_BLOCK * JPEG_BLOCK for side in fine.shape)
    part = fine[top : top + LAG_SIDE, left : left + LAG_SIDE]
    shape = tuple(2 * side for side in part.shape)
    likeness = np.fft.irfft2(np.abs(np.fft.rfft2(part, shape)) ** 2, shape)
    if likeness[0, 0] <= 0:
        return []
    downs = np.arange(0, part.shape[0] // 2 + 1, JPEG_BLOCK)
    rights = np.arange(-(part.shape[1] // 2 // JPEG_BLOCK) * JPEG_BLOCK, part.shape[1] // 2 + 1, JPEG_BLOCK)
    overlap = np.outer(1 - downs / part.shape[0], 1 - np.abs(rights) / part.shape[1])
    found = likeness[np.ix_(downs, rights)] / (likeness[0, 0] * overlap)
    found[0, rights <= 0] = 0
    best = []
    # The nearest of those that are about as good: further ones leave more blocks that nothing lies before.
    distance = np.hypot(downs[:, None], rights)
    for some in (found[:1], np.where(rights == 0, found, 0), found):
        if some.max() > REPEATED:
            near = np.where(some > NEARLY * some.max(), distance[: len(some)], np.inf)
            place = np.unravel_index(int(near.argmin()), near.shape)
            best.append((int(downs[place[0]]), int(rights[place[1]])))
    return list(dict.fromkeys(best))


def repeated_pattern(image: Tensor, period: int) -> float:
    """How much more the pixels of ``image`` ``[1,3,H,W]`` in [0,1] are like those one and two ``period`` pixels on than
    like the neighbours of those: correlations of first differences of luma, -4 to 4, about 0 in photographs.

    A decoder that writes equal cells side by side, of an empty or a smooth latent, leaves its own pattern in each. The
    larger of both directions; 0 where the middle of the picture has fewer than four periods.
    """
    pixels = 255 * telling_part(image, MAX_SIDE, JPEG_BLOCK)[0].cpu().double().numpy(force=True)
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
