"""For strong JPEG: the grid contrast and AEDR's ratio together.

JPEG has an 8-pixel grid of its own, which blurs the contrast between the decoder's grid and what lies beside it; AEDR's
ratio (:mod:`.double_reconstruction`) never looks beside the grid, so the two err on different images, and their sum on
fewer. The ratio must stay the smaller part: other images have contrasts about zero whatever happened to them, but their
ratio falls with what JPEG takes away, and a picture that never saw JPEG must not pass for one that did.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from ..autoencoder import Autoencoder
from ..inversion import Step
from ..quantiser import Quantiser
from .double_reconstruction import DoubleReconstruction
from .grid_contrast import GridContrast
from .protocol import Scored, Setting

# The largest weight at which, on five decoders, belonging images out of JPEG 75 and 30 are told from others at least as
# well as by the contrast alone when those others are as they were made, too (weights 0 to 0.25 were tried).
RATIO_WEIGHT = 0.05
# Ratios beyond these say no more, and must not carry a picture alone.
SMALLEST_RATIO, LARGEST_RATIO = 0.01, 100.0


class ContrastAndRatio:
    """Grid contrast + 0.05·log t."""

    name = "grid-contrast-and-ratio"

    def __init__(self) -> None:
        self.contrast = GridContrast()
        self.ratio = DoubleReconstruction()
        self.settings: dict[str, Setting] = {"ratio_weight": RATIO_WEIGHT, **self.contrast.settings}

    def __call__(
        self,
        autoencoder: Autoencoder,
        image: Tensor,
        quantiser: Quantiser = "auto",
        on_step: Callable[[Step], None] | None = None,
    ) -> Scored:
        contrast = self.contrast(autoencoder, image, quantiser)
        ratio = self.ratio(autoencoder, image, quantiser)
        stage = f"{contrast.stage}, and double reconstruction"
        return Scored(combined(contrast.value, ratio.value), contrast.passes + ratio.passes, stage)


def combined(contrast: float, ratio: float) -> float:
    """The score from its parts; NaN where one is NaN."""
    if math.isnan(ratio):
        return ratio
    return contrast + RATIO_WEIGHT * math.log(min(max(ratio, SMALLEST_RATIO), LARGEST_RATIO))
