"""The DCGAN-like architecture at 32×32 of which freely licensed face weights exist, built from its weights.

Radford, Metz & Chintala (ICLR 2016), with one stride-1 convolution after the first block:
z [100] -> 256×4×4 -> 128×4×4 -> 64×8×8 -> 32×16×16 -> 3×32×32, tanh.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import Conv2d, ConvTranspose2d

from ..errors import UnsupportedGeneratorError
from .weight_files import StoredTensor, WeightFileError, fill

INPUTS = 100
PREFIX = "generator_deconv."


class DCGAN32(nn.Module):
    """Images ``[n,3,32,32]`` in [-1,1] from inputs ``[n,100]``, drawn from U(-1,1) in training."""

    def __init__(self) -> None:
        super().__init__()
        self.generator_deconv = nn.Sequential(
            # No activation follows the first block: so were the published weights trained.
            nn.Sequential(ConvTranspose2d(INPUTS, 256, 4, bias=False), nn.BatchNorm2d(256)),
            _block(Conv2d(256, 128, 3, padding=1, bias=False)),
            _block(ConvTranspose2d(128, 64, 4, 2, 1, bias=False)),
            _block(ConvTranspose2d(64, 32, 4, 2, 1, bias=False)),
            nn.Sequential(ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh()),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        images: Tensor = self.generator_deconv(inputs[:, :, None, None])
        return images


def _block(convolution: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.LeakyReLU(0.2))


def is_dcgan32(state: Mapping[str, StoredTensor]) -> bool:
    """Does this file hold the weights of :class:`DCGAN32`?"""
    return f"{PREFIX}0.0.weight" in state


def dcgan32_from(state: Mapping[str, StoredTensor], where: str) -> nn.Module:
    """The network with these weights; raises :class:`UnsupportedGeneratorError` where they do not fit."""
    try:
        return fill(DCGAN32, state)
    except WeightFileError as error:
        raise UnsupportedGeneratorError(
            f"{where} looks like a DCGAN of 32×32 pixels but its weights do not fit that architecture: {error}."
        ) from None
