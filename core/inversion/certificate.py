"""A certificate: this decoder can write exactly these pixels. And where such a proof would mean nothing.

A latent whose decoding, stored as 8 bit, is the picture value for value proves by its mere existence that the decoder
can write the picture; no calibration is involved. That says that the decoder *made* it only if a picture from elsewhere
could not be hit by chance. Count freedoms: each stored value asks a real number to lie in an interval one level wide;
a latent has d numbers to choose. Where the best reconstruction of a foreign picture misses by a fraction of a level, a
value is still hit with a probability p < 1, and n values beyond the d that a latent can buy are all hit with p^n.

That fails only where values are hit for nothing, so only *telling* values count: not those stored as 0 or 255, which
swallow all beyond; not those that the four neighbours foretell to less than a level, as rounding leaves a smooth
surface that any decoder reproduces (flat pictures, gradients, blurred photographs); of the three colours only what
one adds to another, so that a grey picture counts once. A certificate takes so many telling values per latent value
that the latent cannot have bought them, and so many in all that p^n is nothing even for a p near one: with the
smallest number allowed here, .99^n is 1e-13.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..images.quantiser import LEVELS

# Telling values for each value of the latent, and in all (benchmarks/results/inversion.md).
PER_LATENT_VALUE = 2
LEAST = 3000
# In levels: what rounding makes of a surface that is linear between neighbours at most, of one colour and of the
# difference of two.
FORETOLD = (1.0, 2.0, 2.0)


def telling(image: Tensor) -> Tensor:
    """Which stored values of ``image`` ``[1,3,H,W]``, 8 bit in [0,1], nothing but the right latent reproduces.

    ``[3,H-2,W-2]`` bool, without the outermost pixels: green, red and blue in this order.
    """
    levels = (image.detach().cpu() * LEVELS).round()
    red, green, blue = levels[0].unbind()
    apart = torch.stack([green, red - green, blue - green])
    neighbours = apart[:, :-2, 1:-1] + apart[:, 2:, 1:-1] + apart[:, 1:-1, :-2] + apart[:, 1:-1, 2:]
    surprising = (apart[:, 1:-1, 1:-1] - neighbours / 4).abs() >= torch.tensor(FORETOLD)[:, None, None]
    free = ((levels[0] > 0) & (levels[0] < LEVELS))[[1, 0, 2], 1:-1, 1:-1]
    return surprising & free


def telling_values(image: Tensor) -> int:
    """How many values of ``image`` are :func:`telling`."""
    return int(telling(image).sum())


def why_no_certificate(image: Tensor, latent_values: int) -> str:
    """Why reproducing every value of ``image`` ``[1,3,H,W]``, 8 bit, would prove nothing; empty where it proves.

    ``latent_values``: how many numbers the latent has.
    """
    needed = max(LEAST, PER_LATENT_VALUE * latent_values)
    found = telling_values(image) if min(image.shape[-2:]) > 2 else 0
    if found >= needed:
        return ""
    return (
        f"it is too small or too smooth to prove anything, {found} of its values tell more than their neighbours do and"
        f" {needed} are needed"
    )
