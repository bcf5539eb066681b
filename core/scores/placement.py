"""How a picture may lie to the decoder that made it: mirrored, turned, cut off its grid, or resized since."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..images.part import Part

# Factors between which a picture is taken to have been resized, but for the simple ones beyond.
SMALLEST_SCALE, LARGEST_SCALE = 0.34, 2.55
# Most generators' sizes are multiples of 64, and most resizes by one of these factors: so many such sizes are tried at
# most, and of others so many that there are as many as SIZES.
ROUND, MAX_SIZES, SIZES = 64, 48, 24
# Sizes (of either orientation) that models are made for and that are no such multiples: Qwen-Image's.
USUAL = frozenset({(1328, 1328), (1664, 928), (1472, 1104), (1584, 1056)})
SIMPLE_FACTORS = (1 / 2, 2 / 3, 3 / 4, 4 / 5, 5 / 4, 4 / 3, 3 / 2, 2.0, 5 / 2, 3.0, 4.0)
# Nobody makes pictures of a shorter side, in pixels or in cells, and a look at one tells little.
LEAST_SIDE, LEAST_CELLS = 192, 16
# No picture is enlarged beyond this many pixels to look at it.
MAX_PIXELS = 2**24


@dataclass(frozen=True)
class Placement:
    """What happened to a picture since it was made; :meth:`undo` takes it back.

    ``box``: it lies on a canvas there, and the rest happened before. ``mirrored``: left and right were exchanged, then
    ``turns`` quarter turns counter-clockwise were made. ``size``: (height, width) in pixels it was made in, where it
    was resized. ``top``, ``left``: pixels before the first whole latent cell.
    """

    mirrored: bool = False
    turns: int = 0
    size: tuple[int, int] | None = None
    top: int = 0
    left: int = 0
    box: Part | None = None

    def undo(self, image: Tensor) -> Tensor:
        """``image`` ``[1,3,H,W]`` in [0,1] as it was made, as far as that can be had; a view where not resized."""
        image = image if self.box is None else self.box.cut(image)
        image = torch.rot90(image, -self.turns, (-2, -1)) if self.turns else image
        image = image.flip(-1) if self.mirrored else image
        if self.size is not None:
            image = resampled(image, self.size, (0, 0), self.size)
        return image[..., self.top :, self.left :]

    @property
    def words(self) -> str:
        """The end of "taken as …".

        >>> Placement(size=(512, 768), left=3).words
        'resized from 768×512 and cut 3 and 0 pixels beside its grid'
        """
        parts = ["mirrored"] if self.mirrored else []
        parts += [f"turned by {90 * self.turns}°"] if self.turns else []
        parts += [f"resized from {self.size[1]}×{self.size[0]}"] if self.size else []
        parts += [f"cut {self.left} and {self.top} pixels beside its grid"] if self.top or self.left else []
        parts += [f"put on a canvas at ({self.box.left}, {self.box.top})"] if self.box else []
        return " and ".join(parts) or "it lies"


def turned_placements() -> Iterator[Placement]:
    """The seven ways to mirror and turn a picture that are not none."""
    for mirrored in (False, True):
        yield from (Placement(mirrored, turns) for turns in range(4) if mirrored or turns)


def made_sizes(height: int, width: int, cell: int) -> list[tuple[int, int]]:
    """Sizes ``(height, width)`` in whole latent cells that a picture of ``height``×``width`` may have been resized
    from with both sides by one factor, rounded to whole pixels; the roundest and nearest first.

    >>> made_sizes(384, 288, 8)[:3]
    [(480, 360), (288, 216), (512, 384)]
    """
    found: dict[tuple[int, int], float] = {}
    widths = range(math.ceil(width / LARGEST_SCALE / cell), math.floor(width / SMALLEST_SCALE / cell) + 1)
    simple = (round(width / factor / cell) for factor in SIMPLE_FACTORS)
    for cells in sorted({*widths, *simple} - {0}):
        made_width = cells * cell
        # The factor is known to half a pixel of either side.
        for made_height in {round(height * made_width / (width + off) / cell) * cell for off in (-1, -0.5, 0, 0.5, 1)}:
            least = max(LEAST_SIDE, LEAST_CELLS * cell)
            if min(made_height, made_width) < least or (made_height, made_width) == (height, width):
                continue
            if made_height * made_width > MAX_PIXELS:
                continue
            # Delivered sides by the factor of the other: each must be its rounding, up or down.
            if (
                abs(made_height * width / made_width - height) <= 1
                or abs(made_width * height / made_height - width) <= 1
            ):
                found[made_height, made_width] = abs(math.log(width / made_width))

    def likelihood(size: tuple[int, int]) -> tuple[bool, int, float]:
        return not by_simple_factor(height, width, size), -roundness(height, width, size), found[size]

    ordered = sorted(found, key=likelihood)
    round_ones = sum(roundness(height, width, size) == ROUND for size in ordered)
    return ordered[: max(SIZES, min(round_ones, MAX_SIZES))]


def roundness(height: int, width: int, made: tuple[int, int]) -> int:
    """How likely a picture of ``height``×``width`` was ``made`` in that size: the largest power of two up to
    :data:`ROUND` in both its sides, :data:`ROUND` for one of :data:`USUAL` or a resize by a simple factor."""
    is_likely = by_simple_factor(height, width, made) or (max(made), min(made)) in USUAL
    return ROUND if is_likely else min(math.gcd(side, ROUND) for side in made)


def by_simple_factor(height: int, width: int, made: tuple[int, int]) -> bool:
    """Whether one of :data:`SIMPLE_FACTORS` leads from ``made`` to ``height``×``width``, to a pixel.

    >>> by_simple_factor(384, 288, (512, 384)), by_simple_factor(384, 288, (448, 336))
    (True, False)
    """
    return any(abs(made[0] * factor - height) <= 1 and abs(made[1] * factor - width) <= 1 for factor in SIMPLE_FACTORS)


def resampled(image: Tensor, made: tuple[int, int], start: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The part ``size`` (height, width) at ``start`` (top, left) of ``image`` ``[1,3,H,W]`` resized to ``made``.

    Bicubic, with the wider kernel where it gets smaller; on the device of ``image``, float32, within [0,1].
    """
    scale = tuple(side / new for side, new in zip(image.shape[-2:], made, strict=True))
    top, left = start[0] * scale[0], start[1] * scale[1]
    bottom = min((start[0] + size[0]) * scale[0], image.shape[-2])
    right = min((start[1] + size[1]) * scale[1], image.shape[-1])
    # Only what the kernel reaches is taken along.
    reach = [math.ceil(2 * max(1.0, one)) + 1 for one in scale]
    first = max(0, math.floor(top) - reach[0]), max(0, math.floor(left) - reach[1])
    part = image[0, :, first[0] : math.ceil(bottom) + reach[0], first[1] : math.ceil(right) + reach[1]]
    box = (left - first[1], top - first[0], right - first[1], bottom - first[0])
    planes = [
        Image.fromarray(np.ascontiguousarray(plane)).resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box)
        for plane in part.float().cpu().numpy(force=True)
    ]
    return torch.from_numpy(np.stack([np.asarray(plane) for plane in planes]))[None].clamp(0, 1).to(image.device)
