"""How far a picture shows the trace of a family of models through a tiny autoencoder that was distilled from them.

TAESD was taught to do what the VAE of SD1 does, so a picture of that VAE is reconstructed slightly better on the grid
that both share. The trace is faint, a tenth of what a decoder's own pictures show, and lies in low frequencies. So the
residual on the grid is compared with those at seven places beside it, on the same pixels; only the bands that carry the
trace are asked; and a mean counts in units of the error that this very picture has, by how its parts differ. The other
bands show what the picture's content does to such contrasts without any trace: a calibration weighs all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import InvalidImageError
from ..inversion.objective import Passes
from ..inversion.precision import bfloat16_is_faster
from ..models.autoencoder import Autoencoder
from .decoder_grid import grid_of
from .protocol import Setting, check_single
from .residuals import LEAST_EVIDENCE, compared_pixels, residual_energies
from .spectral import NOISE_LEVELS, ROUNDING_ENERGY, band_energies
from .windows import windows_of

# Places beside the grid, in eighths of its period. Of 4, 8 (a chequerboard), 16 and 64 places these are as good as 16
# for half the cost: on six pictures of SD1 and SD2 (320²) under TAESD the mean evidence was 5.3, 6.3, 6.4 and 6.4.
PHASES = ((4, 4), (4, 0), (0, 4), (2, 2), (6, 6), (2, 6), (6, 2))
# Low luma and low chroma, of the nine of :mod:`.spectral`. There it was 6.4 at 16 places, 4.2 with the weights and the
# clamp of the grid contrast; in the constant term photographs show a grid of their own, in fine detail nothing shows.
BANDS = (1, 2, 6)
# A block's log ratio beyond this is the clamp's: at 1, which the grid contrast has, evidence fell from 6.4 to 5.6.
LARGEST_LOG_RATIO = 3.0
# Blocks along each side of the parts that are taken as independent. Neighbours are not: with single blocks errors were
# 0.7 of these, with eight typically 1.1 of them, in one of nine pictures 1.4.
TILE = 4
# What scores depend on: a calibration of other ones says nothing of these.
SETTINGS: dict[str, Setting] = {
    "places": len(PHASES) + 1,
    "bands": "-".join(map(str, BANDS)),
    "largest_log_ratio": LARGEST_LOG_RATIO,
    "tile": TILE,
}
# Tiles from which an error can be had, and those of 512², the largest of which scores of others are known: how much of
# their scatter does not shrink beyond is not, so there errors count as at 512².
LEAST_TILES, MOST_TILES = 16, 256


@dataclass(frozen=True)
class FamilyScore:
    """``contrast``: mean of log(residual on the grid / beside it), below zero where the trace shows; ``error``: its
    standard error, by tiles, of a larger picture that of :data:`MOST_TILES`; ``tiles``: their number. ``bands``: the
    same two of each band of :mod:`.spectral`, zeros where it holds too little."""

    contrast: float
    error: float
    tiles: int
    passes: Passes
    bands: tuple[tuple[float, float], ...] = ()


@torch.no_grad()
def family_score(autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> FamilyScore:
    """Of one ``image`` ``[1,3,H,W]`` in [0,1], by windows where it is large; in bfloat16 where that is faster.

    ``window``: as for a score. Raises :class:`InvalidImageError` for a picture that is too small or flat,
    :class:`NoGridError` for an autoencoder without a grid.
    """
    passes = Passes()
    found = []
    for part in windows_of(check_single(image), autoencoder.spatial_ratio, window):
        pixels = part.cut(image).to(autoencoder.device, autoencoder.dtype)
        log_ratio, weight = block_ratios(autoencoder, pixels, passes)
        found.append(torch.stack([tile_sums(log_ratio[..., k], weight[..., k]) for k in range(weight.shape[-1])]))
    tiles = torch.cat(found, 1)
    pooled = of_tiles(tiles[list(BANDS)].sum(0), passes)
    larger = math.sqrt(max(1.0, pooled.tiles / MOST_TILES))
    bands = tuple(_of_band(one, larger, passes) for one in tiles)
    return replace(pooled, error=larger * pooled.error, bands=bands)


def _of_band(tiles: Tensor, larger: float, passes: Passes) -> tuple[float, float]:
    try:
        found = of_tiles(tiles, passes)
    except InvalidImageError:
        return 0.0, 0.0
    return found.contrast, larger * found.error


def block_ratios(autoencoder: Autoencoder, pixels: Tensor, passes: Passes) -> tuple[Tensor, Tensor]:
    """Weighted log ratio and weight ``[h,w,9]`` of each 8×8 block and band of ``pixels`` ``[1,3,H,W]``, on the CPU."""
    grid = grid_of(autoencoder)
    low_precision = bfloat16_is_faster(autoencoder.device)

    def energies(down: int, across: int) -> Tensor:
        offset = [(grid.phase + eighths * grid.period // 8) % grid.period for eighths in (down, across)]
        return residual_energies(autoencoder, pixels, (offset[0], offset[1]), passes, low_precision).double().cpu()

    on_grid = energies(0, 0)
    beside = torch.stack([energies(*phase) for phase in PHASES])
    picture = band_energies(compared_pixels(pixels, autoencoder.spatial_ratio))[0].double().cpu()
    level = torch.minimum((on_grid + beside.sum(0)) / (1 + len(PHASES)), picture)
    weight = level / (level + NOISE_LEVELS * ROUNDING_ENERGY)
    log_ratio = (on_grid + 2 * ROUNDING_ENERGY).log() - (beside + 2 * ROUNDING_ENERGY).log().mean(0)
    return log_ratio.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO) * weight, weight


def tile_sums(log_ratio: Tensor, weight: Tensor) -> Tensor:
    """``[n,2]``: sums over tiles of :data:`TILE` blocks each way of ``[h,w]``; those at the ends are smaller."""
    pair = torch.stack([log_ratio, weight])[None]
    height, width = pair.shape[-2:]
    padded = torch.nn.functional.pad(pair, (0, -width % TILE, 0, -height % TILE))
    return torch.nn.functional.avg_pool2d(padded, TILE)[0].flatten(1).T * TILE**2


def of_tiles(tiles: Tensor, passes: Passes) -> FamilyScore:
    """The score of tiles ``[n,2]``; raises :class:`InvalidImageError` for too few, or where they weigh too little."""
    total = float(tiles[:, 1].sum())
    if len(tiles) < LEAST_TILES or total < LEAST_EVIDENCE * TILE**2 * len(BANDS) * len(tiles):
        raise InvalidImageError(
            "The image is too small or too flat for the trace of a family to show: use a larger one with more detail."
        )
    contrast = float(tiles[:, 0].sum()) / total
    # The error of a ratio of sums over tiles (Cochran, Sampling Techniques, section 6.4).
    error = math.sqrt(float((tiles[:, 0] - contrast * tiles[:, 1]).square().sum())) / total
    return FamilyScore(contrast, error, len(tiles), passes)
