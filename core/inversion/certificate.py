"""A certificate: this decoder can write exactly these pixels. And where such a proof would mean nothing.

A latent whose decoding, stored as 8 bit, is the picture value for value proves by its mere existence that the decoder
can write the picture; no calibration is involved. That says that the decoder *made* it only if a picture from elsewhere
could not be hit by chance. Count freedoms: each stored value asks a real number to lie in an interval one level wide;
a latent has d numbers to choose. Where the best reconstruction of a foreign picture misses by a fraction of a level, a
value is still hit with a probability p < 1, and n values beyond the d that a latent can buy are all hit with p^n.

That fails only where values are hit for nothing, so only *telling* values count: not those stored as 0 or 255, which
swallow all beyond; not those that a line or a cubic through their neighbours foretells to what rounding leaves of a
smooth surface, which any decoder reproduces (flat pictures, gradients, blurred photographs, waves of high contrast); of
the three colours only what one adds to another, so that a grey picture counts once. A latent buys as many of them as it
has numbers; a certificate takes so many more that p^n is nothing even for a p near one: of the number asked for here,
.99^n is 1e-13.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..images.quantiser import LEVELS

# Telling values beyond those that the latent can buy.
LEAST = 3000
# In levels: what rounding makes at most of a surface that is linear between neighbours, and of one that is cubic, of
# one colour and of the difference of two.
FORETOLD = (1.0, 2.0, 2.0)
FORETOLD_CUBIC = tuple(4 / 3 * levels for levels in FORETOLD)
# Pixels on each side that a cubic takes.
REACH = 2


def telling(image: Tensor) -> Tensor:
    """Which stored values of ``image`` ``[1,3,H,W]``, 8 bit in [0,1], nothing but the right latent reproduces.

    ``[3,H-4,W-4]`` bool, without the two outermost pixels: green, red and blue in this order.
    """
    levels = (image.detach().cpu() * LEVELS).round()
    red, green, blue = levels[0].unbind()
    apart = torch.stack([green, red - green, blue - green])

    def sum_at(distance: int) -> Tensor:
        """Of the four neighbours at that distance."""
        inner = slice(REACH, -REACH)
        rows, columns = (
            [slice(REACH + sign * distance, side - REACH + sign * distance) for sign in (-1, 1)]
            for side in apart.shape[-2:]
        )
        beside = [apart[:, row, inner] for row in rows] + [apart[:, inner, column] for column in columns]
        return torch.stack(beside).sum(0)

    near, further = sum_at(1), sum_at(2)
    middle = apart[:, REACH:-REACH, REACH:-REACH]
    line, cubic = near / 4, (4 * near - further) / 12
    free = ((levels[0] > 0) & (levels[0] < LEVELS))[[1, 0, 2], REACH:-REACH, REACH:-REACH]
    bounds = (torch.tensor(bound)[:, None, None] for bound in (FORETOLD, FORETOLD_CUBIC))
    missed = [(middle - foretold).abs() >= bound for foretold, bound in zip((line, cubic), bounds, strict=True)]
    return missed[0] & missed[1] & free


def telling_values(image: Tensor) -> int:
    """How many values of ``image`` are :func:`telling`."""
    return int(telling(image).sum())


def why_no_certificate(image: Tensor, latent_values: int) -> str:
    """Why reproducing every value of ``image`` ``[1,3,H,W]``, 8 bit, would prove nothing; empty where it proves.

    ``latent_values``: how many numbers the latent has.
    """
    needed = latent_values + LEAST
    found = telling_values(image) if min(image.shape[-2:]) > 2 * REACH else 0
    if found >= needed:
        return ""
    return (
        f"it is too small or too smooth to prove anything, {found} of its values tell more than their neighbours do and"
        f" {needed} are needed"
    )
