"""For strong JPEG: the grid contrast and AEDR's ratio together.

JPEG has an 8-pixel grid of its own, which blurs the contrast between the decoder's grid and what lies beside it; AEDR's
ratio (:mod:`.double_reconstruction`) never looks beside the grid and suffers otherwise: it says more about the picture
and the decoder. The two err on different images, so their sum errs on fewer than either.
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

# Among images of one kind log t scatters about four times as much as the contrast.
RATIO_WEIGHT = 0.25
# Ratios beyond these say no more, and must not carry a picture alone.
SMALLEST_RATIO, LARGEST_RATIO = 0.01, 100.0


class ContrastAndRatio:
    """Grid contrast + 0.25·log t."""

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
