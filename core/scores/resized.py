"""The grid contrast of a picture that was made smaller: enlarge it back to the decoder's grid, then score it.

A resized picture lies on no latent grid of whole pixels, so every score that encodes it as it lies is blind to it.
Where the factor is known, enlarging by its inverse puts the cells back where the decoder wrote them. What was lost
between stays lost, and the contrast is weaker by half to two thirds; but the residual on the grid still stands out
below that beside it, and what does not belong still lies near zero. The enlarged copy exists inside this score only.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn.functional import interpolate

from ..images.tensors import whole_cells
from ..models.autoencoder import Autoencoder
from .grid_contrast import GridContrast
from .protocol import Rough, Scored, Setting, check_single

# One look is noisier here than on a picture as it was made: a high value alone does not settle it
# (resize-0.75 and resize-0.5 in benchmarks/results/altered-192.md).
CLEARLY_NOT = 0.05


class Resized:
    """The grid contrast after undoing a resize by ``factor`` < 1, counted from the top left corner.

    A decoder with 8-pixel cells makes pictures whose sides, times 0.75 or 0.5, are whole: nothing is lost to rounding.
    """

    finds_cells = True
    needs_grid = True

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.score = GridContrast(clearly_not=CLEARLY_NOT)
        self.name = f"{self.score.name}-resized-{factor:g}"
        self.settings: dict[str, Setting] = {"factor": factor, "filter": "bicubic", **self.score.settings}

    def __call__(self, autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> Scored:
        return self._named(self.score(autoencoder, self._enlarged(autoencoder, image), window))

    def rough(self, autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> Rough:
        """The score of ``image`` ``[1,3,H,W]`` in bfloat16, as that of the grid contrast."""
        rough = self.score.rough(autoencoder, self._enlarged(autoencoder, image), window)
        return Rough(self._named(rough.scored), rough.candidates)

    def _enlarged(self, autoencoder: Autoencoder, image: Tensor) -> Tensor:
        return whole_cells(enlarge(check_single(image), self.factor), autoencoder.spatial_ratio)

    def _named(self, scored: Scored) -> Scored:
        stage = f"{scored.stage}, after enlarging by {1 / self.factor:.4g}"
        return replace(scored, stage=stage)


def enlarge(image: Tensor, factor: float) -> Tensor:
    """``image`` ``[1,3,H,W]`` in [0,1] enlarged by 1/``factor`` with a bicubic filter, clamped to [0,1]."""
    size = [round(side / factor) for side in image.shape[-2:]]
    return interpolate(image, size=size, mode="bicubic", align_corners=False).clamp(0, 1)
