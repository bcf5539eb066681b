"""The demonstration: two embedded autoencoders, a few pictures, and who made which. No download, no GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .autoencoder import Autoencoder
from .quantiser import quantise


@dataclass(frozen=True)
class DemoImage:
    """A picture ``[1,3,H,W]`` of known origin; ``made_by`` names an autoencoder, or is ``None`` for a photograph."""

    name: str
    pixels: Tensor
    made_by: str | None


@torch.no_grad()
def demo_images(photographs: dict[str, Tensor], maker: Autoencoder) -> Iterator[DemoImage]:
    """For each photograph ``[1,3,H,W]``: what ``maker`` decodes from its latent, as 8 bit, and the picture itself."""
    for name, pixels in photographs.items():
        decoded = quantise(maker.decode(maker.encode(pixels)).cpu())
        yield DemoImage(f"{name}, decoded by {maker.name}", decoded, maker.name)
        yield DemoImage(f"{name}, the photograph", pixels, None)
