"""The regenerated control: could this picture show a trace at all? (The idea of AEDR, AAAI 2026, asked of one score.)

The picture is passed through the decoder, given the noise of the picture, which may have come after a decoder, and
stored as it is stored, so that it now certainly belongs. If even that is not recognised, as of empty, smooth and grainy
pictures, then that the picture shows no trace says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..images.conditions import stored_as_jpeg
from ..images.noise import noise_covariance, positive_part, with_noise
from ..images.part import Part
from ..images.quantiser import quantise
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from .contrast_map import Windowed
from .placement import resampled
from .protocol import Score, reconstruct
from .spectral import LUMA_BANDS, ROUNDING_ENERGY, band_energies
from .windows import windows_of

# Of a large picture the windows with most detail: to tell whether it can be recognised takes less than a score.
CONTROL_WINDOWS = 2


@dataclass(frozen=True)
class Control:
    """``value``: the score of the decoder's own version of a picture, with the ``noise`` of the picture that it lacked
    (a deviation, in [0,1]); ``smoother``: natural logarithm of that version's energy in the finest luma, without that
    noise, over the picture's; ``passes``: what it took."""

    value: float
    noise: float
    smoother: float
    passes: Passes


def regenerated_control(
    score: Score, autoencoder: Autoencoder, image: Tensor, jpeg_quality: int | None = None, window: int | None = None
) -> Control:
    """``score`` of the decoder's own version of ``image`` ``[1,3,H,W]``, given as much noise, stored as 8 bit and as a
    JPEG file of ``jpeg_quality`` where the picture was one.

    Of a large picture two windows are passed through the decoder one by one and laid side by side. Raises as the score.
    """
    passes = Passes()
    parts = [one.cut(image) for one in windows_of(image, autoencoder.spatial_ratio, window)[:CONTROL_WINDOWS]]
    pixels = torch.cat(parts, dim=-1).float().cpu()
    version = torch.cat(
        [
            reconstruct(autoencoder, part.to(autoencoder.device, autoencoder.dtype), passes).float().cpu()
            for part in parts
        ],
        dim=-1,
    )

    def stored(made: Tensor) -> Tensor:
        return quantise(made) if jpeg_quality is None else stored_as_jpeg(quantise(made), jpeg_quality)

    covariance = positive_part(noise_covariance(pixels) - noise_covariance(version))
    scored = score(autoencoder, stored(with_noise(version, covariance)), window)
    own, here = (_finest(one) + ROUNDING_ENERGY for one in (stored(version), pixels))
    noise = math.sqrt(float(covariance.diagonal().mean()))
    return Control(scored.value, noise, math.log(own / here), passes + scored.passes)


def _finest(image: Tensor) -> float:
    """Mean energy in the finest band of luma."""
    return float(band_energies(image)[..., len(LUMA_BANDS) - 1].mean())


def delivered_version(
    autoencoder: Autoencoder,
    placed: Windowed,
    scale: float,
    jpeg_quality: int | None,
    passes: Passes,
) -> Windowed:
    """The decoder's own version of a picture ``placed`` as it was made, after a delivery like that picture's, placed
    again: resized by ``scale``, stored as 8 bit, or as a JPEG file of ``jpeg_quality``, and resized back.

    Of no more than :data:`CONTROL_WINDOWS` windows, each made and delivered alone when it is cut; ``passes`` counts.
    """

    def version(part: Part) -> Tensor:
        pixels = placed.cut(part).to(autoencoder.device, autoencoder.dtype)
        made = quantise(reconstruct(autoencoder, pixels, passes).float().cpu())
        sides = (made.shape[-2], made.shape[-1])
        small = (round(sides[0] * scale), round(sides[1] * scale))
        delivered = made if scale == 1 else quantise(resampled(made, small, (0, 0), small))
        if jpeg_quality is not None:
            delivered = stored_as_jpeg(delivered, jpeg_quality)
        return delivered if scale == 1 else resampled(delivered, sides, (0, 0), sides)

    return Windowed(placed.windows[:CONTROL_WINDOWS], version)
