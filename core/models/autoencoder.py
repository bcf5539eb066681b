"""The inspected model: an encoder E and a decoder D that share a latent space."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..errors import UnsupportedAutoencoderError
from ..images.synthetic import synthetic_photograph
from .weight_digest import module_digest


@runtime_checkable
class Autoencoder(Protocol):
    """White-box access to one VAE, all that inversion needs.

    Images are ``[B,3,H,W]`` in [0,1]; latents are ``[B,C,h,w]`` in the autoencoder's own, unscaled units.
    """

    name: str

    def encode(self, images: Tensor) -> Tensor:
        """Posterior mean of ``images`` whose sides are multiples of :attr:`spatial_ratio`."""

    def decode(self, latents: Tensor) -> Tensor:
        """Differentiable decode, *not* clamped to [0,1]."""

    @property
    def spatial_ratio(self) -> int:
        """Pixels per latent cell along one side, measured."""

    @property
    def latent_channels(self) -> int: ...

    @property
    def latent_spread(self) -> float:
        """Standard deviation of the latents of a natural picture, the unit of every step size."""

    @property
    def fingerprint(self) -> str:
        """The digest of the weights, by the name it has in files; see
        :func:`~latent_tracer.core.models.weight_digest.digest_in_order`."""

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...


class ModuleAutoencoder:
    """An :class:`Autoencoder` around a torch module that this object owns.

    ``encode`` and ``decode`` map [0,1] images to latents and back through ``module``. The module is frozen and put in
    evaluation mode, so pass one that nobody trains.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        encode: Callable[[Tensor], Tensor],
        decode: Callable[[Tensor], Tensor],
    ) -> None:
        self.name = name
        self.module = module.eval().requires_grad_(False)
        self._encode = encode
        self._decode = decode

    def encode(self, images: Tensor) -> Tensor:
        return self._encode(images.to(self.device, self.dtype))

    def decode(self, latents: Tensor) -> Tensor:
        return self._decode(latents.to(self.device, self.dtype))

    def to(self, device: torch.device) -> ModuleAutoencoder:
        """This object, its module moved to ``device``; what was measured on another one is forgotten."""
        self.module.to(device)
        for measured in ("device", "_probe", "spatial_ratio"):
            self.__dict__.pop(measured, None)
        return self

    @cached_property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @cached_property
    def dtype(self) -> torch.dtype:
        return next(self.module.parameters()).dtype

    @cached_property
    def fingerprint(self) -> str:
        # Small, as only the order of the layers counts; 64 pixels are one latent cell of the coarsest VAE.
        picture = synthetic_photograph(seed=0, size=64)
        return module_digest(self.module, lambda: self.decode(self.encode(picture)))

    @cached_property
    def _probe(self) -> Tensor:
        """Latents of a fixed synthetic 128² picture: enough to measure ratio, channels and spread."""
        with torch.no_grad():
            return self.encode(synthetic_photograph(seed=0, size=128)).float()

    @cached_property
    def spatial_ratio(self) -> int:
        # By what a few cells decode to: 128 pixels hold as many cells of 15 pixels as of 16.
        some = self._probe[..., :4, :4]
        with torch.no_grad():
            pixels = self.decode(some).shape[-1]
        cells, ratio = self._probe.shape[-1], pixels // some.shape[-1]
        if pixels % some.shape[-1] or ratio < 2 or abs(cells * ratio - 128) >= ratio:
            raise UnsupportedAutoencoderError(
                f"{self.name} maps 128 pixels to {cells} latent cells, and {some.shape[-1]} cells to {pixels} pixels:"
                " it has no latent grid that can be inverted."
            )
        return ratio

    @property
    def latent_channels(self) -> int:
        return self._probe.shape[1]

    @property
    def latent_spread(self) -> float:
        # Root mean square over channels of each channel's own deviation: a channel's constant offset is no spread.
        return self._probe.var(dim=(0, 2, 3)).mean().sqrt().item()
