"""The noise that lies over the whole of a picture: of a sensor, of a grain filter, of a sampler."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Pixels per side of the blocks of which the flattest tell the noise, and the share of all that are taken for flat.
BLOCK, FLATTEST = 16, 0.1
# The flattest of many blocks of noise alone have this share of its variance.
OF_THE_FLATTEST = 0.8
# Blocks of which more pixels than this share are at an end of a channel's range have lost their noise; where there are
# no others, the least such blocks have to do.
CLIPPED = 0.05
# Variance of rounding to whole levels, in [0,1].
ROUNDING = 1 / 12 / 255**2


def noise_covariance(image: Tensor) -> Tensor:
    """Covariance ``[3,3]`` between the channels of white noise in ``image`` ``[1,3,H,W]`` in [0,1], rounding left out.

    From the mixed second differences of the flattest blocks, so that a picture which is textured everywhere counts its
    finest texture as noise. Zero where the picture has no whole block.
    """
    pixels = image[0].cpu().double()
    mixed = (pixels[:, :-1, :-1] - pixels[:, 1:, :-1] - pixels[:, :-1, 1:] + pixels[:, 1:, 1:]) / 2
    rows, columns = (side // BLOCK for side in mixed.shape[-2:])
    if not rows * columns:
        return torch.zeros(3, 3, dtype=torch.float64)
    clipped = ((pixels <= 0) | (pixels >= 1)).any(0)[: rows * BLOCK, : columns * BLOCK]
    shares = F.avg_pool2d(clipped[None, None].double(), BLOCK).flatten()
    kept = shares <= max(CLIPPED, float(shares.min()))
    blocks = mixed[:, : rows * BLOCK, : columns * BLOCK].reshape(3, rows, BLOCK, columns, BLOCK)
    blocks = blocks.permute(1, 3, 0, 2, 4).reshape(rows * columns, 3, BLOCK * BLOCK)[kept]
    flattest = blocks[blocks.square().mean((1, 2)).argsort()[: max(1, round(FLATTEST * len(blocks)))]]
    found = torch.einsum("ncp,ndp->cd", flattest, flattest) / (len(flattest) * BLOCK * BLOCK) / OF_THE_FLATTEST
    return positive_part(found - ROUNDING * torch.eye(3, dtype=torch.float64))


def positive_part(covariance: Tensor) -> Tensor:
    """``covariance`` ``[3,3]``, symmetric, without what is negative in it."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors @ torch.diag(values.clamp_min(0)) @ vectors.T


def with_noise(image: Tensor, covariance: Tensor, seed: int = 0) -> Tensor:
    """``image`` ``[1,3,H,W]`` in [0,1] with white noise of that ``covariance`` ``[3,3]`` between its channels."""
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors @ torch.diag(values.clamp_min(0).sqrt()) @ vectors.T
    drawn = torch.randn(3, image.shape[-2:].numel(), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    noise = (root @ drawn).reshape(1, 3, *image.shape[-2:])
    return (image + noise.to(image)).clamp(0, 1)
