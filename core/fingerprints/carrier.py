"""Where each coded bit is written: a hidden assignment of patches and directions to bits, with hidden signs.

The assignment covers a tile of 8×8 patches and repeats: larger pictures carry every bit more often, and a crop still
holds whole tiles. Signs are uniform and independent, drawn by SHAKE-256 from the seed: on a picture that was made
without the seed each coded bit's read-out is as likely positive as negative whatever the picture, which is the whole
null hypothesis of :mod:`.evidence`. A bound carrier also multiplies each place with a keyed wave of the picture's own
content (:mod:`.content`), drawn apart from the signs: whatever the waves are, the hypothesis holds.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from ..errors import InvalidLatentError
from .basis import FingerprintBasis
from .content import Content, content_of, dimensions, waves
from .patches import to_patches

TILE = 8
# Fewer places per coded bit would let single cells decide: 256² with 64 bits, the least of fingerprints.md, has more.
FEWEST_PLACES = 4
# A bit whose places all show plain content cannot be read: its read-out is then 0.
LEAST_WEIGHT = 1e-6


@dataclass(frozen=True, eq=False)
class Carrier:
    """The places of latents: ``bit`` ``[P·m]``, patch by patch, and signed ``weight`` ``[B or 1,P·m]``."""

    bit: Tensor
    weight: Tensor
    bits: int

    @cached_property
    def squares(self) -> Tensor:
        """``[B or 1,n]``: the sum of squared weights of each coded bit."""
        return self.gather(self.weight.square())

    @cached_property
    def norms(self) -> Tensor:
        """``[B or 1,n]``: their roots, by which sums are divided."""
        return self.squares.clamp(min=LEAST_WEIGHT).sqrt()

    def gather(self, values: Tensor) -> Tensor:
        """Sum of ``[B,P·m]`` per coded bit: ``[B,n]``."""
        return torch.zeros(len(values), self.bits).index_add_(1, self.bit, values)

    def collect(self, projections: Tensor) -> Tensor:
        """Weighted sum of ``[B,P,m]`` projections per coded bit, of the variance of one of them: ``[B,n]``."""
        return self.gather(projections.flatten(1) * self.weight) / self.norms


@dataclass(frozen=True, eq=False)
class Layout:
    """One tile of 64 patches, hidden: ``bit``, ``sign``, ``phases`` ``[64,m]``, ``frequencies`` ``[64,m,q]``."""

    bit: Tensor
    sign: Tensor
    phases: Tensor
    frequencies: Tensor


def carrier_of(
    content: Content,
    grid: tuple[int, int],
    basis: FingerprintBasis,
    coded_bits: int,
    seed: bytes,
    fewest: int = FEWEST_PLACES,
) -> Carrier:
    """The carrier of latents with such ``content``, as they lie.

    Raises :class:`InvalidLatentError` where a bound one has fewer than ``fewest`` places for a bit on average.
    """
    if basis.bound:
        _checked_grid(basis, grid[0] * basis.side, grid[1] * basis.side, coded_bits, fewest)
        return bound_carrier(basis, content, grid, coded_bits, seed)
    return make_carrier(basis, grid[0] * basis.side, grid[1] * basis.side, coded_bits, seed)


def make_carrier(basis: FingerprintBasis, height: int, width: int, coded_bits: int, seed: bytes) -> Carrier:
    """The carrier of format 1, whatever the picture; raises :class:`InvalidLatentError` for too small a latent."""
    rows, columns = _checked_grid(basis, height, width, coded_bits)
    return _on_grid(rows, columns, len(basis.chosen), coded_bits, seed)


def bound_carrier(
    basis: FingerprintBasis,
    content: Content,
    grid: tuple[int, int],
    coded_bits: int,
    seed: bytes,
    start: tuple[int, int] = (0, 0),
) -> Carrier:
    """The carriers of latents with such ``content``, ``grid`` patches (rows, columns).

    ``start``: the place within the hidden tile of the first patch. A bit without a place reads as 0.
    """
    layout = make_layout(len(basis.chosen), len(basis.content), coded_bits, seed)
    patch = tile_of(grid, start)
    weight = layout.sign[patch] * waves(content, layout.frequencies[patch], layout.phases[patch])
    return Carrier(layout.bit[patch].reshape(-1), weight.flatten(1), coded_bits)


def read_patches(latents: Tensor, basis: FingerprintBasis) -> tuple[Tensor, Content]:
    """Projections ``[B,P,m]`` and content of encoded latents ``[B,C,h,w]``.

    Raises :class:`InvalidLatentError` where not even one patch fits.
    """
    _check_patches(latents, basis)
    patches = to_patches(latents, basis.side) - basis.readout_mean
    content = content_of(patches, grid_of(latents, basis), basis.channels, basis.content_readers)
    return patches @ basis.readers, content


def written_patches(latents: Tensor, basis: FingerprintBasis) -> tuple[Tensor, Content]:
    """What :func:`read_patches` is expected to find once these latents are decoded and encoded."""
    _check_patches(latents, basis)
    patches = to_patches(latents, basis.side) - basis.mean
    content = content_of(patches, grid_of(latents, basis), basis.channels, basis.content_predictors)
    return patches @ basis.predictors, content


def _check_patches(latents: Tensor, basis: FingerprintBasis) -> None:
    if not all(grid_of(latents, basis)):
        height, width = latents.shape[-2:]
        raise InvalidLatentError(
            f"A latent of {width}×{height} cells is smaller than one patch of {basis.side}×{basis.side}: use a larger"
            " picture."
        )


def grid_of(latents: Tensor, basis: FingerprintBasis) -> tuple[int, int]:
    return latents.shape[-2] // basis.side, latents.shape[-1] // basis.side


def tile_of(grid: tuple[int, int], start: tuple[int, int] = (0, 0)) -> Tensor:
    """``[P]``: which of the tile's patches each patch of a grid is, where the first one is the tile's ``start``."""
    rows, columns = torch.arange(grid[0]) + start[0], torch.arange(grid[1]) + start[1]
    return (rows[:, None] % TILE * TILE + columns[None] % TILE).reshape(-1)


def _checked_grid(
    basis: FingerprintBasis, height: int, width: int, coded_bits: int, fewest: int = FEWEST_PLACES
) -> tuple[int, int]:
    rows, columns = height // basis.side, width // basis.side
    room = rows * columns * len(basis.chosen) // fewest
    if room < coded_bits:
        cells = basis.side * int(np.ceil(np.sqrt(fewest * coded_bits / len(basis.chosen))))
        raise InvalidLatentError(
            f"A latent of {width}×{height} cells has room for {room} coded bits, this key needs {coded_bits}: use a"
            f" shorter key, or a picture of at least {cells}×{cells} cells ({8 * cells}×{8 * cells} pixels at 8 per"
            " cell)."
        )
    return rows, columns


@lru_cache(maxsize=16)
def _on_grid(rows: int, columns: int, directions: int, coded_bits: int, seed: bytes) -> Carrier:
    size = TILE * TILE * directions
    stream = hashlib.shake_256(seed + f"|{directions}|{coded_bits}|".encode()).digest(9 * size)
    bit, sign = _dealt(stream, directions, coded_bits)
    patch = tile_of((rows, columns))
    carrier = Carrier(bit[patch].reshape(-1), sign[patch].reshape(1, -1), coded_bits)
    if bool((carrier.squares == 0).any()):
        raise InvalidLatentError(
            f"A latent of {columns}×{rows} patches leaves some bits of this key no place: use a shorter key or a larger"
            " picture."
        )
    return carrier


@lru_cache(maxsize=16)
def make_layout(directions: int, content_directions: int, coded_bits: int, seed: bytes) -> Layout:
    """The hidden tile of a bound carrier."""
    size, count = TILE * TILE * directions, dimensions(content_directions)
    label = f"|{directions}|{content_directions}|{coded_bits}|".encode()
    stream = hashlib.shake_256(seed + label).digest((13 + 4 * count) * size)
    bit, sign = _dealt(stream, directions, coded_bits)
    uniform = (np.frombuffer(stream[9 * size :], "<u4").astype(np.float64) + 0.5) / 2**32
    phases = torch.from_numpy(2 * math.pi * uniform[:size]).float().view(-1, directions)
    frequencies = torch.from_numpy(ndtri(uniform[size:])).float().view(-1, directions, count)
    return Layout(bit, sign, phases, frequencies)


def _dealt(stream: bytes, directions: int, coded_bits: int) -> tuple[Tensor, Tensor]:
    """Bits and signs ``[64,m]`` out of nine bytes a place."""
    size = TILE * TILE * directions
    order = np.argsort(np.frombuffer(stream[: 8 * size], "<u8"), kind="stable")
    # Dealt out in turn along a hidden order: every bit gets as many places as any other, one more at most.
    bit = np.empty(size, np.int64)
    bit[order] = np.arange(size) % coded_bits
    sign = 1.0 - 2.0 * (np.frombuffer(stream[8 * size : 9 * size], np.uint8) & 1)
    return torch.from_numpy(bit).view(-1, directions), torch.from_numpy(sign).float().view(-1, directions)
