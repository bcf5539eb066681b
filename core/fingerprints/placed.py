"""A bound mark in a picture that was turned, mirrored, resized or cropped since: every way to look, and its price.

Whole turns and sizes are few, each is read as it comes. Of a crop, where the latent cells, the patches and the hidden
tile begin is unknown; the pilots, coded bits that say the same whatever the key, rank all those starts in one window,
and the best are read in the whole picture. Every look is paid for, ranked or not: the rate is shared out beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..errors import is_out_of_memory
from ..inversion.memory import let_go
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from ..scores.placement import MAX_SIZES, Placement, made_sizes, turned_placements
from .basis import FingerprintBasis
from .carrier import LEAST_WEIGHT, TILE, bound_carrier, grid_of, make_layout, read_patches, tile_of
from .codebook import PILOTS, coded_bits

# Latent cells per side of the part in which starts are ranked. Where a VAE's read-outs are mostly the picture's own, as
# taesd's, less does not show the pilots.
WINDOW_CELLS = 64
# How many starts are read in the whole picture.
CANDIDATES = 8
# Pixels that a look at another size encodes at most, if the picture itself has fewer: its memory would grow ninefold.
LARGEST = 2**20
# Turns with and without a mirror image, but for the picture as it lies.
TURNS = 7


@dataclass(frozen=True, eq=False)
class Look:
    """The coded bits ``readouts`` ``[n]`` under a placement (``None``: as it lies), one of ``trials`` looks."""

    placement: Placement | None
    readouts: Tensor
    trials: int


@dataclass(frozen=True, order=True)
class _Start:
    """Pixels before the first whole cell (down, across), cells before the first whole patch, place in the tile."""

    phase: tuple[int, int]
    cells: tuple[int, int]
    tile: tuple[int, int]


def squares(side: int) -> list[tuple[int, int]]:
    """All (row, column) of a square, row by row."""
    return [(row, column) for row in range(side) for column in range(side)]


@lru_cache(maxsize=16)
def tiles_of(grid: tuple[int, int]) -> Tensor:
    """``[64,P]``: :func:`tile_of` for every place of the first patch."""
    return torch.stack([tile_of(grid, start) for start in squares(TILE)])


class PlacedReader:
    """Looks at one ``image`` ``[1,3,H,W]`` in [0,1].

    ``passes`` counts what they cost, ``left_out`` those for which memory did not suffice.
    """

    def __init__(
        self, autoencoder: Autoencoder, image: Tensor, basis: FingerprintBasis, key_bits: int, seed: bytes
    ) -> None:
        self.autoencoder, self.image, self.basis, self.seed = autoencoder, image, basis, seed
        self.bits = coded_bits(key_bits, PILOTS)
        self.ratio, self.passes, self.left_out = autoencoder.spatial_ratio, Passes(), 0

    def looks(self) -> Iterator[Look]:
        """Crops last: they cost most."""
        for placement in turned_placements():
            yield from self.whole(placement, TURNS)
        for size in made_sizes(self.image.shape[-2], self.image.shape[-1], self.ratio):
            yield from self.whole(Placement(size=size), MAX_SIZES)
        yield from self.crops()

    def whole(self, placement: Placement, trials: int) -> Iterator[Look]:
        latents = self.encode(self.middle(placement.undo(self.image)))
        if latents is not None and self.has_room(latents):
            yield Look(placement, self.readouts(latents, (0, 0)), trials)

    def middle(self, image: Tensor) -> Tensor:
        """The part of ``image`` that is encoded where all of it has too many pixels; it begins with a whole tile."""
        height, width = image.shape[-2:]
        share = (max(LARGEST, self.image.shape[-2] * self.image.shape[-1]) / (height * width)) ** 0.5
        if share >= 1:
            return image
        tile = TILE * self.basis.side * self.ratio
        sides = [int(share * side) for side in (height, width)]
        top, left = ((side - kept) // 2 // tile * tile for side, kept in zip((height, width), sides, strict=True))
        return image[..., top : top + sides[0], left : left + sides[1]]

    def crops(self) -> Iterator[Look]:
        """The best starts of all, as they are read in the whole picture."""
        best: list[tuple[float, _Start]] = []
        for phase in squares(self.ratio):
            best = sorted([*best, *self.rank(phase)], reverse=True)[:CANDIDATES]
        every = self.ratio**2 * self.basis.side**2 * TILE**2
        for _, start in best:
            latents = self.encode(self.image[..., start.phase[0] :, start.phase[1] :])
            if latents is None:
                continue
            latents = latents[..., start.cells[0] :, start.cells[1] :]
            if self.has_room(latents):
                top, left = (p + self.ratio * c for p, c in zip(start.phase, start.cells, strict=True))
                yield Look(Placement(top=top, left=left), self.readouts(latents, start.tile), every)

    def rank(self, phase: tuple[int, int]) -> Iterator[tuple[float, _Start]]:
        """The best start for each way in which the patches may begin."""
        # Whole tiles before the window leave the place in the tile as it is.
        top, left = (self.window_start(side) + off for side, off in zip(self.image.shape[-2:], phase, strict=True))
        side = WINDOW_CELLS * self.ratio
        latents = self.encode(self.image[..., top : top + side, left : left + side])
        if latents is None:
            return
        for cells in squares(self.basis.side):
            shifted = latents[..., cells[0] :, cells[1] :]
            if self.has_room(shifted):
                value, index = self.pilots(shifted).max(0)
                yield float(value), _Start(phase, cells, squares(TILE)[int(index)])

    def window_start(self, side: int) -> int:
        tile = TILE * self.basis.side * self.ratio
        return max(0, (side - WINDOW_CELLS * self.ratio) // 2 // tile * tile)

    def pilots(self, latents: Tensor) -> Tensor:
        """``[64]``: how well the pilots agree if the first patch lies at each place of the tile.

        Large values are the picture's own: each pilot counts no more than a typical one.
        """
        projections, content = read_patches(latents, self.basis)
        layout = make_layout(len(self.basis.chosen), len(self.basis.content), self.bits, self.seed)
        place, direction = torch.nonzero(layout.bit >= self.bits - PILOTS, as_tuple=True)
        angles = content.coordinates[0] @ layout.frequencies[place, direction].T + layout.phases[place, direction]
        weights = torch.cos(angles) * content.distinct[0][:, None] * layout.sign[place, direction]
        column = place * PILOTS + layout.bit[place, direction] - (self.bits - PILOTS)
        sums, energies = (
            torch.zeros(len(weights), TILE**2 * PILOTS).index_add_(1, column, values).unflatten(1, (TILE**2, PILOTS))
            for values in (weights * projections[0][:, direction], weights.square())
        )
        grid, patches = grid_of(latents, self.basis), torch.arange(len(weights))
        tiles = tiles_of(grid)
        values = sums[patches, tiles].sum(1) / energies[patches, tiles].sum(1).clamp(min=LEAST_WEIGHT).sqrt()
        typical = values.abs().median()
        return values.clamp(-typical, typical).sum(1) / typical.clamp(min=LEAST_WEIGHT)

    def readouts(self, latents: Tensor, tile: tuple[int, int]) -> Tensor:
        projections, content = read_patches(latents, self.basis)
        carrier = bound_carrier(self.basis, content, grid_of(latents, self.basis), self.bits, self.seed, tile)
        return carrier.collect(projections)[0]

    def has_room(self, latents: Tensor) -> bool:
        rows, columns = grid_of(latents, self.basis)
        return rows * columns * len(self.basis.chosen) >= self.bits

    def encode(self, image: Tensor) -> Tensor | None:
        """Of the whole cells from the first pixel on; ``None`` where memory does not suffice."""
        height, width = (side // self.ratio * self.ratio for side in image.shape[-2:])
        self.passes += Passes(encoder=1)
        try:
            with torch.no_grad():
                given = image[..., :height, :width].to(self.autoencoder.device, self.autoencoder.dtype)
                return self.autoencoder.encode(given).float().cpu()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        let_go(self.autoencoder.device)
        self.left_out += 1
        return None
