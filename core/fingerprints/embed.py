"""Write a key into a latent, before it is decoded.

Informed embedding: along the chosen directions each coded bit's read-out is *moved to* a margin on its side, so that
the picture's own content does not interfere; a bit that content already places there costs nothing (Cox, Miller &
Bloom, Digital Watermarking, 2nd ed., ch. 5; the least-norm change per bit). What the decoder and encoder will make of
latent and change is predicted from the basis (gain and response), so no pass through the VAE is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InvalidLatentError, InvalidSettingError
from ..images.quantiser import quantise
from ..models.autoencoder import Autoencoder
from .basis import FingerprintBasis
from .carrier import LEAST_WEIGHT, carrier_of, grid_of, read_patches, written_patches
from .codebook import PILOTS, free_codewords, key_codewords
from .content import Content
from .keys import Key, Secret, carrier_seed
from .margin import margin_of
from .patches import add_patches, to_patches

DEFAULT_STRENGTH = 1.0
STRONGEST = 10.0
# A margin grows with the fourth root of the number of patches: of what a larger picture gives, half goes into a smaller
# change and half into certainty.
MARGIN_PATCHES = 64
# How often a mark is corrected where the decoder is at hand; what share of the margin is then enough, since it is
# reached.
CORRECTIONS, ENOUGH = 1, 0.7
# How the change is shared among patches of different activity; measured as :func:`allocation` says.
CALM_FLOOR, ALLOCATION = 0.1, -0.4


def embed(
    latents: Tensor,
    basis: FingerprintBasis,
    key: Key,
    *,
    strength: float = DEFAULT_STRENGTH,
    secret: Secret | None = None,
    autoencoder: Autoencoder | None = None,
) -> Tensor:
    """``latents`` ``[B,C,h,w]``, unscaled, any batch and size, moved so that each decodes to a picture with ``key``.

    ``strength`` multiplies the margin of every coded bit; the change grows with it. ``secret`` hides where and how the
    key is written, and to what. With the ``autoencoder`` the mark is corrected by what becomes of it: two decoder and
    two encoder passes. Deterministic; images are independent. Result on the device and in the type of ``latents``.
    Raises :class:`InvalidSettingError` for a strength outside (0, 10] and :class:`InvalidLatentError` for a latent of
    another VAE, or too small for the key.
    """
    if not 0 < strength <= STRONGEST:
        raise InvalidSettingError(
            f"Strength {strength:g} cannot be used: it must be above 0 and at most {STRONGEST:g}; {DEFAULT_STRENGTH:g}"
            " is the default."
        )
    check_latents(latents, basis)
    exact = latents.detach().float().cpu()
    pilots = PILOTS if basis.bound else 0
    codewords = key_codewords([key], pilots) * free_codewords(len(key), pilots)
    margin = margin_of(basis) * strength * (_patch_count(exact, basis) / MARGIN_PATCHES) ** 0.25
    seed = carrier_seed(secret, basis.bound)
    if autoencoder is not None:
        margin *= ENOUGH
    signs = None
    moved = exact
    for _ in range(1 if autoencoder is None else 1 + CORRECTIONS):
        # Without the decoder at hand, what it will make of the latents is predicted.
        seen = written_patches(exact, basis) if autoencoder is None else _seen(autoencoder, moved, basis)
        carrier = carrier_of(seen[1], grid_of(exact, basis), basis, codewords.shape[1], seed)
        readout = carrier.collect(seen[0])
        # Each place moves by its own weight, the more the less the picture changes for it.
        ease = (allocation(to_patches(exact, basis.side), basis)[..., None] / basis.costs).flatten(1)
        ease = carrier.weight * ease
        answer = carrier.gather(carrier.weight * ease) / carrier.norms
        if signs is None:
            costs = basis.costs.repeat(_patch_count(exact, basis))
            price = carrier.gather(ease.square() * costs) / answer.square().clamp(min=LEAST_WEIGHT)
            signs = codewords[_nearest(readout, price, codewords, margin)]
        short = signs * (margin - signs * readout).clamp(min=0)
        moves = ease * (short / answer.clamp(min=LEAST_WEIGHT))[:, carrier.bit]
        moved = add_patches(moved, moves.unflatten(1, (-1, len(basis.chosen))) @ basis.writers, basis.side)
    return moved.to(latents)


def _patch_count(latents: Tensor, basis: FingerprintBasis) -> int:
    rows, columns = grid_of(latents, basis)
    return rows * columns


def _seen(autoencoder: Autoencoder, latents: Tensor, basis: FingerprintBasis) -> tuple[Tensor, Content]:
    """What the reader will find of latents once they are decoded and stored, one after another."""
    with torch.no_grad():
        given = latents.to(autoencoder.device, autoencoder.dtype)
        stored = [quantise(autoencoder.decode(one).float().cpu()) for one in given.split(1)]
        read = [autoencoder.encode(one.to(given)).float().cpu() for one in stored]
    return read_patches(torch.cat(read), basis)


def check_latents(latents: Tensor, basis: FingerprintBasis) -> None:
    """Raise :class:`InvalidLatentError` unless ``latents`` are ``[B,C,h,w]``, finite, with the ``basis``'s channels."""
    if latents.ndim != 4 or latents.numel() == 0:
        raise InvalidLatentError(
            f"A latent batch has 4 dimensions [B,C,h,w], this one has shape {tuple(latents.shape)}: connect the"
            " sampler's output."
        )
    if latents.shape[1] != basis.channels:
        raise InvalidLatentError(
            f"The latent has {latents.shape[1]} channels, the basis was measured on {basis.autoencoder} with"
            f" {basis.channels}: use the basis of the VAE that decodes this latent."
        )
    if not torch.isfinite(latents).all():
        raise InvalidLatentError("The latent contains NaN or infinite values: check the sampler it comes from.")


def allocation(patches: Tensor, basis: FingerprintBasis) -> Tensor:
    """``[B,P]``: relative change that each patch takes.

    Where a latent is busy its decoder is more sensitive: measured on taesd, the same change of a patch costs about as
    much more squared error as the patch is more active (exponent 0.8 to 1). Busy patches therefore take a little
    *less*. Against the textbook's masking (exponent +0.5) that gained 0.9 dB, and 0.005 of SSIM as well.
    """
    cells = patches.unflatten(2, (basis.channels, basis.side**2))
    # torch's var() takes as long as everything else here together.
    activity = (cells.square().mean(3) - cells.mean(3).square()).mean(2).clamp(min=0)
    return (CALM_FLOOR + activity / activity.mean(1, keepdim=True).clamp(min=1e-12)) ** ALLOCATION


def _nearest(predicted: Tensor, price: Tensor, codewords: Tensor, margin: float) -> Tensor:
    """``[B]``: the codeword that each latent reaches with the least change of the picture."""
    up = price * (margin - predicted).clamp(min=0).square()
    down = price * (margin + predicted).clamp(min=0).square()
    return ((up - down) @ codewords.T).argmin(1)
