"""Read a key from a picture: one encoder pass, a linear read-out, soft decoding; inversion only where that is not
decisive."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidImageError, InvalidSettingError
from ..images.tensors import check_images, crop_to_grid
from ..inversion.latents import Step, invert
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from . import convolutional_code
from .basis import FingerprintBasis
from .carrier import make_carrier
from .codebook import coded_bits, inverse_rate, message_bits, message_codewords
from .evidence import log_tail, union
from .keys import DEFAULT_BITS, Key, Secret, carrier_seed
from .patches import to_patches

# The largest probability of an unmarked picture yielding a key this good at which a key is reported.
FALSE_KEY_RATE = 1e-6
REFINING_STEPS = 30


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read from one picture.

    ``key`` is ``None`` when an unmarked picture would yield one this good with a probability above ``rate``.
    ``p_value`` bounds that probability (its logarithm: ``log_p_value``). ``bit_confidence``: probability that each key
    bit is right, drawn to 1/2 as the p-value grows. ``readouts`` ``[n]``: the coded bits, signed by the carrier.
    ``margin``: mean read-out on the decoded side over its deviation, by which a strength can be chosen.
    """

    key: Key | None
    key_bits: int
    rate: float
    log_p_value: float
    bit_confidence: tuple[float, ...] = field(repr=False)
    readouts: Tensor = field(repr=False)
    margin: float
    refined: bool
    trials: int
    passes: Passes

    @property
    def p_value(self) -> float:
        return math.exp(self.log_p_value)


def read(
    autoencoder: Autoencoder,
    image: Tensor,
    basis: FingerprintBasis,
    *,
    key_bits: int = DEFAULT_BITS,
    secret: Secret | None = None,
    rate: float = FALSE_KEY_RATE,
    refining_steps: int = REFINING_STEPS,
    on_step: Callable[[Step], None] | None = None,
) -> Reading:
    """Read one picture ``[1,3,H,W]`` in [0,1].

    One encoder pass; only if that is not decisive at ``rate`` and ``refining_steps`` is not 0, the latent is refined by
    inversion and read again, the p-value then doubled for the second attempt. Sides off the latent grid are
    centre-cropped. Raises :class:`InvalidBasisError`, :class:`InvalidImageError` or :class:`InvalidSettingError`.
    """
    if not 0 < rate < 1:
        raise InvalidSettingError(f"The false-key rate {rate:g} must lie between 0 and 1: 1e-6 is the default.")
    basis.check(autoencoder)
    if len(image) != 1:
        raise InvalidImageError(f"A reading is about one picture, got a batch of {len(image)}: read them one by one.")
    cropped, _ = crop_to_grid(check_images(image), autoencoder.spatial_ratio)
    passes = Passes()
    passes.encoder += 1
    with torch.no_grad():
        latents = autoencoder.encode(cropped).float().cpu()
    first = decode_readouts(readouts(latents, basis, key_bits, secret)[0], key_bits, rate, passes)
    if first.key is not None or refining_steps == 0:
        return first
    inversion = invert(autoencoder, cropped, initial_latents=latents, steps=refining_steps, on_step=on_step)
    spent = inversion.passes[0]
    total = Passes(encoder=passes.encoder + spent.encoder, decoder=spent.decoder, backward=spent.backward)
    refined = readouts(inversion.latents.float(), basis, key_bits, secret)[0]
    attempts = [
        decode_readouts(values, key_bits, rate, total, refined=index > 0, trials=2)
        for index, values in enumerate((first.readouts, refined))
    ]
    return min(attempts, key=lambda reading: reading.log_p_value)


def readouts(latents: Tensor, basis: FingerprintBasis, key_bits: int, secret: Secret | None) -> Tensor:
    """``[B,n]``: the coded bits that encoded latents ``[B,C,h,w]`` say, in standard deviations of the basis's noise."""
    carrier = make_carrier(basis, latents.shape[-2], latents.shape[-1], coded_bits(key_bits), carrier_seed(secret))
    return carrier.collect((to_patches(latents, basis.side) - basis.readout_mean) @ basis.readers)


def decode_readouts(
    values: Tensor, key_bits: int, rate: float, passes: Passes, *, refined: bool = False, trials: int = 1
) -> Reading:
    """The most likely key behind coded bits ``[n]``, and what speaks for it."""
    soft = values.numpy()[None]
    message = convolutional_code.decode(soft, inverse_rate(key_bits))
    codeword = message_codewords(message, key_bits)[0]
    score = values @ codeword
    log_p = union(float(log_tail(values, score[None])[0]), message_bits(key_bits) * math.log(2) + math.log(trials))
    agreeing = values * codeword
    mean, variance = float(agreeing.mean()), float(agreeing.var())
    margin = mean / math.sqrt(max(variance, 1e-12))
    # Logarithmic likelihood ratio of a Gaussian read-out is 2·mean/variance times its value.
    ratio = 2 * mean / max(variance, 1e-12)
    reliability = convolutional_code.reliabilities(soft * ratio, inverse_rate(key_bits))[0, :key_bits]
    confidence = 0.5 + (1 / (1 + np.exp(-reliability)) - 0.5) * (1 - math.exp(log_p))
    return Reading(
        key=Key.from_bits(message[0, :key_bits]) if log_p <= math.log(rate) else None,
        key_bits=key_bits,
        rate=rate,
        log_p_value=log_p,
        bit_confidence=tuple(float(value) for value in confidence),
        readouts=values,
        margin=margin,
        refined=refined,
        trials=trials,
        passes=passes,
    )
