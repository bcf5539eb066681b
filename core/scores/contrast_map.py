"""The grid contrast block by block: where, and how evenly, a picture shows one decoder's trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import InvalidImageError
from ..images.part import Part
from ..inversion.objective import Passes
from ..inversion.precision import bfloat16_is_faster
from ..models.autoencoder import Autoencoder
from ..profiles.grid import Grid
from .decoder_grid import grid_of
from .residuals import block_contrasts, compared_pixels, tiled_energies
from .spectral import DCT_BLOCK, band_energies
from .windows import windows_of

# Blocks of 8×8 pixels from which a standard error can be had.
LEAST_BLOCKS = 100
# Deviation of the contrast of pictures that do not belong, however large they are: an earlier JPEG file's blocks, of
# which little else shows after a second one, gave -0.047 to 0.031 under five decoders (benchmarks/results/placed.md).
SYSTEMATIC = 0.015


@dataclass(frozen=True)
class ContrastMap:
    """``parts``: contrast and weight ``[h,w]`` of every 8×8 block, one pair for each of the ``windows`` of the picture,
    empty where it is flat.

    ``cell`` and ``grid``: the decoder's, for only maps of equal ones lie on the same pixels.
    """

    parts: tuple[tuple[Tensor, Tensor], ...]
    windows: tuple[Part, ...]
    cell: int
    grid: Grid
    passes: Passes

    def contrast(self) -> float:
        """The weighted mean over all blocks; 0 where there are none."""
        return self.statistics()[0]

    def evidence(self, seen: Sequence[Part] = ()) -> float:
        """That mean in units of what it scatters by, of the blocks that no part in ``seen`` touches.

        Comparable between pictures of any size: beside the standard error, which falls with their number, stands
        :data:`SYSTEMATIC`, which does not. 0 where fewer than :data:`LEAST_BLOCKS` are left.
        """
        mean, error, count = self.statistics(seen)
        return evidence_of(mean, error) if count >= LEAST_BLOCKS else 0.0

    def statistics(self, seen: Sequence[Part] = ()) -> tuple[float, float, int]:
        """Weighted mean of the blocks that no part in ``seen`` touches, its standard error as if they were independent,
        and their number."""
        kept = [
            torch.stack([part.flatten() for part in pair])[:, self._unseen(window, pair[0].shape, seen)]
            for pair, window in zip(self.parts, self.windows, strict=True)
            if pair[0].numel()
        ]
        contrast, weight = torch.cat(kept, 1).double() if kept else torch.zeros(2, 0).double()
        total = float(weight.sum())
        if not total:
            return 0.0, 0.0, 0
        mean = float((contrast * weight).sum()) / total
        return mean, math.sqrt(float((weight * (contrast - mean)).square().sum())) / total, int((weight > 0).sum())

    def _unseen(self, window: Part, shape: Sequence[int], seen: Sequence[Part]) -> Tensor:
        """``[h·w]``: which blocks of a window no part in ``seen`` touches. They begin one cell inside it."""
        unseen = torch.ones(tuple(shape), dtype=torch.bool)
        for part in seen:
            top, left = part.top - window.top - self.cell, part.left - window.left - self.cell
            rows, columns = (
                slice(max(0, start // DCT_BLOCK), max(0, -(-(start + length) // DCT_BLOCK)))
                for start, length in ((top, part.height), (left, part.width))
            )
            unseen[rows, columns] = False
        return unseen.flatten()


@dataclass(frozen=True)
class Windowed:
    """A picture that is never whole in memory: its ``windows``, and what ``cut`` gives of each, ``[1,3,h,w]``."""

    windows: tuple[Part, ...]
    cut: Callable[[Part], Tensor]


def looks_of(
    autoencoder: Autoencoder,
    image: Tensor,
    passes: Passes,
    side: int | None = None,
    looks: int = 3,
    low_precision: bool = False,
) -> tuple[Tensor, Tensor]:
    """Contrast and weight ``[h,w]`` of each 8×8 block of ``image`` ``[1,3,H,W]``: the means of the score's ``looks``.

    ``side``: in tiles of so many compared pixels each way, ``None``: at once. One pass of each network (and tile) more
    than ``looks`` is added to ``passes``. Raises :class:`InvalidImageError` for a flat or too small picture,
    :class:`NoGridError`.
    """
    grid = grid_of(autoencoder)
    half = grid.period // 2

    def energies(down: int, across: int) -> Tensor:
        offset = ((grid.phase + down) % grid.period, (grid.phase + across) % grid.period)
        return tiled_energies(autoencoder, image, offset, passes, side, low_precision)

    on_grid = energies(0, 0)
    picture = band_energies(compared_pixels(image, autoencoder.spatial_ratio))[0].to(on_grid)
    besides = ((half, half), (half, 0), (0, half))[:looks]
    found = [block_contrasts(on_grid, energies(*beside), picture) for beside in besides]
    contrast = torch.stack([values for values, _ in found]).mean(0)
    return contrast, torch.stack([weights for _, weights in found]).mean(0)


def evidence_of(mean: float, error: float) -> float:
    """See :meth:`ContrastMap.evidence`."""
    return mean / math.hypot(error, SYSTEMATIC)


@torch.no_grad()
def contrast_map(
    autoencoder: Autoencoder,
    image: Tensor | Windowed,
    window: int | None = None,
    looks: int = 3,
    low_precision: bool = False,
) -> ContrastMap:
    """The map of ``image`` ``[1,3,H,W]`` in [0,1], whole cells each way; windows that are flat are left empty.

    ``window``: as for a score; ``looks``: the mean of so many, one to three; ``low_precision``: networks in bfloat16,
    where a window that it breaks is left empty too. Raises :class:`NoGridError` and what memory raises.
    """
    passes = Passes()
    parts: list[tuple[Tensor, Tensor]] = []
    windowed = windowed_picture(image, autoencoder.spatial_ratio, window)
    for part in windowed.windows:
        try:
            contrast, weight = looks_of(autoencoder, windowed.cut(part), passes, None, looks, low_precision)
        except InvalidImageError:
            contrast = weight = torch.zeros(0, 0)
        parts.append((contrast.float().cpu(), weight.float().cpu()))
    return ContrastMap(tuple(parts), windowed.windows, autoencoder.spatial_ratio, grid_of(autoencoder), passes)


def windowed_picture(image: Tensor | Windowed, cell: int, window: int | None) -> Windowed:
    """``image`` ``[1,3,H,W]`` in the windows that stand for it, those of most detail first."""
    if isinstance(image, Windowed):
        return image
    return Windowed(tuple(windows_of(image, cell, window)), lambda part: part.cut(image))


def map_where_promising(
    autoencoder: Autoencoder, image: Tensor | Windowed, window: int | None, promises: Callable[[ContrastMap], bool]
) -> ContrastMap:
    """The exact map where a rough one ``promises`` something, else the rough one, with the passes of both.

    Rough: a single look, in bfloat16 where that is faster. On 25 pictures under five decoders (own, others, half own,
    resized, and JPEG on top) its contrast lay within 0.035 of the exact one.
    """
    try:
        rough = contrast_map(autoencoder, image, window, 1, bfloat16_is_faster(autoencoder.device))
        # Not every network can be run in bfloat16: one that returns NaN leaves nothing.
        if rough.statistics()[2] and not promises(rough):
            return rough
        spent = rough.passes
    except (RuntimeError, TypeError):
        spent = Passes()
    exact = contrast_map(autoencoder, image, window)
    return replace(exact, passes=exact.passes + spent)
