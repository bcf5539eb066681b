"""The regenerated control: could this picture show a trace at all? (The idea of AEDR, AAAI 2026, asked of one score.)

The picture is passed through the decoder and stored as it is stored, so that it now certainly belongs. If even that is
not recognised, as of empty and smooth pictures, then that the picture shows no trace says nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..images.conditions import stored_as_jpeg
from ..images.part import Part
from ..images.quantiser import quantise
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from .contrast_map import Windowed
from .placement import resampled
from .protocol import Score, Scored, reconstruct
from .windows import windows_of

# Of a large picture the windows with most detail: to tell whether it can be recognised takes less than a score.
CONTROL_WINDOWS = 2


def control_score(
    score: Score, autoencoder: Autoencoder, image: Tensor, jpeg_quality: int | None = None, window: int | None = None
) -> Scored:
    """``score`` of the decoder's own version of ``image`` ``[1,3,H,W]``, stored as 8 bit and as a JPEG file of
    ``jpeg_quality`` where the picture was one.

    Of a large picture two windows are passed through the decoder one by one and laid side by side. Raises as the score.
    """
    passes = Passes()
    parts = [
        reconstruct(autoencoder, one.cut(image).to(autoencoder.device, autoencoder.dtype), passes).float().cpu()
        for one in windows_of(image, autoencoder.spatial_ratio, window)[:CONTROL_WINDOWS]
    ]
    made = quantise(torch.cat(parts, dim=-1))
    if jpeg_quality is not None:
        made = stored_as_jpeg(made, jpeg_quality)
    scored = score(autoencoder, made, window)
    return Scored(scored.value, passes + scored.passes, f"regenerated control, {scored.stage}")


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
