"""What a picture shows, coarsely, so that a mark can be bound to it: copied into another picture it reads as noise.

Each patch of the latent has coordinates: along the directions that survive best, none of which carries a key, and how
its neighbours on both sides differ along the first of them, in standard deviations of the read-out's noise. Keyed waves
over these coordinates multiply the carrier (random Fourier features; Rahimi & Recht, NIPS 2007): between two pictures
whose patch differs by d, the product of their waves is exp(-|d|²/2l²) on average over keys. It stays near 1 under what
storage does to a picture, and falls to nothing between pictures. Nothing is hashed as a whole: where a part of the
picture changed or was cut away, that part alone loses its mark, and no second guess has to be paid for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# These and basis.WIDER belong to format 2: with others no picture marked before could be read.
# Coordinates of a patch itself, and how many of the first of them are also compared between its neighbours. With eight,
# pictures out of taesd told each other apart less well: the further ones are hardly clearer than their noise.
DIRECTIONS, COMPARED = 4, 4
# Square of the length l per coordinate, whose noise has variance 1. With 5, waves of a picture after JPEG 75 agree to
# 0.9 and those of two pictures to 0.00 (benchmarks/results/marks.md).
LENGTH = 5.0
# A difference of two neighbours has twice the variance of a coordinate.
BESIDE = math.sqrt(0.5)


@dataclass(frozen=True, eq=False)
class Content:
    """``coordinates`` ``[B,P,q]`` in units of the length l; ``distinct`` ``[B,P]`` in [0,1]: 0 for a plain patch.

    A plain patch among plain ones is the same in many pictures, and a mark on it could be moved there.
    """

    coordinates: Tensor
    distinct: Tensor


def dimensions(directions: int) -> int:
    """Coordinates of a patch, of ``directions`` along which it has some of its own."""
    return directions + 2 * min(COMPARED, directions)


def content_of(patches: Tensor, grid: tuple[int, int], channels: int, readers: Tensor) -> Content:
    """The content of ``patches`` ``[B,P,D]`` less their mean, rows × columns in ``grid``, along ``readers`` ``[D,q]``.

    ``readers`` project on standard deviations of noise. Beyond its edge the picture is taken to go on as it ends.
    """
    own = patches @ readers
    cells = patches.unflatten(2, (channels, -1))
    detail = (cells - cells.mean(3, keepdim=True)).flatten(2) @ readers
    compared = own[..., :COMPARED].transpose(1, 2).unflatten(2, grid)
    wide = F.pad(compared, (1, 1, 1, 1), mode="replicate")
    across = wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]
    down = wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]
    beside = BESIDE * torch.cat([across, down], 1).flatten(2).transpose(1, 2)
    length = LENGTH * (own.shape[2] + beside.shape[2])
    unlike_plain = detail.square().sum(2) + beside.square().sum(2)
    distinct = 1 - torch.exp(-unlike_plain / (2 * length))
    return Content(torch.cat([own, beside], 2) / math.sqrt(length), distinct)


def waves(content: Content, frequencies: Tensor, phases: Tensor) -> Tensor:
    """``[B,P,m]``: the keyed waves of each patch, of mean square 1 where distinct; ``frequencies`` ``[P,m,q]``,
    ``phases`` ``[P,m]``.
    """
    angles = torch.einsum("bpq,pmq->bpm", content.coordinates, frequencies) + phases
    return math.sqrt(2) * torch.cos(angles) * content.distinct[..., None]
