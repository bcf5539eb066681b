"""What JPEG left in the pixels: a picture's compression history, whatever file it lies in now.

JPEG stores the cosine coefficients of 8×8 blocks as multiples of a step per frequency (ITU-T T.81, annex A). Decoded
again, they still lie close to those multiples, and the steps can be read off the pixels (Fan and de Queiroz,
"Identification of bitmap compression history", IEEE Trans. Image Processing 12(2), 2003). We do so by the circular mean
of each frequency's coefficients, which is near 1 at a step they were rounded to and near or below 0 elsewhere.

It matters twice: strong JPEG works on the same 8-pixel grid as most decoders and can pass for one's trace, and any JPEG
weakens the trace of a picture that does belong.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from torch import Tensor

from .regularity import JPEG_BLOCK
from .tensors import telling_part

# The centre of a large picture tells as much as the whole.
MAX_SIDE, MAX_BLOCKS = 512, 1024
# Luminance steps at quality 50, row by row (T.81, table K.1).
LUMINANCE_50 = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
# Those of the low frequencies, by (row, column): the high ones are mostly rounded to nothing.
QUALITY_50 = {(row, column): LUMINANCE_50[row][column] for row in range(5) for column in range(5) if row + column < 5}
LARGEST_STEP = 255
STEPS = np.maximum(1, np.arange(LARGEST_STEP + 1, dtype=np.float32))
# Scatter of a coefficient about its multiple: pixels were rounded once as luminance and once as RGB,
# with a variance of 1/12 and, by the weights of three channels, of 0.45/12.
ROUNDING = 0.35
# What that leaves of the mean cosine at the right step.
EXPECTED = np.exp(-2 * (np.pi * ROUNDING / STEPS) ** 2)
# Steps count where the circular mean reaches this share of what rounding leaves of 1, this many standard errors from 0,
# on so many different multiples of at least two frequencies: a picture can have such values at one by chance
# (benchmarks/results/constants.md).
SHARE, STANDARD_ERRORS, MULTIPLES, FREQUENCIES = 0.7, 6.0, 4, 2


def jpeg_quality(image: Tensor) -> int | None:
    """The quality (1 to 100, on libjpeg's scale) of a JPEG file this picture once was, or ``None`` where none shows.

    ``image`` ``[1,3,H,W]`` in [0,1], uncropped: the file's blocks must start at the upper left corner. After several
    files, the roughest speaks. Qualities above 95 hardly show, nor does JPEG before a resize. Deterministic.
    """
    coefficients = luminance_coefficients(image)
    fits = [StepFit.of(np.abs(coefficients[:, row, column])) for row, column in QUALITY_50]
    # Libjpeg's tables first: all frequencies speak together, so few blocks suffice.
    scores = _fit_together(fits, np.array([libjpeg_steps(quality) for quality in range(1, 100)]))
    for quality, score in enumerate(scores, start=1):
        if score > 0:
            # The neighbours of the right steps fit a little, too, and some qualities share their steps.
            near = scores[quality - 1 : quality + 2 + quality // 10]
            return quality + max(range(len(near)), key=lambda further: (near[further], further))
    return _foreign_quality(fits)


def luminance_coefficients(image: Tensor) -> NDArray[np.float64]:
    """Cosine coefficients ``[N,8,8]`` of the blocks whose pixels say something, on JPEG's scale (pixels 0 to 255).

    Blocks with clipped pixels are left out, for clipping moves every coefficient, and so are flat ones.
    """
    pixels = 255 * telling_part(image, MAX_SIDE, JPEG_BLOCK)[0].cpu().double().numpy(force=True)
    rows, columns = (side // JPEG_BLOCK for side in pixels.shape[-2:])
    cells = pixels[:, : rows * JPEG_BLOCK, : columns * JPEG_BLOCK].reshape(3, rows, JPEG_BLOCK, columns, JPEG_BLOCK)
    cells = cells.transpose(1, 3, 0, 2, 4).reshape(-1, 3, JPEG_BLOCK, JPEG_BLOCK)
    luminance = np.tensordot(cells, np.array([0.299, 0.587, 0.114]), axes=(1, 0))
    unclipped = (cells.min((1, 2, 3)) > 0) & (cells.max((1, 2, 3)) < 255)
    telling = luminance[unclipped & (np.ptp(luminance, (1, 2)) >= 4)]
    telling = telling[:: max(1, -(-len(telling) // MAX_BLOCKS))]
    return dctn(telling - 128, axes=(1, 2), norm="ortho")


def libjpeg_steps(quality: int) -> tuple[int, ...]:
    """The luminance steps of the frequencies of :data:`QUALITY_50` in a file that libjpeg wrote at ``quality``."""
    table = luminance_steps(quality)
    return tuple(table[row][column] for row, column in QUALITY_50)


@functools.cache
def luminance_steps(quality: int) -> tuple[tuple[int, ...], ...]:
    """The luminance steps of all frequencies, row by row, in a file that libjpeg wrote at ``quality`` (1 to 100)."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return tuple(tuple(min(LARGEST_STEP, max(1, (step * scale + 50) // 100)) for step in row) for row in LUMINANCE_50)


@dataclass(frozen=True)
class StepFit:
    """How the coefficients of one frequency sit on the multiples of every step, 0 to 255.

    ``sizes`` ``[N]``: the coefficients' absolute values; ``counts`` ``[256]``: how many do not round to 0, which fits
    any step; ``sums`` ``[256]``: the sum of their cosines, each 1 on a multiple and -1 half-way between.
    """

    sizes: NDArray[np.float32]
    counts: NDArray[np.float64]
    sums: NDArray[np.float64]

    @classmethod
    def of(cls, sizes: NDArray[np.float64]) -> StepFit:
        small = sizes.astype(np.float32)
        turns = small / STEPS[:, None]
        used = turns > 0.5
        # A step of 1 fits anything.
        used[:2] = False
        cosines = np.cos(np.float32(2 * np.pi) * turns)
        return cls(small, used.sum(1).astype(float), np.where(used, cosines, 0).sum(1, dtype=float))

    def multiples(self, step: int) -> int:
        """On how many different multiples of ``step``, other than 0, coefficients lie."""
        return len(np.setdiff1d(np.rint(self.sizes / step), [0]))


def _fit_together(fits: Sequence[StepFit], steps: NDArray[np.int_]) -> list[float]:
    """How well frequencies sit on multiples of their ``steps`` ``[K,len(fits)]`` as one, for each of K tables: 1
    perfectly, 0 not convincingly."""
    each = np.arange(len(fits))
    counts = np.stack([fit.counts for fit in fits])[each, steps]
    count = counts.sum(1)
    enough = ((counts > 0).sum(1) >= min(FREQUENCIES, len(fits))) & (np.sqrt(2 * count) >= STANDARD_ERRORS)
    total = np.stack([fit.sums for fit in fits])[each, steps].sum(1)
    share = total / np.where(enough, (counts * EXPECTED[steps]).sum(1), 1)
    fitting = enough & (share >= SHARE) & (total * np.sqrt(2) >= STANDARD_ERRORS * np.sqrt(count))

    def is_varied(table: NDArray[np.int_]) -> bool:
        used = [(fit, int(step)) for fit, step in zip(fits, table, strict=True) if fit.counts[step] > 0]
        return sum(fit.multiples(step) for fit, step in used) >= MULTIPLES

    return [
        float(one) if fit and is_varied(table) else 0.0 for one, fit, table in zip(share, fitting, steps, strict=True)
    ]


def _foreign_quality(fits: Sequence[StepFit]) -> int | None:
    """From each frequency alone, for files whose tables are not libjpeg's: the quality where libjpeg's lie nearest."""
    scales, largest_first = [], np.arange(LARGEST_STEP, 1, -1)
    for fit, step_at_50 in zip(fits, QUALITY_50.values(), strict=True):
        # A divisor of the step fits as well, so the largest that fits is the step.
        fitting = largest_first[np.array(_fit_together([fit], largest_first[:, None])) > 0]
        if len(fitting):
            scales.append(100 * float(fitting[0]) / step_at_50)
    if len(scales) < FREQUENCIES:
        return None
    # Libjpeg's jpeg_quality_scaling, backwards.
    scale = float(np.median(scales))
    return max(1, round(5000 / scale if scale > 100 else (200 - scale) / 2))
