"""The function that latent inversion minimises: the reconstruction loss of one image as a function of its latent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..images.quantiser import (
    LEVELS,
    ROUNDING_FLOOR,
    Quantiser,
    beyond_interval,
    is_eight_bit,
    mean_squared_residual,
    quantise,
    swallowed,
)
from ..models.autoencoder import Autoencoder
from .precision import channels_last, low_precision_convolutions

# Stored values differ by whole levels; less is the rounding of floats.
HALF_LEVEL = 0.5 / LEVELS


@dataclass
class Passes:
    """How often the networks ran for one image: the cost that does not depend on the machine."""

    encoder: int = 0
    decoder: int = 0
    backward: int = 0

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.encoder + other.encoder, self.decoder + other.decoder, self.backward + other.backward)


@dataclass(frozen=True)
class Evaluation:
    """One evaluation at ``latents`` ``[1,C,h,w]``."""

    latents: Tensor
    loss: float
    decoded: Tensor  # [1,3,H,W], unclamped, detached
    gradient: Tensor | None  # like latents, where asked for


class Objective:
    """Mean squared residual of D(z) to one image ``[1,3,H,W]`` under a quantiser model, with pass counts.

    With ``quantiser="auto"`` the smaller loss of the storage models that fit the image counts (``round`` and ``floor``
    for 8-bit values, ``none`` for values that were never stored), decided anew at every evaluation: far from the
    solution they barely differ, at the solution the right one wins.
    """

    def __init__(self, autoencoder: Autoencoder, image: Tensor, quantiser: Quantiser = "auto") -> None:
        self.autoencoder = autoencoder
        self.image = image.to(autoencoder.device, autoencoder.dtype)
        self.candidates: tuple[Quantiser, ...] = (quantiser,)
        eight_bit = bool(is_eight_bit(image)[0])
        if quantiser == "auto":
            self.candidates = ("round", "floor") if eight_bit else ("none",)
        #: Whether the image is one of 8 bit, so that there are stored values to reproduce.
        self.is_stored = eight_bit and "none" not in self.candidates
        self.passes = Passes()

    def encode(self, images: Tensor) -> Tensor:
        """Latents ``[B,C,h,w]`` of ``images`` ``[B,3,H,W]``: an encoder pass without gradient, counted."""
        self.passes.encoder += 1
        with torch.no_grad():
            return self.autoencoder.encode(images)

    def loss(self, decoded: Tensor) -> Tensor:
        """Scalar ``[]``: loss of a decoded image ``[1,3,H,W]``, unclamped; differentiable."""
        losses = [mean_squared_residual(decoded, self.image, quantiser)[0] for quantiser in self.candidates]
        return torch.stack(losses).min()

    def quantiser(self, decoded: Tensor) -> Quantiser:
        """The storage model that explains the image best, given a reconstruction ``[1,3,H,W]``, unclamped."""
        return min(self.candidates, key=lambda q: float(mean_squared_residual(decoded, self.image, q)))

    def reproduced(self, decoded: Tensor) -> int:
        """How many values of the image ``decoded`` ``[1,3,H,W]`` becomes once stored as 8 bit; 0 for other images."""
        stored = self.candidates if self.is_stored else ()
        return max((int(((quantise(decoded, q) - self.image).abs() < HALF_LEVEL).sum()) for q in stored), default=0)

    def floor(self, decoded: Tensor) -> float:
        """The loss that rounding alone leaves at ``decoded`` ``[1,3,H,W]``: values stored as 0 or 255 of which it lies
        beyond add nothing to a loss."""
        return ROUNDING_FLOOR * (1 - float(swallowed(decoded, self.image).float().mean()))

    def is_exact(self, decoded: Tensor) -> bool:
        """Whether ``decoded`` ``[1,3,H,W]``, stored as 8 bit, is this very image: proof that needs no calibration."""
        return self.reproduced(decoded) == self.image.numel()

    def evaluate_intervals(self, latents: Tensor, half_width: float) -> tuple[Evaluation, Evaluation]:
        """How far D(``latents``) lies outside the intervals that were stored; then the plain loss there, no gradient.

        The first has loss and gradient of the mean cube of :func:`beyond_interval`, on the scale of the plain loss.
        """
        self.passes.decoder += 1
        self.passes.backward += 1
        latents = latents.detach()
        with torch.enable_grad():
            variable = latents.clone().requires_grad_()
            decoded = self.autoencoder.decode(variable)
            missed = beyond_interval(decoded, self.image, self.quantiser(decoded.detach()), half_width)
            outside = missed.abs().pow(3).mean() / LEVELS**2
            (gradient,) = torch.autograd.grad(outside, variable)
        decoded = decoded.detach()
        plain = Evaluation(latents, float(self.loss(decoded)), decoded, None)
        return Evaluation(latents, float(outside.detach()), decoded, gradient), plain

    def evaluate(self, latents: Tensor, with_gradient: bool = True, low_precision: bool = False) -> Evaluation:
        """Decode ``latents`` ``[1,C,h,w]`` and return loss and, if asked, its gradient.

        ``low_precision`` runs the decoder under bfloat16 autocast: several times faster on processors with bfloat16
        matrix units, and too coarse (about one 8-bit level) for the loss to mean anything near the solution.
        """
        self.passes.decoder += 1
        latents = latents.detach()
        if not with_gradient:
            with torch.no_grad():
                decoded = self.autoencoder.decode(latents)
                return Evaluation(latents, float(self.loss(decoded)), decoded, None)
        self.passes.backward += 1
        with torch.enable_grad():
            variable = latents.clone().requires_grad_()
            decoded = self._decode(variable, low_precision)
            loss = self.loss(decoded.to(variable.dtype))
            (gradient,) = torch.autograd.grad(loss, variable)
        return Evaluation(latents, float(loss.detach()), decoded.detach().to(latents.dtype), gradient)

    def _decode(self, latents: Tensor, low_precision: bool) -> Tensor:
        if not low_precision:
            return self.autoencoder.decode(latents)
        with low_precision_convolutions(latents.device):
            return self.autoencoder.decode(channels_last(latents))

    def pull_back(self, latents: Tensor, cotangents: Sequence[Tensor], low_precision: bool = False) -> list[Tensor]:
        """J'w for each w ``[1,3,H,W]`` of ``cotangents``, J the decoder's Jacobian there; each ``[1,C,h,w]``."""
        self.passes.decoder += 1
        self.passes.backward += len(cotangents)
        with torch.enable_grad():
            variable = latents.detach().clone().requires_grad_()
            decoded = self._decode(variable, low_precision)
            last = len(cotangents) - 1
            return [
                torch.autograd.grad(decoded, variable, w.to(decoded), retain_graph=k < last)[0]
                for k, w in enumerate(cotangents)
            ]
