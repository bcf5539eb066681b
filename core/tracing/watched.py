"""An autoencoder that tells of every pass: progress and cancel for whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ..models.autoencoder import Autoencoder

#: (passes so far, passes expected): an encoder or decoder ran.
OnPass = Callable[[int, int], None]


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


@contextmanager
def passes_told(
    autoencoder: Autoencoder, on_pass: OnPass | None, expected: int
) -> Iterator[tuple[Autoencoder, Callable[[int], None]]]:
    """``autoencoder`` that tells ``on_pass`` of every pass, and what takes notice that so many more are to come."""
    if on_pass is None:
        yield autoencoder, lambda _: None
        return
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        on_pass(done, max(done, expected))

    def expect(more: int) -> None:
        nonlocal expected
        expected = done + more

    yield watched(autoencoder, tell), expect
