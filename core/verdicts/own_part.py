"""Does some part of a picture that is no decoder's work as a whole show the decoder's trace? Pasted, or painted in.

The reverse of :mod:`.localisation`: the same map of block contrasts, smoothed over a neighbourhood, searched for where
it lies far below the picture's own middle. The most anywhere is one number per picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from ..images.part import Part
from ..models.autoencoder import Autoencoder
from ..scores.contrast_map import ContrastMap
from ..scores.spectral import DCT_BLOCK
from .doubt import History
from .localisation import ForeignMap, region_map, smooth, weighted_quantile

# The share of a picture's evidence that is taken for foreign: a part of its own may cover the other half.
FOREIGN_QUANTILE = 0.5
# Standard errors below the middle, which none of 39 pictures went beyond, each as a photograph and as another decoder's
# (benchmarks/results/own-parts.md), and how often on average another one does (split conformal). Few of those had been
# JPEG files, and none was larger than this many pixels.
OWN_PART, OWN_PART_RATE, OWN_PART_PIXELS = 8.0, 1 / 40, 512**2


@dataclass(frozen=True)
class OwnPart:
    """``excess``: by how many standard errors the smoothed contrast of the most telling neighbourhood lies below the
    picture's middle; ``part``: where that is more than :data:`OWN_PART`, around it, ``None`` for nowhere."""

    excess: float
    part: Part | None

    @property
    def words(self) -> str:
        """The end of "a part …"."""
        assert self.part is not None
        return f"of about {self.part.width}×{self.part.height} pixels at ({self.part.left}, {self.part.top})"


def locate_own(autoencoder: Autoencoder, image: Tensor) -> ForeignMap:
    """Map what of ``image`` ``[1,3,H,W]`` in [0,1], on the latent grid, this decoder made, and somebody put into a
    picture that it did not make: painted in, or pasted on whole cells.

    Raises :class:`InvalidImageError` for a flat or too small picture.
    """
    history = History.of(image)
    is_like = history.jpeg_quality is None and not history.was_lossy
    rate = OWN_PART_RATE if is_like and image.shape[-2] * image.shape[-1] <= OWN_PART_PIXELS else None
    return region_map(autoencoder, image, FOREIGN_QUANTILE, OWN_PART, rate, is_own=True)


def own_part(contrasts: ContrastMap) -> OwnPart:
    """The part of a picture that most looks like the decoder's own work, of those windows that ``contrasts`` holds."""
    best = OwnPart(-math.inf, None)
    for (contrast, weight), window in zip(contrasts.parts, contrasts.windows, strict=True):
        if not contrast.numel():
            continue
        smoothed, error = smooth(contrast, weight)
        excess = (weighted_quantile(smoothed, weight, FOREIGN_QUANTILE) - smoothed) / error
        most = float(excess.max())
        if most <= best.excess:
            continue
        rows, columns = ((excess > OWN_PART).any(axis).nonzero().flatten().tolist() for axis in (1, 0))
        part = None
        if rows:
            top, left = (DCT_BLOCK * lines[0] + contrasts.cell for lines in (rows, columns))
            height, width = (DCT_BLOCK * (lines[-1] + 1 - lines[0]) for lines in (rows, columns))
            part = Part(window.top + top, window.left + left, height, width)
        best = OwnPart(most, part)
    return best
