"""What every score offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ..errors import InvalidImageError
from ..images.tensors import finite_range, whole_cells
from ..inversion.latents import Inversion
from ..inversion.objective import Passes
from ..inversion.precision import channels_last, low_precision_convolutions
from ..models.autoencoder import Autoencoder

Setting = float | int | str | bool


@dataclass(frozen=True)
class Scored:
    """The score of one image, what it cost, and the stage that decided it; ``inversion`` where one was run, ``shown``
    where a first reconstruction was."""

    value: float
    passes: Passes
    stage: str
    inversion: Inversion | None = None
    shown: FirstReconstruction | None = None


@dataclass(frozen=True)
class FirstReconstruction:
    """What the score's own passes already made: ``original`` ``[1,3,h,w]`` in [0,1], the part of the picture at
    (``top``, ``left``), and its ``reconstruction`` D(E(original)), both float32 on the CPU."""

    original: Tensor
    reconstruction: Tensor
    top: int = 0
    left: int = 0


@dataclass(frozen=True)
class Rough:
    """A score in low precision. The exact one lies near one of ``candidates``: two where it is not known which stage
    would decide it."""

    scored: Scored
    candidates: tuple[float, ...]


@runtime_checkable
class RoughScore(Protocol):
    """A score that can also be had roughly, for much less."""

    def rough(self, autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> Rough:
        """The score of one image ``[1,3,H,W]`` with networks in bfloat16; raises as the exact one does."""


class Score(Protocol):
    """Maps an image to a number that is lower for belonging images. Deterministic; one image at a time."""

    name: str
    #: What the numbers depend on; a profile holds them and refuses others.
    settings: dict[str, Setting]
    #: Whether it compares places on the decoder's grid, which some decoders do not have.
    needs_grid: bool

    def __call__(self, autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> Scored:
        """Score one image ``[1,3,H,W]`` in [0,1] whose sides lie on the latent grid.

        ``window``: look at windows of so many pixels each way, where memory is short; scores that need the whole
        picture pass it over. Raises :class:`InvalidImageError` for a batch, and for an image that holds nothing to
        judge by.
        """


def on_cells(score: Score, images: Tensor, spatial_ratio: int) -> Tensor:
    """``images`` ``[B,3,H,W]`` without what lies beyond the last whole latent cell, right and below; untouched for a
    score that has ``finds_cells``, because a resized picture's cells are not whole pixels.

    Raises :class:`InvalidImageError` for an image smaller than one cell.
    """
    if getattr(score, "finds_cells", False):
        return images
    return whole_cells(images, spatial_ratio)


def check_single(image: Tensor) -> Tensor:
    """Return ``image`` if it is one ``[1,3,H,W]`` of finite numbers, else raise :class:`InvalidImageError`.

    A score of a batch would be a mixture.
    """
    if image.ndim != 4 or image.shape[:2] != (1, 3):
        raise InvalidImageError(
            f"A score judges one RGB image [1,3,H,W] at a time, got shape {tuple(image.shape)}: score each alone."
        )
    if finite_range(image) is None:
        raise InvalidImageError("The image contains NaN or infinite values: check the node or file it comes from.")
    return image


def reconstruct(autoencoder: Autoencoder, images: Tensor, passes: Passes, low_precision: bool = False) -> Tensor:
    """D(E(images)) clamped to [0,1], without gradient; one encoder and one decoder pass are added to ``passes``.

    ``low_precision`` runs both in bfloat16: a fifth of the time where the hardware has matrix units for it, and off by
    about one 8-bit level.
    """
    passes.encoder += 1
    passes.decoder += 1
    with torch.no_grad():
        if not low_precision:
            return autoencoder.decode(autoencoder.encode(images)).clamp(0, 1)
        with low_precision_convolutions(images.device):
            latents = autoencoder.encode(channels_last(images))
            return autoencoder.decode(channels_last(latents)).float().clamp(0, 1)
