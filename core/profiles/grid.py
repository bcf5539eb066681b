"""The grid that a decoder writes its pixels on, as a profile keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from ..autoencoder import Autoencoder


@dataclass(frozen=True)
class Grid:
    """``period`` and ``phase`` in pixels: cells begin at phase, phase + period …"""

    period: int
    phase: int = 0


def grid_of(autoencoder: Autoencoder) -> Grid | None:
    """The measured grid of ``autoencoder`` where it has one, else that of its latent's shape."""
    if hasattr(autoencoder, "grid"):
        measured = autoencoder.grid
        return None if measured is None else Grid(int(measured.period), int(measured.phase))
    return Grid(autoencoder.spatial_ratio)
