"""The grid contrast block by block: where, and how evenly, a picture shows one decoder's trace."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InvalidImageError
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from ..profiles.grid import Grid
from .decoder_grid import grid_of
from .residuals import block_contrasts, compared_pixels, residual_energies
from .spectral import band_energies
from .windows import windows_of


@dataclass(frozen=True)
class ContrastMap:
    """``parts``: contrast and weight ``[h,w]`` of every 8×8 block, one pair for each window of the picture.

    ``cell`` and ``grid``: the decoder's, for only maps of equal ones lie on the same pixels.
    """

    parts: tuple[tuple[Tensor, Tensor], ...]
    cell: int
    grid: Grid
    passes: Passes


@torch.no_grad()
def contrast_map(autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> ContrastMap:
    """The map of ``image`` ``[1,3,H,W]`` in [0,1], whole cells each way: the mean of three looks, as in the score.

    Four passes of each network and window; ``window``: as for a score. Raises :class:`InvalidImageError`,
    :class:`NoGridError` and what memory raises.
    """
    grid, cell = grid_of(autoencoder), autoencoder.spatial_ratio
    here, half = grid.phase, (grid.phase + grid.period // 2) % grid.period
    passes = Passes()
    parts = []
    for part in windows_of(image, cell, window):
        pixels = part.cut(image).to(autoencoder.device, autoencoder.dtype)
        picture = band_energies(compared_pixels(pixels.float(), cell))[0]
        on_grid = residual_energies(autoencoder, pixels, (here, here), passes)
        try:
            looks = [
                block_contrasts(on_grid, residual_energies(autoencoder, pixels, beside, passes), picture)
                for beside in ((half, half), (half, here), (here, half))
            ]
        except InvalidImageError:  # a flat window
            nothing = torch.zeros(on_grid.shape[:2])
            parts.append((nothing, nothing))
            continue
        contrast, weight = (torch.stack([look[k] for look in looks]).mean(0).float().cpu() for k in (0, 1))
        parts.append((contrast, weight))
    return ContrastMap(tuple(parts), cell, grid, passes)
