"""A peer: additive spread spectrum on the whole latent (Cox et al., IEEE Trans. Image Process. 6(12), 1997).

Every latent value takes ±strength of one key bit; the read-out correlates. The picture's own content is noise to it.
"""

from __future__ import annotations

import torch
from latent_tracer.core.fingerprints.keys import Key
from torch import Tensor


def embed_spread_spectrum(latents: Tensor, key: Key, strength: float, seed: int = 0) -> Tensor:
    """``latents`` ``[B,C,h,w]`` plus ±``strength`` (in the latent's own units) everywhere."""
    owner, sign = _carrier(latents[0].numel(), len(key), seed)
    bits = 1 - 2 * torch.from_numpy(key.bits).float()
    return latents + strength * (bits[owner] * sign).view(latents.shape[1:]).to(latents)


def read_spread_spectrum(latents: Tensor, key_bits: int, seed: int = 0) -> Tensor:
    """``[B,key_bits]`` correlations of encoded latents, positive for a 0; each channel's mean is removed first."""
    owner, sign = _carrier(latents[0].numel(), key_bits, seed)
    centred = (latents - latents.mean((2, 3), keepdim=True)).flatten(1)
    return torch.zeros(len(latents), key_bits).index_add_(1, owner, centred * sign)


def _carrier(size: int, key_bits: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    owner = torch.arange(size)[torch.randperm(size, generator=generator)] % key_bits
    return owner, 1 - 2.0 * torch.randint(0, 2, (size,), generator=generator)
