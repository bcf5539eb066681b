"""Where each coded bit is written: a hidden assignment of patches and directions to bits, with hidden signs.

The assignment covers a tile of 8×8 patches and repeats: larger pictures carry every bit more often, and a crop still
holds whole tiles. Signs are uniform and independent, drawn by SHAKE-256 from the seed: on a picture that was made
without the seed each coded bit's read-out is as likely positive as negative whatever the picture, which is the whole
null hypothesis of :mod:`.evidence`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidLatentError
from .basis import FingerprintBasis

TILE = 8
# Fewer places per coded bit would let single cells decide: 256² with 64 bits, the least of fingerprints.md, has more.
FEWEST_PLACES = 4


@dataclass(frozen=True, eq=False)
class Carrier:
    """The places of a latent: ``bit`` and ``sign`` ``[P·m]``, patch by patch; ``places`` ``[n]`` per coded bit."""

    bit: Tensor
    sign: Tensor
    places: Tensor

    def collect(self, projections: Tensor) -> Tensor:
        """Sum of signed ``[B,P,m]`` projections per coded bit, over the root of their number: ``[B,n]``."""
        signed = projections.flatten(1) * self.sign
        sums = torch.zeros(len(signed), len(self.places)).index_add_(1, self.bit, signed)
        return sums / self.places.sqrt()


def make_carrier(basis: FingerprintBasis, height: int, width: int, coded_bits: int, seed: bytes) -> Carrier:
    """The carrier of a latent of ``height``×``width`` cells; raises :class:`InvalidLatentError` if it is too small."""
    rows, columns = height // basis.side, width // basis.side
    room = rows * columns * len(basis.chosen) // FEWEST_PLACES
    if room < coded_bits:
        cells = basis.side * int(np.ceil(np.sqrt(FEWEST_PLACES * coded_bits / len(basis.chosen))))
        raise InvalidLatentError(
            f"A latent of {width}×{height} cells has room for {room} coded bits, this key needs {coded_bits}: use a"
            f" shorter key, or a picture of at least {cells}×{cells} cells ({8 * cells}×{8 * cells} pixels at 8 per"
            " cell)."
        )
    carrier = _on_grid(rows, columns, len(basis.chosen), coded_bits, seed)
    if bool((carrier.places == 0).any()):
        raise InvalidLatentError(
            f"A latent of {width}×{height} cells leaves some bits of this key no place: use a shorter key or a larger"
            " picture."
        )
    return carrier


@lru_cache(maxsize=16)
def _on_grid(rows: int, columns: int, directions: int, coded_bits: int, seed: bytes) -> Carrier:
    size = TILE * TILE * directions
    label = f"|{directions}|{coded_bits}|".encode()
    stream = hashlib.shake_256(seed + label).digest(9 * size)
    order = np.argsort(np.frombuffer(stream[: 8 * size], "<u8"), kind="stable")
    # Dealt out in turn along a hidden order: every bit gets as many places as any other, one more at most.
    bit = np.empty(size, np.int64)
    bit[order] = np.arange(size) % coded_bits
    sign = 1.0 - 2.0 * (np.frombuffer(stream[8 * size :], np.uint8) & 1)
    patch = (np.arange(rows)[:, None] % TILE * TILE + np.arange(columns)[None] % TILE).reshape(-1)
    bits = torch.from_numpy(bit.reshape(-1, directions)[patch].reshape(-1))
    signs = torch.from_numpy(sign.reshape(-1, directions)[patch].reshape(-1)).float()
    return Carrier(bits, signs, torch.bincount(bits, minlength=coded_bits).float())
