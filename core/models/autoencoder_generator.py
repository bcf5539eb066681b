"""A VAE decoder as a generator: RONAN's case study when started at random, the main job when started at E(x)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InvalidSettingError
from .autoencoder import Autoencoder
from .generator import draw


class AutoencoderGenerator:
    """An :class:`~latent_tracer.core.models.generator.EncodingGenerator` of images of one size, ``height`` × ``width``.

    Inputs are latents ``[C,h,w]`` in the autoencoder's own units, drawn from N(0, spread²): unit variance in the scaled
    latent space that samplers work in. Raises :class:`InvalidSettingError` for sides off the latent grid.
    """

    def __init__(self, autoencoder: Autoencoder, height: int, width: int) -> None:
        ratio = autoencoder.spatial_ratio
        if min(height, width) < ratio or height % ratio or width % ratio:
            raise InvalidSettingError(
                f"The decoder of {autoencoder.name} makes sides that are multiples of {ratio}, not {width}×{height}:"
                " crop the"
                " pictures to its grid."
            )
        self.autoencoder = autoencoder
        self.name = autoencoder.name
        self.image_size = (height, width)
        self.input_shape: tuple[int, ...] = (autoencoder.latent_channels, height // ratio, width // ratio)

    def sample_inputs(self, n: int, seed: int = 0) -> Tensor:
        inputs = draw(n, self.input_shape, "normal", seed) * self.autoencoder.latent_spread
        return inputs.to(self.device, self.dtype)

    def generate(self, inputs: Tensor) -> Tensor:
        return self.autoencoder.decode(inputs)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        return self.autoencoder.encode(images)

    @property
    def prior(self) -> str:
        return "N(0,spread)"

    @property
    def fingerprint(self) -> str:
        return self.autoencoder.fingerprint

    @property
    def device(self) -> torch.device:
        return self.autoencoder.device

    @property
    def dtype(self) -> torch.dtype:
        return self.autoencoder.dtype
