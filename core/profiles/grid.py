"""The grid that a decoder writes its pixels on, as it was measured and as a profile keeps it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """``period`` and ``phase`` in pixels: cells begin at phase, phase + period … from the top and left edge."""

    period: int
    phase: int = 0
