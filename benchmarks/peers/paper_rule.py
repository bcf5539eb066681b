"""The published rule, as the baseline: last principal directions, no code, sigmoid read-out.

Latent fingerprints (Nie et al., ICML 2023, sections 3.2 and 3.3): the d directions of least variance are *replaced* by
the key, w = m + U·a + s·V·(sigma*k), and read by minimising the reconstruction error over a and l with k^ = sigmoid(l)
rounded. Here on the patch-wise basis: each bit takes the last ``depth`` directions of every ceil(d)-th patch, as in the
paper's variant that writes each bit several times.
"""

from __future__ import annotations

import torch
from latent_tracer.core.fingerprints.basis import FingerprintBasis
from latent_tracer.core.fingerprints.keys import Key
from latent_tracer.core.fingerprints.patches import add_patches, to_patches
from latent_tracer.core.models.autoencoder import Autoencoder
from torch import Tensor

LEARNING_RATE = 0.05


def embed_by_paper_rule(
    latents: Tensor, basis: FingerprintBasis, key: Key, strength: float = 1.0, depth: int = 1
) -> Tensor:
    """``latents`` ``[B,C,h,w]`` with the last ``depth`` directions of each patch set to strength·sigma·k."""
    patches = to_patches(latents, basis.side) - basis.mean
    directions, wanted = _last(basis, depth), _targets(basis, key, patches.shape[1], strength, depth)
    return add_patches(latents, (wanted - patches @ directions) @ directions.T, basis.side)


def read_by_paper_rule(
    autoencoder: Autoencoder,
    image: Tensor,
    basis: FingerprintBasis,
    key_bits: int,
    strength: float = 1.0,
    depth: int = 1,
    steps: int = 0,
) -> Tensor:
    """``[key_bits]`` probabilities of a 1, rounded by the paper. Starts at E(x) (the paper: at random starts).

    ``steps`` of Adam minimise MSE(D(m + U·a + s·V·(sigma*sigmoid(l))), x) over a and l; the paper adds LPIPS instead of
    MSE and a penalty that E(x) as a start makes needless.
    """
    with torch.no_grad():
        start = autoencoder.encode(image).float().cpu()
    patches = to_patches(start, basis.side) - basis.mean
    directions, deviations = _last(basis, depth), basis.variance[:depth].sqrt() * strength
    held = patches @ directions
    # sigma·sigmoid(l) = held, kept inside the range where the sigmoid can be inverted.
    logits = torch.logit((held / deviations).clamp(0.02, 0.98))
    if steps:
        rest = (patches - held @ directions.T).requires_grad_()
        logits = logits.requires_grad_()
        optimiser = torch.optim.Adam([rest, logits], lr=LEARNING_RATE)
        with torch.inference_mode(False), torch.enable_grad():
            for _ in range(steps):
                optimiser.zero_grad()
                within = rest - (rest @ directions) @ directions.T
                moved = within + (deviations * torch.sigmoid(logits)) @ directions.T + basis.mean
                latent = add_patches(start, moved - to_patches(start, basis.side), basis.side)
                (autoencoder.decode(latent).cpu() - image).square().mean().backward()
                optimiser.step()
    votes = torch.sigmoid(logits.detach()).mean(2)[0]
    owner = torch.arange(len(votes)) % key_bits
    sums = torch.zeros(key_bits).index_add_(0, owner, votes)
    return sums / torch.bincount(owner, minlength=key_bits)


def _last(basis: FingerprintBasis, depth: int) -> Tensor:
    return basis.directions[:, :depth]


def _targets(basis: FingerprintBasis, key: Key, patches: int, strength: float, depth: int) -> Tensor:
    bits = torch.from_numpy(key.bits).float()[torch.arange(patches) % len(key)]
    return strength * bits[:, None] * basis.variance[:depth].sqrt()
