"""Residuals of one picture on different places of the latent grid, and the contrast between two of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InvalidImageError
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from .protocol import reconstruct
from .spectral import BAND_WEIGHTS, DCT_BLOCK, NOISE_LEVELS, ROUNDING_ENERGY, band_energies

# One patch that happens to fit well must not carry the picture (benchmarks/results/constants.md, as the next).
LARGEST_LOG_RATIO = 1.0
# Mean weight of blocks and bands below which a picture holds too little to compare: one colour has 0, photographs 0.16
# and more.
LEAST_EVIDENCE = 0.05


def residual_energies(
    autoencoder: Autoencoder,
    image: Tensor,
    offset: tuple[int, int],
    passes: Passes,
    low_precision: bool = False,
    slack: Tensor | None = None,
) -> Tensor:
    """Band energies ``[h,w,9]`` of x - D(E(x)) with the latent grid's corner at ``offset`` (rows, columns < r).

    Of an image ``[1,3,H,W]`` the same (H-3r)×(W-3r) pixels for every offset, r the pixels of a latent cell. ``slack``:
    as in :func:`band_energies`; the blocks begin r pixels inside the image. Raises :class:`InvalidImageError` for too
    small an image, and where the autoencoder returns NaN.
    """
    crop, made = reconstructed_crop(autoencoder, image, offset, passes, low_precision)
    return energies_of(crop - made, offset, autoencoder.spatial_ratio, slack)


def tiled_energies(
    autoencoder: Autoencoder,
    image: Tensor,
    offset: tuple[int, int],
    passes: Passes,
    side: int | None,
    low_precision: bool = False,
) -> Tensor:
    """:func:`residual_energies` of the whole of ``image`` ``[1,3,H,W]``, in tiles whose compared parts are about
    ``side`` pixels each way and lie edge to edge; ``None``: at once. ``[h,w,9]`` on the autoencoder's device."""

    def part(top: int, left: int, bottom: int | None, right: int | None) -> Tensor:
        pixels = image[..., top:bottom, left:right].to(autoencoder.device, autoencoder.dtype)
        return residual_energies(autoencoder, pixels, offset, passes, low_precision)

    if side is None:
        return part(0, 0, None, None)
    margin = 3 * autoencoder.spatial_ratio
    step = math.lcm(autoencoder.spatial_ratio, DCT_BLOCK)
    step *= max(1, side // step)
    rows, columns = (
        [(k * step, None if k == last else (k + 1) * step + margin) for k in range(last + 1)]
        for last in (max(0, (length - margin) // step - 1) for length in image.shape[-2:])
    )
    return torch.cat(
        [torch.cat([part(top, left, bottom, right) for left, right in columns], 1) for top, bottom in rows]
    )


def reconstructed_crop(
    autoencoder: Autoencoder, image: Tensor, offset: tuple[int, int], passes: Passes, low_precision: bool = False
) -> tuple[Tensor, Tensor]:
    """The crop ``[1,3,H-r,W-r]`` of ``image`` ``[1,3,H,W]`` at ``offset`` (rows, columns), and its reconstruction.

    Raises :class:`InvalidImageError` for one that is too small or whose reconstruction is not finite.
    """
    ratio = autoencoder.spatial_ratio
    height, width = image.shape[-2:]
    if min(height, width) < least_side(ratio):
        raise InvalidImageError(
            f"The image is {width}×{height} pixels: the contrast between grids needs at least {least_side(ratio)} on"
            " each side, use a larger picture."
        )
    top, left = offset
    # Whole cells, whatever lies beyond them.
    high, wide = (length // ratio * ratio - ratio for length in (height, width))
    crop = image[..., top : top + high, left : left + wide]
    made = reconstruct(autoencoder, crop, passes, low_precision)
    if not torch.isfinite(made).all():
        raise InvalidImageError(
            f"{autoencoder.name} reconstructs this image with NaN or infinite values: load the VAE again."
        )
    return crop, made


def energies_of(residual: Tensor, offset: tuple[int, int], ratio: int, slack: Tensor | None = None) -> Tensor:
    """Band energies ``[h,w,9]`` of the pixels that the ``residual`` of every crop covers."""
    height, width = (side - 2 * ratio for side in residual.shape[-2:])
    top, left = (ratio - start for start in offset)
    return band_energies(residual[..., top : top + height, left : left + width], slack)[0]


def least_side(ratio: int) -> int:
    """Smallest side in pixels that leaves four blocks to compare."""
    return 3 * ratio + 2 * DCT_BLOCK


def compared_pixels(image: Tensor, ratio: int) -> Tensor:
    """The part ``[…,h,w]`` of ``image`` ``[…,H,W]`` whose residuals are compared.

    Cells of ``ratio`` pixels are left out: one at the top and left, two at the bottom and right.
    """
    height, width = (length // ratio * ratio for length in image.shape[-2:])
    return image[..., ratio : height - 2 * ratio, ratio : width - 2 * ratio]


def grid_contrast(on_grid: Tensor, beside: Tensor, picture: Tensor) -> float:
    """The contrast of two residuals' band energies ``[…,9]`` of the same pixels; below zero where the first is less.

    Raises :class:`InvalidImageError` where :func:`block_contrasts` finds nothing to compare.
    """
    contrast, weights = block_contrasts(on_grid, beside, picture)
    return float((contrast * weights).sum() / weights.sum())


def block_contrasts(on_grid: Tensor, beside: Tensor, picture: Tensor) -> tuple[Tensor, Tensor]:
    """Contrast and weight ``[…]`` of every 8×8 block, from band energies ``[…,9]``.

    A block and band counts by how far both the residuals and the ``picture`` itself rise above rounding noise in it:
    on a flat wall a residual is the decoder's own pattern, which says nothing of the picture's origin.
    Raises :class:`InvalidImageError` where that leaves nothing.
    """
    level = torch.minimum((on_grid + beside) / 2, picture)
    weights = BAND_WEIGHTS.to(level) * level / (level + NOISE_LEVELS * ROUNDING_ENERGY)
    if float(weights.mean()) < LEAST_EVIDENCE:
        raise InvalidImageError(
            "The image is flat, nothing in it could tell one decoder from another: trace one with more detail."
        )
    log_ratio = torch.log((on_grid + 2 * ROUNDING_ENERGY) / (beside + 2 * ROUNDING_ENERGY))
    log_ratio = log_ratio.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
    total = weights.sum(-1)
    return (log_ratio * weights).sum(-1) / total.clamp_min(1e-12), total
