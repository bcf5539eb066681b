"""A reading in words. It never holds the key: reports are logged, saved and shared."""

from __future__ import annotations

from ..fingerprints.read import Reading
from ..fingerprints.register import UserAttribution

READING_LIMITS = (
    "limits: resizing, cropping and turning break the alignment; whoever knows basis and secret can write or remove a"
    " key; a key proves the secret was used, not who used it"
)


def reading_report(reading: Reading, owner: UserAttribution | None = None) -> str:
    """Several lines: answer and its certainty first, then cost and limits."""
    certainty = f"an unmarked picture yields one this good with p <= {reading.p_value:.2g}"
    answer = "NO KEY" if reading.key is None else f"A KEY of {reading.key_bits} bits"
    lines = [f"{answer}: {certainty} (reported up to {reading.rate:.0e})"]
    if owner is not None:
        lines.append(f"user: {owner.user or 'none'} of {owner.users} registered; {owner.reason}")
    lines.append(
        f"least certain bit {min(reading.bit_confidence):.1%}; margin {reading.margin:.2f} deviations;"
        f" {reading.passes.encoder} encoder and {reading.passes.decoder} decoder passes"
        + (", read after inversion" if reading.refined else "")
    )
    return "\n".join([*lines, READING_LIMITS])
