"""For strong JPEG: the grid contrast of what JPEG cannot explain, and AEDR's ratio.

JPEG rounds every cosine coefficient of an 8×8 block to a multiple of a step, so the picture it was made from lies
within half a step of the stored one, and nobody knows where. A reconstruction inside that interval therefore explains
the picture as well as any: only what goes beyond counts. Without this, JPEG's own rounding, on a grid of 8 pixels like
the decoder's, drowns the contrast. Which steps they were is read off the pixels (:mod:`..images.jpeg`). Of chroma,
which files store at half the size, nothing is used.

AEDR's ratio (:mod:`.double_reconstruction`) never looks beside the grid, so it errs on other images; on textures it
fails altogether, and must stay the smaller part.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..images.jpeg import jpeg_quality, luminance_steps
from ..images.regularity import JPEG_BLOCK
from ..models.autoencoder import Autoencoder
from .double_reconstruction import DoubleReconstruction
from .grid_contrast import Looks
from .protocol import Scored, Setting, check_single

# Of weights from 0 to 2, tried beside the plain contrast on five decoders and 28 belonging images each out of JPEG 75:
# a larger one helps with easy pictures and loses the brick (altered-192.md and constants.md in benchmarks/results).
RATIO_WEIGHT = 0.1
# Ratios beyond these say no more, and must not carry a picture alone: no row of altered-192 comes near them.
SMALLEST_RATIO, LARGEST_RATIO = 0.01, 100.0
# The half step within which the original may lie, by the definition of rounding.
SLACK_STEPS = 0.5


class ContrastAndRatio:
    """Mean of three grid contrasts beyond JPEG's rounding + 0.1·log t."""

    name = "grid-contrast-and-ratio"
    needs_grid = True

    def __init__(self) -> None:
        self.ratio = DoubleReconstruction()
        self.settings: dict[str, Setting] = {"ratio_weight": RATIO_WEIGHT, "slack_steps": SLACK_STEPS}

    def __call__(self, autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> Scored:
        slack = rounding_slack(image, autoencoder.spatial_ratio)
        looks = Looks(autoencoder, image, slack=slack, window=window)
        contrast = looks.mean_of_three(looks.first())
        ratio = self.ratio(autoencoder, image, window)
        stage = "grid contrast beyond JPEG's rounding, three looks, and double reconstruction"
        return Scored(combined(contrast, ratio.value), looks.passes + ratio.passes, stage, shown=looks.shown)


def rounding_slack(image: Tensor, spatial_ratio: int) -> Tensor | None:
    """By how much JPEG may have moved each coefficient ``[3,8,8]`` of Y, Cb and Cr of ``image`` ``[1,3,H,W]``.

    ``None`` where the picture shows no JPEG, and for a decoder whose cells do not begin where JPEG's blocks do.
    """
    quality = jpeg_quality(check_single(image))
    if quality is None or spatial_ratio % JPEG_BLOCK:
        return None
    luma = SLACK_STEPS * torch.tensor(luminance_steps(quality), dtype=torch.float32) / 255
    unknown = torch.full((2, JPEG_BLOCK, JPEG_BLOCK), math.inf)
    return torch.cat([luma[None], unknown])


def combined(contrast: float, ratio: float) -> float:
    """The score from its parts; NaN where one is NaN."""
    if math.isnan(ratio):
        return ratio
    return contrast + RATIO_WEIGHT * math.log(min(max(ratio, SMALLEST_RATIO), LARGEST_RATIO))
