"""A reading in words. It never holds the key: reports are logged, saved and shared."""

from __future__ import annotations

import re

from ..fingerprints.read import Reading
from ..fingerprints.register import UserAttribution

READING_LIMITS = (
    "limits: a key proves that the secret was used on a picture of this content, not who used it nor that nothing in it"
    " was changed since; whoever knows the secret can write any key, whoever has the basis can remove one"
)
PUBLIC_LIMITS = "limits: without a secret a key proves nothing: whoever has the basis can write any key, and remove one"
MOVABLE_LIMITS = (
    "limits: a mark of format 1 proves little: it can be moved to any picture, without the secret; resizing, cropping"
    " and turning break it; build a new basis, whose marks are bound to their pictures"
)


def found_words(reading: Reading) -> str:
    """What was found, without the key."""
    if reading.key is not None:
        return f"a key of {reading.key_bits} bits"
    return f"a mark, but not all {reading.key_bits} bits of its key for certain" if reading.is_marked else "no key"


def reading_report(reading: Reading, owner: UserAttribution | None = None) -> str:
    """Several lines: answer and its certainty first, then cost and limits."""
    certainty = f"an unmarked picture yields one this good with p <= {reading.p_value:.2g}"
    # The answer stands out: "NO KEY", "A KEY of 64 bits", "A MARK, but ...".
    answer = re.sub(r"^\w+ \w+", lambda first: first[0].upper(), found_words(reading))
    lines = [f"{answer}: {certainty} (reported up to {reading.rate:.0e})"]
    if owner is not None:
        lines.append(f"user: {owner.user or 'none'} of {owner.users} registered; {owner.reason}")
    lines.append(
        f"least certain bit {min(reading.bit_confidence):.1%}; margin {reading.margin:.2f} deviations;"
        f" {reading.passes.encoder} encoder and {reading.passes.decoder} decoder passes"
        + (", read after inversion" if reading.refined else "")
    )
    if reading.placement is not None and reading.is_marked:
        lines.append(f"taken as {reading.placement.words}")
    if reading.left_out:
        lines.append(f"{reading.left_out} further looks did not fit into memory and were left out")
    return "\n".join([*lines, limits_of(reading)])


def limits_of(reading: Reading) -> str:
    """What a key read so proves, and what not."""
    if not reading.keyed:
        return PUBLIC_LIMITS
    return READING_LIMITS if reading.bound else MOVABLE_LIMITS
