"""Find the latent grid of a picture that was cropped or mirrored, then score it there.

A crop that leaves the decoder's 8-pixel grid, or a flip, hides the trace from every score that encodes the picture as
it lies. The grid is found again by the grid contrast itself: a central region is reconstructed at every phase, both
ways round, and the phase whose residual stands out below that of all others is the grid. The picture is then cropped
to it and scored whole. A profile for this score includes the search, so that its false-positive rate counts all the
looks that were taken.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ..errors import InvalidImageError
from ..inversion.objective import Passes
from ..inversion.precision import bfloat16_pays
from ..models.autoencoder import Autoencoder
from .decoder_grid import grid_of
from .grid_contrast import GridContrast
from .protocol import Scored, Setting, check_single
from .residuals import compared_pixels, grid_contrast, least_side, residual_energies
from .spectral import band_energies

# Latent cells per side of the region that is searched, at 128 phases: it found the crops and flips of
# benchmarks/results/altered-192.md.
REGION_CELLS = 14


@dataclass(frozen=True)
class GridPhase:
    """Where what the decoder made may begin, in pixels from the top left corner, and whether it is mirrored."""

    top: int
    left: int
    mirrored: bool

    def apply(self, image: Tensor, ratio: int) -> Tensor:
        """``image`` ``[1,3,H,W]`` turned the right way round and cropped to whole latent cells of this grid."""
        image = image.flip(-1) if self.mirrored else image
        height, width = (
            (side - offset) // ratio * ratio
            for side, offset in zip(image.shape[-2:], (self.top, self.left), strict=True)
        )
        return image[..., self.top : self.top + height, self.left : self.left + width]


def find_grid_phase(autoencoder: Autoencoder, image: Tensor, passes: Passes) -> GridPhase:
    """The phase at which a central region of ``image`` ``[1,3,H,W]`` looks most like this decoder's work.

    It takes 2·period² passes of each network. Every phase is held against the mean of all phases on the same pixels.
    Raises :class:`InvalidImageError` for a flat or too small picture.
    """
    # The search only chooses where to look: the score itself is exact.
    if bfloat16_pays(autoencoder.device):
        with contextlib.suppress(InvalidImageError, RuntimeError, TypeError):
            return _search(autoencoder, image, passes, low_precision=True)
        # Not every network can be run in bfloat16.
    return _search(autoencoder, image, passes, low_precision=False)


def _search(autoencoder: Autoencoder, image: Tensor, passes: Passes, low_precision: bool) -> GridPhase:
    ratio, grid = autoencoder.spatial_ratio, grid_of(autoencoder)
    period = grid.period
    # A mirrored picture whose width is off the grid has its cells counted from the other edge: phases cover that.
    side = min(ratio * REGION_CELLS, *((length // ratio) * ratio for length in image.shape[-2:]))
    if side < least_side(ratio):
        raise InvalidImageError(
            f"The image is {image.shape[-1]}×{image.shape[-2]} pixels: finding the grid needs at least"
            f" {least_side(ratio)} on each side, use a larger picture."
        )
    height, width = image.shape[-2:]
    contrasts: dict[GridPhase, float] = {}
    for mirrored in (False, True):
        turned = image.flip(-1) if mirrored else image
        # Whole cells from the corner, so that offset (0, 0) of the region is that of the picture.
        top, left = ((length - side) // 2 // ratio * ratio for length in (height, width))
        region = turned[..., top : top + side, left : left + side]
        picture = band_energies(compared_pixels(region, ratio))[0]
        energies = {
            offset: residual_energies(autoencoder, region, offset, passes, low_precision)
            for offset in product(range(period), range(period))
        }
        mean = torch.stack(list(energies.values())).mean(0)
        for (down, right), own in energies.items():
            # A decoder writes its cells at its own phase: the corner of what it made lies that far before them.
            top, left = ((offset - grid.phase) % period for offset in (down, right))
            contrasts[GridPhase(top, left, mirrored)] = grid_contrast(own, mean, picture)
    return min(contrasts, key=lambda phase: (contrasts[phase], phase.mirrored, phase.top, phase.left))


class AnyGrid:
    """The grid contrast on the grid that :func:`find_grid_phase` finds."""

    name = "grid-contrast-any-grid"
    needs_grid = True

    def __init__(self) -> None:
        self.score = GridContrast()
        self.settings: dict[str, Setting] = {"region_cells": REGION_CELLS, **self.score.settings}

    def __call__(self, autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> Scored:
        passes = Passes()
        image = check_single(image).to(autoencoder.device, autoencoder.dtype)
        with torch.no_grad():
            phase = find_grid_phase(autoencoder, image, passes)
        scored = self.score(autoencoder, phase.apply(image, autoencoder.spatial_ratio), window)
        way = " mirrored" if phase.mirrored else ""
        stage = f"grid search (offset {phase.left}, {phase.top}{way})"
        return Scored(scored.value, passes + scored.passes, stage, shown=scored.shown)
