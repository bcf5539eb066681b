"""Passes that the samples of one photograph share: what a network made of the same pixels is not computed again.

A score, the map of foreign regions and the scores of further conditions look at many a sample through the same crops.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..models.autoencoder import Autoencoder


class SharedPasses:
    """The same autoencoder; what its networks made is kept in main memory, bit by bit, until :meth:`forget`.

    Passes that need a gradient go through. About 3 MiB for each pass through 512² pixels; ``made`` counts the passes
    that were run, ``spared`` those that were not.
    """

    def __init__(self, autoencoder: Autoencoder) -> None:
        self._autoencoder = autoencoder
        self._kept: dict[bytes, Tensor] = {}
        self.made = self.spared = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._autoencoder, name)

    def encode(self, images: Tensor) -> Tensor:
        return self._pass("encode", self._autoencoder.encode, images)

    def decode(self, latents: Tensor) -> Tensor:
        return self._pass("decode", self._autoencoder.decode, latents)

    def forget(self) -> None:
        self._kept.clear()

    def _pass(self, name: str, network: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return network(given)
        key = _key(name, given)
        kept = self._kept.get(key)
        if kept is not None:
            self.spared += 1
            return kept.to(self._autoencoder.device)
        made = network(given)
        self.made += 1
        self._kept[key] = made.cpu()
        return made


def shared_passes(autoencoder: Autoencoder) -> tuple[Autoencoder, Callable[[], None]]:
    """``autoencoder`` with :class:`SharedPasses`, and what forgets them."""
    proxy: Any = SharedPasses(autoencoder)
    return proxy, proxy.forget


def _key(name: str, given: Tensor) -> bytes:
    """The same only where a network would do the same, to the last bit: precision and layout of memory matter too."""
    kind = given.device.type
    precision = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind), given.dtype
    content = given.detach().cpu().contiguous().view(torch.uint8).numpy()
    how = f"{name} {precision} {tuple(given.shape)} {given.stride()} ".encode()
    return hashlib.sha256(how + content.tobytes()).digest()
