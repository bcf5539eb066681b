"""Read a key from a picture: one encoder pass, a linear read-out, soft decoding; other looks only where that is not
decisive, each paid for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidImageError, InvalidSettingError, NotEnoughMemoryError
from ..images.tensors import check_images, crop_to_grid
from ..inversion.latents import Step, invert
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from ..scores.placement import Placement
from . import convolutional_code
from .basis import FingerprintBasis
from .carrier import carrier_of, grid_of, read_patches
from .certainty import agreement_slope
from .codebook import PILOTS, coded_bits, inverse_rate, message_bits, message_codewords
from .evidence import log_tail, union
from .keys import DEFAULT_BITS, Key, Secret, carrier_seed
from .placed import Look, PlacedReader

# The largest probability of an unmarked picture yielding a key this good at which a key is reported.
FALSE_KEY_RATE = 1e-6
# The largest probability, summed over its bits, of a key that is named being wrong in one of them. A mark shows before
# every bit of its key does (benchmarks/results/wrong-keys.md).
WRONG_KEY_RATE = 0.01
REFINING_STEPS = 30
# The first look may spend one half of the rate where others may follow, the others one of KINDS shares of the rest:
# turns, sizes, crops, inversion. What a look may spend is the rate divided by its trials.
SHARES, KINDS = 2, 4


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read from one picture.

    ``key`` is ``None`` when an unmarked picture would yield one this good with a probability above ``rate``, and where
    there is a mark (``is_marked``) some bit of whose key may be wrong (:data:`WRONG_KEY_RATE`). ``p_value`` bounds the
    former (its logarithm: ``log_p_value``). ``bit_confidence``: probability that each key bit is right, drawn to 1/2 as
    the p-value grows. ``readouts`` ``[n]``: the coded bits, signed by the carrier. ``margin``: mean read-out on the
    decoded side over its deviation, by which a strength can be chosen. ``trials``: by how much the chance of this look
    was multiplied to pay for all others. ``bound``: the mark belongs to the content of this picture; else it could have
    been moved here from another. ``placement``: what was undone before it was read. ``looks``: all of them, in turn,
    this one among them. ``keyed``: read with a secret; without one whoever has the basis can write any key.
    ``left_out``: looks for which memory did not suffice.
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
    bound: bool = False
    placement: Placement | None = None
    looks: tuple[Look, ...] = field(default=(), repr=False)
    keyed: bool = True
    left_out: int = 0

    @property
    def p_value(self) -> float:
        return math.exp(self.log_p_value)

    @property
    def is_marked(self) -> bool:
        return self.log_p_value <= math.log(self.rate)


def read(
    autoencoder: Autoencoder,
    image: Tensor,
    basis: FingerprintBasis,
    *,
    key_bits: int = DEFAULT_BITS,
    secret: Secret | None = None,
    rate: float = FALSE_KEY_RATE,
    refining_steps: int = REFINING_STEPS,
    search: bool = True,
    on_step: Callable[[Step], None] | None = None,
    before_refining: Callable[[], None] | None = None,
) -> Reading:
    """Read one picture ``[1,3,H,W]`` in [0,1].

    One encoder pass. Where that is not decisive, bound marks are looked for as if the picture had been turned, resized
    or cropped (``search``), and then, unless ``refining_steps`` is 0, the latent is refined by inversion. ``rate`` is
    what all looks together spend: half of it the first, the rest is shared by kinds of looks and, within a kind, by
    looks (:data:`SHARES`). Sides off the latent grid are centre-cropped. Where memory does not suffice for a further
    look, it is left out and counted; ``before_refining`` may make room for the inversion. Raises
    :class:`InvalidBasisError`, :class:`InvalidImageError`, :class:`InvalidLatentError` for a picture smaller than one
    patch of the basis, or :class:`InvalidSettingError`.
    """
    if not 0 < rate < 1:
        raise InvalidSettingError(f"The false-key rate {rate:g} must lie between 0 and 1: 1e-6 is the default.")
    basis.check(autoencoder)
    if len(image) != 1:
        raise InvalidImageError(f"A reading is about one picture, got a batch of {len(image)}: read them one by one.")
    image = check_images(image)
    cropped, _ = crop_to_grid(image, autoencoder.spatial_ratio)
    search = search and basis.bound
    # What was settled before the first look cannot depend on what it shows: the price of the others is paid by it too.
    first_trials = SHARES if search or refining_steps else 1
    passes = Passes(encoder=1)
    with torch.no_grad():
        latents = autoencoder.encode(cropped).float().cpu()
    looks = [Look(None, readouts(latents, basis, key_bits, secret)[0], first_trials)]
    left_out = 0

    def decoded(look: Look, refined: bool = False) -> Reading:
        return decode_readouts(
            look.readouts, key_bits, rate, passes, refined=refined, trials=look.trials, placement=look.placement,
            bound=basis.bound,
        )  # fmt: skip

    found = decoded(looks[0])
    if search and not found.is_marked:
        reader = PlacedReader(autoencoder, image, basis, key_bits, carrier_seed(secret, basis.bound))
        for look in reader.looks():
            looks.append(replace(look, trials=SHARES * KINDS * look.trials))
            found = min(found, decoded(looks[-1]), key=lambda reading: reading.log_p_value)
            if found.is_marked:
                break
        passes += reader.passes
        left_out = reader.left_out
    # A mark that was found elsewhere does not lie where an inversion would look.
    if found.key is None and refining_steps and not (found.is_marked and found.placement):
        if before_refining is not None:
            before_refining()
        try:
            inversion = invert(autoencoder, cropped, initial_latents=latents, steps=refining_steps, on_step=on_step)
        except NotEnoughMemoryError:
            left_out += 1
        else:
            passes += inversion.passes[0]
            values = readouts(inversion.latents.float(), basis, key_bits, secret)[0]
            looks.append(Look(None, values, SHARES * KINDS))
            refined = decoded(looks[-1], refined=True)
            found = min(found, refined, key=lambda reading: (reading.key is None, reading.log_p_value))
    return replace(found, passes=passes, looks=tuple(looks), keyed=secret is not None, left_out=left_out)


def readouts(latents: Tensor, basis: FingerprintBasis, key_bits: int, secret: Secret | None) -> Tensor:
    """``[B,n]``: the coded bits that encoded latents ``[B,C,h,w]`` say, in standard deviations of the basis's noise."""
    pilots = PILOTS if basis.bound else 0
    projections, content = read_patches(latents, basis)
    seed = carrier_seed(secret, basis.bound)
    carrier = carrier_of(content, grid_of(latents, basis), basis, coded_bits(key_bits, pilots), seed, 1)
    return carrier.collect(projections)


def decode_readouts(
    values: Tensor,
    key_bits: int,
    rate: float,
    passes: Passes,
    *,
    refined: bool = False,
    trials: int = 1,
    bound: bool = False,
    placement: Placement | None = None,
) -> Reading:
    """The most likely key behind coded bits ``[n]``, and what speaks for it."""
    pilots = len(values) - coded_bits(key_bits)
    soft = values[: len(values) - pilots].numpy()[None]
    message = convolutional_code.decode(soft, inverse_rate(key_bits))
    codeword = message_codewords(message, key_bits, pilots)[0]
    score = values @ codeword
    log_p = union(float(log_tail(values, score[None])[0]), message_bits(key_bits) * math.log(2) + math.log(trials))
    agreeing = values * codeword
    mean, variance = float(agreeing.mean()), float(agreeing.var())
    margin = mean / math.sqrt(max(variance, 1e-12))
    odds = soft * agreement_slope(agreeing.double().numpy())
    reliability = convolutional_code.reliabilities(odds, inverse_rate(key_bits))[0, :key_bits]
    confidence = 0.5 + (1 / (1 + np.exp(-reliability)) - 0.5) * (1 - math.exp(log_p))
    is_certain = log_p <= math.log(rate) and float((1 - confidence).sum()) <= WRONG_KEY_RATE
    return Reading(
        key=Key.from_bits(message[0, :key_bits]) if is_certain else None,
        key_bits=key_bits,
        rate=rate,
        log_p_value=log_p,
        bit_confidence=tuple(float(value) for value in confidence),
        readouts=values,
        margin=margin,
        refined=refined,
        trials=trials,
        passes=passes,
        bound=bound,
        placement=placement,
    )
