"""Blocks at the 8-bit floor: where an inversion explains the picture wholly, though elsewhere it may be stuck.

Decoders are local, so a search that is caught in one place goes on in others. A block of 8×8 pixels with something to
tell, explained down to what rounding leaves, is next to a proof that the decoder wrote it: of sharp pictures from
elsewhere none had one (benchmarks/results/floor-blocks.md). The mean loss, which the caught places rule, shows nothing
of this.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..images.quantiser import ROUNDING_FLOOR, Quantiser, residual, swallowed
from .certificate import REACH, telling

BLOCK = 8
# A block's mean squared residual in units of the floor. Rounding alone scatters it by 6 %; a search that is not yet at
# its end leaves some of it.
AT_FLOOR = 3.0
# What share of its green values, which every picture has, must tell more than their neighbours do.
TELLING_SHARE = 0.25


@dataclass(frozen=True)
class FloorBlocks:
    """``at_floor``, ``telling`` ``[h,w]`` bool: blocks from the upper left corner, at the floor only where telling."""

    at_floor: Tensor
    telling: Tensor

    @property
    def share(self) -> float | None:
        """Of the telling blocks, how many are at the floor; 0 to 1, ``None`` where no block tells anything."""
        count = int(self.telling.sum())
        return int(self.at_floor.sum()) / count if count else None


def floor_blocks(images: Tensor, decoded: Tensor, quantiser: Quantiser) -> FloorBlocks:
    """The blocks of ``images`` ``[1,3,H,W]``, 8 bit in [0,1], whose explanation ``decoded``, as large and unclamped, is
    at the floor. Rows and columns beyond the last whole block are left out: of a smaller picture there are none."""
    height, width = (side // BLOCK * BLOCK for side in images.shape[-2:])
    if not height or not width:
        none = torch.zeros(height // BLOCK, width // BLOCK, dtype=torch.bool)
        return FloorBlocks(none, none)
    # Values stored as 0 or 255 of which the decoder lies beyond say nothing: they must not thin out what others say.
    missed, heard = residual(decoded, images, quantiser).square(), ~swallowed(decoded, images)
    sums = [F.avg_pool2d(one[..., :height, :width].mean(1, keepdim=True), BLOCK)[0, 0].cpu()
            for one in (missed, heard.to(missed))]  # fmt: skip
    loss = sums[0] / sums[1].clamp(min=1e-9)
    # The outermost pixels have no neighbours to be foretold by.
    green = F.pad(telling(images)[0], 4 * (REACH,))[None, None, :height, :width].float()
    tells = F.avg_pool2d(green, BLOCK)[0, 0] >= TELLING_SHARE
    return FloorBlocks((loss <= AT_FLOOR * ROUNDING_FLOOR) & tells, tells)
