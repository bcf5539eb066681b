"""An autoencoder that tells of every pass: progress and cancel for whatever runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..models.autoencoder import Autoencoder


class Watched:
    """The same autoencoder; ``on_pass`` is called after each pass, and cancels by raising."""

    def __init__(self, autoencoder: Autoencoder, on_pass: Callable[[], None]) -> None:
        self._autoencoder = autoencoder
        self._on_pass = on_pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._autoencoder, name)

    def encode(self, images: Tensor) -> Tensor:
        latents = self._autoencoder.encode(images)
        self._on_pass()
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        images = self._autoencoder.decode(latents)
        self._on_pass()
        return images


def watched(autoencoder: Autoencoder, on_pass: Callable[[], None]) -> Autoencoder:
    """``autoencoder`` with a bell."""
    proxy: Any = Watched(autoencoder, on_pass)
    return proxy
