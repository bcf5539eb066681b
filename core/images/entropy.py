"""Two-dimensional image entropy: the complexity by which RONAN (NeurIPS 2023) divides a reconstruction loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidImageError


def two_dimensional_entropy(image: NDArray[Any]) -> float:
    """H = -sum p log2 p in bits, p the joint histogram of (grey value, mean of its 3×3 neighbourhood rounded down).

    ``image``: ``[H,W]`` uint8. The neighbourhood includes the pixel itself; beyond the border the edge pixels are
    repeated, so that every pixel counts and a flat image has entropy 0. The result lies in [0, 16]. Raises
    :class:`InvalidImageError` for another type, shape or an empty image.
    """
    grey = np.asarray(image)
    if grey.dtype != np.uint8:
        raise InvalidImageError(f"The entropy is that of 8-bit grey values, got {grey.dtype}: convert to uint8 first.")
    if grey.ndim != 2:
        raise InvalidImageError(f"The entropy needs a grey image [H,W], got shape {grey.shape}: convert it to grey.")
    if grey.size == 0:
        raise InvalidImageError(f"The image is empty (shape {grey.shape}): give one with pixels in it.")
    padded = np.pad(grey.astype(np.int64), 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    means = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) // 9
    counts = np.bincount((256 * grey.astype(np.int64) + means).ravel())
    shares = counts[counts > 0] / grey.size
    # Adding 0 turns the -0 of a flat image into 0.
    return float(-(shares * np.log2(shares)).sum()) + 0.0
