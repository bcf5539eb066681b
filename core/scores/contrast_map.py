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
from .residuals import block_contrasts, compared_pixels, tiled_energies
from .spectral import band_energies
from .windows import windows_of


@dataclass(frozen=True)
class ContrastMap:
    """``parts``: contrast and weight ``[h,w]`` of every 8×8 block, one pair for each window of the picture, empty
    where it is flat.

    ``cell`` and ``grid``: the decoder's, for only maps of equal ones lie on the same pixels.
    """

    parts: tuple[tuple[Tensor, Tensor], ...]
    cell: int
    grid: Grid
    passes: Passes


def three_looks(
    autoencoder: Autoencoder, image: Tensor, passes: Passes, side: int | None = None
) -> tuple[Tensor, Tensor]:
    """Contrast and weight ``[h,w]`` of each 8×8 block of ``image`` ``[1,3,H,W]``: the means of the score's three looks.

    ``side``: in tiles of so many compared pixels each way, ``None``: at once. Four passes of each network (and tile)
    are added to ``passes``. Raises :class:`InvalidImageError` for a flat or too small picture, :class:`NoGridError`.
    """
    grid = grid_of(autoencoder)
    half = grid.period // 2

    def energies(down: int, across: int) -> Tensor:
        offset = ((grid.phase + down) % grid.period, (grid.phase + across) % grid.period)
        return tiled_energies(autoencoder, image, offset, passes, side)

    on_grid = energies(0, 0)
    picture = band_energies(compared_pixels(image, autoencoder.spatial_ratio))[0].to(on_grid)
    looks = [block_contrasts(on_grid, energies(*beside), picture) for beside in ((half, half), (half, 0), (0, half))]
    contrast = torch.stack([values for values, _ in looks]).mean(0)
    return contrast, torch.stack([weights for _, weights in looks]).mean(0)


@torch.no_grad()
def contrast_map(autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> ContrastMap:
    """The map of ``image`` ``[1,3,H,W]`` in [0,1], whole cells each way; windows that are flat are left empty.

    ``window``: as for a score. Raises :class:`NoGridError` and what memory raises.
    """
    passes = Passes()
    parts: list[tuple[Tensor, Tensor]] = []
    for part in windows_of(image, autoencoder.spatial_ratio, window):
        try:
            contrast, weight = three_looks(autoencoder, part.cut(image), passes)
        except InvalidImageError:
            contrast = weight = torch.zeros(0, 0)
        parts.append((contrast.float().cpu(), weight.float().cpu()))
    return ContrastMap(tuple(parts), autoencoder.spatial_ratio, grid_of(autoencoder), passes)
