"""A peer: sign bits of the initial noise (Gaussian Shading, Yang et al., CVPR 2024, section 4), one bit per sign.

The noise stays standard normal: magnitudes are drawn freely, signs are the repeated key under a stream of random bits.
It therefore costs no quality, but applies only where the latent *is* the initial noise, and needs the sampler inverted
to be read from a generated picture.
"""

from __future__ import annotations

import torch
from latent_tracer.core.fingerprints.keys import Key
from torch import Tensor


def shaded_noise(shape: tuple[int, ...], key: Key, seed: int = 0) -> Tensor:
    """Standard normal noise ``[1,C,h,w]`` whose signs carry ``key``."""
    generator = torch.Generator().manual_seed(seed)
    magnitudes = torch.randn(shape, generator=generator).abs()
    size = magnitudes.numel()
    bits = 1 - 2 * torch.from_numpy(key.bits).float()[torch.arange(size) % len(key)]
    return magnitudes * (bits * _stream(size, seed)).view(shape)


def read_shaded_noise(noise: Tensor, key_bits: int, seed: int = 0) -> Tensor:
    """``[key_bits]``: votes of the signs of ``noise`` ``[1,C,h,w]``, positive for a 0."""
    votes = noise.flatten().sign() * _stream(noise.numel(), seed)
    return torch.zeros(key_bits).index_add_(0, torch.arange(noise.numel()) % key_bits, votes)


def _stream(size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 0x5EED)
    return 1 - 2.0 * torch.randint(0, 2, (size,), generator=generator)
