"""Parts of a large picture that stand for the whole: as many as bound memory and time, where there is most detail.

A score that pools 8×8 blocks needs no more of them than make its scatter small. So above :data:`WHOLE_PIXELS` it looks
at windows, of which the same picture always gives the same. They begin at whole cells of the latent grid and of JPEG's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from ..errors import NotEnoughMemoryError, is_out_of_memory
from ..images.part import Part
from ..inversion.memory import let_go
from .residuals import least_side
from .spectral import BAND_WEIGHTS, DCT_BLOCK, NOISE_LEVELS, ROUNDING_ENERGY, band_energies

# Pictures up to this size are looked at whole; beyond it WINDOWS windows of SIDE pixels. Chosen by
# benchmarks/windows.py: results/windows.md.
WHOLE_PIXELS, SIDE, WINDOWS = 640_000, 320, 6
# Sides to try where even that does not fit into memory, each with as many pixels in all.
SMALLER_SIDES = (224, 160, 112, 80)
# Blocks along each side of a window that tell its detail; so were the windows of windows.md chosen.
SAMPLED = 4

T = TypeVar("T")


def windows_of(image: Tensor, cell: int, side: int | None = None) -> list[Part]:
    """The windows that stand for ``image`` ``[1,3,H,W]``, those with most detail first; the whole where it is small.

    ``cell``: pixels of a latent cell. ``side``: windows of that many pixels each way, whatever the picture's size.
    Windows do not overlap, and are large enough to compare grids in.
    """
    height, width = image.shape[-2:]
    if side is None:
        if height * width <= WHOLE_PIXELS:
            return [Part(0, 0, height, width)]
        side = SIDE
    step = math.lcm(cell, DCT_BLOCK)
    across = max(math.ceil(least_side(cell) / step) * step, side // step * step)
    high, wide = (max(min(across, length // cell * cell), 1) for length in (height, width))
    # A picture narrower than a window gets longer ones.
    rows, columns = max(1, height // high), max(1, width // wide)
    # Windows begin at whole steps, which are at least as far apart as they are long.
    tops = [row * math.ceil(high / step) * step for row in range(rows)]
    lefts = [column * math.ceil(wide / step) * step for column in range(columns)]
    tops = [top for top in tops if top + high <= height] or [0]
    lefts = [left for left in lefts if left + wide <= width] or [0]
    detail = _detail(image, tops, lefts, high, wide).flatten()
    # Stable: of equals the upper left one comes first.
    order = torch.sort(detail, descending=True, stable=True).indices.tolist()
    count = max(1, round(WINDOWS * SIDE**2 / (high * wide)))
    return [Part(tops[i // len(lefts)], lefts[i % len(lefts)], high, wide) for i in order[:count]]


def _detail(image: Tensor, tops: list[int], lefts: list[int], height: int, width: int) -> Tensor:
    """``[rows,columns]``: what share of the frequency bands of sampled blocks rises above rounding noise."""
    if min(height, width) < DCT_BLOCK:
        return torch.zeros(len(tops), len(lefts))
    total = torch.zeros(len(tops), len(lefts))
    within = torch.arange(DCT_BLOCK)
    starts = [[int(k * (side - DCT_BLOCK) / (SAMPLED - 1)) for k in range(SAMPLED)] for side in (height, width)]
    for down in starts[0]:
        rows = (torch.tensor(tops)[:, None] + down + within).flatten()
        for across in starts[1]:
            columns = (torch.tensor(lefts)[:, None] + across + within).flatten()
            blocks = image[..., rows.to(image.device), :][..., columns.to(image.device)]
            energies = band_energies(blocks)[0].cpu()
            total += (BAND_WEIGHTS * energies / (energies + NOISE_LEVELS * ROUNDING_ENERGY)).mean(-1)
    return total


def within_memory(run: Callable[[int | None], T], sentence: Callable[[], str]) -> tuple[T, int | None]:
    """``run(side)`` with windows as large as memory allows, and that side; ``None`` for the usual ones.

    Raises :class:`NotEnoughMemoryError` with ``sentence()`` where not even the smallest windows fit.
    """
    for side in (None, *SMALLER_SIDES):
        try:
            return run(side), side
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # Outside the handler: there the failed attempt's tensors still hang on the traceback.
        let_go()
    raise NotEnoughMemoryError(sentence())
