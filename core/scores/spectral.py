"""Band energies of a residual, and the ratio of two residuals band by band.

A plain mean square is dominated by low frequencies, where every reconstruction errs. What a camera or another decoder
leaves in a picture and this decoder cannot reproduce shows in mid-frequency luma and in fine chroma.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InvalidImageError

# Pixels per side of the blocks whose frequencies are compared, as in JPEG.
DCT_BLOCK = 8
# Energy of 8-bit rounding noise in one orthonormal DCT coefficient of luma or chroma: variance 1/12 level² times the
# squared norm of the colour row, averaged over luma and chroma.
ROUNDING_ENERGY = 5.5e-7
# A block and band is trusted by how far it rises above this many times the rounding noise
# (benchmarks/results/constants.md).
NOISE_LEVELS = 10
TO_YCBCR = torch.tensor([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
# Bands of diagonal frequency u+v within an 8×8 block, and how much each counts. The constant term is left out: storing
# by truncation shifts it. The outermost bands count half: they hold the least that a decoder could have written.
LUMA_BANDS = ((0, 1), (1, 3), (3, 5), (5, 8), (8, 15))
CHROMA_BANDS = ((0, 1), (1, 3), (3, 6), (6, 15))
BAND_WEIGHTS = torch.tensor([0, 0.5, 1, 1, 0.5, 0, 1, 1, 0.5])


def dct_matrix(size: int = DCT_BLOCK) -> Tensor:
    """Orthonormal DCT-II, ``[size,size]``."""
    rows = [
        [math.sqrt((1 if u == 0 else 2) / size) * math.cos((2 * i + 1) * u * math.pi / (2 * size)) for i in range(size)]
        for u in range(size)
    ]
    return torch.tensor(rows)


def _band_masks(bands: tuple[tuple[int, int], ...]) -> Tensor:
    """``[64,len(bands)]``: columns average the coefficients of each band."""
    frequency = (torch.arange(DCT_BLOCK)[:, None] + torch.arange(DCT_BLOCK)[None]).flatten()
    masks = [((frequency >= low) & (frequency < high)).float() for low, high in bands]
    return torch.stack([mask / mask.sum() for mask in masks], dim=1)


def band_energies(residual: Tensor, slack: Tensor | None = None) -> Tensor:
    """``[B,3,H,W]`` to ``[B,H//8,W//8,9]``: mean energy per 8×8 block in five luma and four (averaged) chroma bands.

    Rows and columns beyond the last whole block are left out. ``slack`` ``[3,8,8]``: by how much each coefficient of Y,
    Cb and Cr may be off before it counts, on the pixels' scale. Raises :class:`InvalidImageError` for less than one
    block.
    """
    height, width = residual.shape[-2] // DCT_BLOCK, residual.shape[-1] // DCT_BLOCK
    if height == 0 or width == 0:
        raise InvalidImageError(
            f"The image is {residual.shape[-1]}×{residual.shape[-2]} pixels, less than one block of"
            f" {DCT_BLOCK}×{DCT_BLOCK}: use a larger picture."
        )
    residual = residual[..., : height * DCT_BLOCK, : width * DCT_BLOCK].float()
    planes = torch.einsum("dc,bchw->bdhw", TO_YCBCR.to(residual), residual)
    blocks = planes.reshape(len(planes), 3, height, DCT_BLOCK, width, DCT_BLOCK).permute(0, 1, 2, 4, 3, 5)
    transform = dct_matrix().to(residual)
    coefficients = transform @ blocks @ transform.T
    if slack is not None:
        allowed = slack.to(coefficients)[None, :, None, None]
        coefficients = (coefficients.abs() - allowed).clamp_min(0)
    energy = coefficients.square().flatten(-2)
    luma = energy[:, 0] @ _band_masks(LUMA_BANDS).to(residual)
    chroma = (energy[:, 1] + energy[:, 2]) / 2 @ _band_masks(CHROMA_BANDS).to(residual)
    return torch.cat([luma, chroma], dim=-1)


def band_weights(control: Tensor, picture: Tensor) -> Tensor:
    """``[B,9]``: how much each band counts, from energies ``[B,h,w,9]``; their sum is the evidence a picture holds.

    A band counts by how far both the control residual and the ``picture`` itself rise above rounding noise in it: a
    band in which the picture is empty (chroma of a greyscale photograph) is explained by anything.
    """
    level = torch.minimum(control.flatten(1, 2).mean(1), picture.flatten(1, 2).mean(1))
    return level / (level + NOISE_LEVELS * ROUNDING_ENERGY) * BAND_WEIGHTS.to(level)


def spectral_log_ratio(energies: Tensor, control: Tensor, picture: Tensor) -> Tensor:
    """``[B]``: weighted mean over blocks and bands of log(``energies`` / ``control``), all ``[B,h,w,9]``.

    Blocks count by the square root of the control's energy, bands by :func:`band_weights`.
    """
    weights = band_weights(control, picture)
    energies, control = energies.flatten(1, 2), control.flatten(1, 2)
    block_weights = (control + ROUNDING_ENERGY).sqrt()
    log_ratio = torch.log((energies + 2 * ROUNDING_ENERGY) / (control + 2 * ROUNDING_ENERGY))
    per_band = (log_ratio * block_weights).sum(1) / block_weights.sum(1)
    return (per_band * weights).sum(1) / weights.sum(1).clamp_min(1e-12)
