"""How far a coded bit is moved beyond its decision: as far as the picture's quality allows, and never less than needed.

Decoders differ. Of one with few channels the read-out is noisy and every step costs much of the picture; one with many
leaves room for a margin that JPEG does not eat up.
"""

from __future__ import annotations

import math
from functools import lru_cache

from scipy import optimize, stats

from .basis import FingerprintBasis
from .codebook import coded_bits

# In standard deviations of the basis's noise (half 8-bit storage, half JPEG q75), for 64 patches at strength 1
# (benchmarks/results/fingerprints.md: keys right at which change, by strength).
LEAST_MARGIN, LARGEST_MARGIN = 1.5, 4.0
# Expected sum of squares of the change, all pixels of 64 patches in [0,1]: 29 dB for 256² and eight pixels per cell.
# What is really changed is about a third of that (4 to 5 dB less on two decoders), because of 256 codewords of a key
# the nearest is written.
ALLOWED_CHANGE = 3 * 256**2 * 10**-2.9
KEY_BITS = 64


@lru_cache(maxsize=8)
def margin_of(basis: FingerprintBasis) -> float:
    """The margin at strength 1, for 64 patches."""

    def excess(margin: float) -> float:
        return expected_change(basis, margin) - ALLOWED_CHANGE

    if excess(LEAST_MARGIN) >= 0:
        return LEAST_MARGIN
    return LARGEST_MARGIN if excess(LARGEST_MARGIN) <= 0 else optimize.brentq(excess, LEAST_MARGIN, LARGEST_MARGIN)


def expected_change(basis: FingerprintBasis, margin: float) -> float:
    """Expected sum of squares of what 64 bits change in a picture when each read-out, normal with the variance that the
    picture's own content gives it, is moved to ``margin`` on its side."""
    chosen = basis.chosen
    content = float((basis.gain[chosen].square() * basis.variance[chosen] / basis.noise[chosen]).mean())
    deviation = math.sqrt(content) + 1e-12
    # E max(0, margin - content)^2 of a normal content of mean 0.
    ratio = margin / deviation
    moved = (margin**2 + content) * stats.norm.cdf(ratio) + margin * deviation * stats.norm.pdf(ratio)
    # Shared among directions in inverse proportion to their costs, a bit pays the harmonic mean.
    price = 1 / float((1 / basis.costs).mean())
    return float(coded_bits(KEY_BITS) * price * moved)
