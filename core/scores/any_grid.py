"""Find the latent grid of a picture that was cropped or mirrored, then score it there.

A crop that leaves the decoder's 8-pixel grid, or a flip, hides the trace from every score that encodes the picture as
it lies. The decoder's grid is found again by reconstructing a central region at every phase, both ways round; the
picture is then cropped to that grid and scored whole. A profile for this score includes the search, so that its
false-positive rate counts all the looks that were taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..autoencoder import Autoencoder
from ..inversion import Step
from ..objective import Passes
from ..quantiser import Quantiser
from .protocol import Scored, Setting, check_single, reconstruct
from .spectral_ratio import SpectralRatio

REGION_CELLS = 12
SHORT_LIST = 8


@dataclass(frozen=True)
class GridPhase:
    """Offset of the latent grid in pixels from the top left corner, and whether the picture is mirrored."""

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
    """The phase at which a central region of ``image`` looks most like this decoder's work.

    A plain reconstruction at all 2·ratio² phases leaves a short list (the picture as it lies and its mirror image
    always on it), from which the spectral ratio of the region picks one. About 2·ratio² + 20 passes of each.
    """
    ratio = autoencoder.spatial_ratio
    side = ratio * min(REGION_CELLS, (min(image.shape[-2:]) - ratio) // ratio)
    if side < ratio:
        return GridPhase(0, 0, False)
    height, width = image.shape[-2:]
    top, left = ((length - side - ratio) // 2 // ratio * ratio for length in (height, width))

    def region(phase: GridPhase) -> Tensor:
        turned = image.flip(-1) if phase.mirrored else image
        row, column = top + phase.top, left + phase.left
        return turned[..., row : row + side, column : column + side]

    losses = {}
    for mirrored in (False, True):
        for down in range(ratio):
            for right in range(ratio):
                phase = GridPhase(down, right, mirrored)
                losses[phase] = float((reconstruct(autoencoder, region(phase), passes) - region(phase)).square().mean())
    likely = {GridPhase(0, 0, False), GridPhase(0, 0, True), *sorted(losses, key=lambda p: losses[p])[:SHORT_LIST]}
    scores = {}
    for phase in likely:
        scored = SpectralRatio()(autoencoder, region(phase))
        passes.encoder += scored.passes.encoder
        passes.decoder += scored.passes.decoder
        scores[phase] = scored.value
    return min(scores, key=lambda p: (scores[p], p.mirrored, p.top, p.left))


class AnyGrid:
    """The spectral ratio on the grid that :func:`find_grid_phase` finds."""

    name = "spectral-ratio-any-grid"

    def __init__(self) -> None:
        self.settings: dict[str, Setting] = {"region_cells": REGION_CELLS, "short_list": SHORT_LIST}

    def __call__(
        self,
        autoencoder: Autoencoder,
        image: Tensor,
        quantiser: Quantiser = "auto",
        on_step: Callable[[Step], None] | None = None,
    ) -> Scored:
        passes = Passes()
        image = check_single(image).to(autoencoder.device, autoencoder.dtype)
        with torch.no_grad():
            phase = find_grid_phase(autoencoder, image, passes)
        scored = SpectralRatio()(autoencoder, phase.apply(image, autoencoder.spatial_ratio), quantiser)
        way = " mirrored" if phase.mirrored else ""
        return Scored(scored.value, passes + scored.passes, f"grid search (offset {phase.left}, {phase.top}{way})")
