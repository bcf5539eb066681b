"""What every score offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..autoencoder import Autoencoder
from ..errors import InvalidImageError
from ..inversion import Inversion, Step
from ..objective import Passes
from ..quantiser import Quantiser

Setting = float | int | str | bool


@dataclass(frozen=True)
class Scored:
    """The score of one image, what it cost, and the stage that decided it; ``inversion`` where one was run."""

    value: float
    passes: Passes
    stage: str
    inversion: Inversion | None = None


class Score(Protocol):
    """Maps an image to a number that is lower for belonging images. Deterministic; one image at a time."""

    name: str
    #: What the numbers depend on; a profile holds them and refuses others.
    settings: dict[str, Setting]

    def __call__(
        self,
        autoencoder: Autoencoder,
        image: Tensor,
        quantiser: Quantiser = "auto",
        on_step: Callable[[Step], None] | None = None,
    ) -> Scored:
        """Score one image ``[1,3,H,W]`` in [0,1] whose sides lie on the latent grid.

        Raises :class:`InvalidImageError` for a batch, and for an image that holds nothing to judge by.
        """


def check_single(image: Tensor) -> Tensor:
    """Return ``image`` if it is one ``[1,3,H,W]`` of numbers: a score of a batch would be a mixture."""
    if image.ndim != 4 or image.shape[:2] != (1, 3):
        raise InvalidImageError(
            f"A score judges one RGB image [1,3,H,W] at a time, got shape {tuple(image.shape)}: score each alone."
        )
    if not torch.isfinite(image).all():
        raise InvalidImageError("The image contains NaN or infinite values: check the node or file it comes from.")
    return image


def reconstruct(autoencoder: Autoencoder, images: Tensor, passes: Passes) -> Tensor:
    """D(E(images)) clamped to [0,1], without gradient; one encoder and one decoder pass are added to ``passes``."""
    passes.encoder += 1
    passes.decoder += 1
    with torch.no_grad():
        return autoencoder.decode(autoencoder.encode(images)).clamp(0, 1)
