"""Our default score: is the picture explained better on the decoder's latent grid than half a cell beside it?

A decoder writes every latent cell at the same place of an 8×8 patch of pixels. A picture it made is therefore
reconstructed better as it lies than after a shift by half a cell. Any other picture, easy or hard, smooth or textured,
photographed or from another decoder, is reconstructed equally well either way: each picture is its own control, and
the score of what does not belong lies near zero whatever the picture and whatever the decoder.

A cascade: one look beside the grid costs what AEDR costs and decides most pictures; only those between two bounds get
two looks more, and then the mean counts. Profiles are made of whole scores, so their rates are those of one test.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..autoencoder import Autoencoder
from ..errors import InvalidImageError
from ..inversion import Step
from ..objective import Passes
from ..quantiser import Quantiser
from .protocol import Rough, Scored, Setting, check_single, reconstruct
from .spectral import BAND_WEIGHTS, BLOCK, ROUNDING_ENERGY, band_energies

# One look decides outside these bounds. On five decoders pictures that do not belong had scores of 0 ± 0.03.
CLEARLY_BELONGING = -0.25
CLEARLY_NOT = -0.03
# How far a look in bfloat16 may be off before it could have fallen on the other side of a bound (measured: 0.02).
ROUGHNESS = 0.02
# A block is trusted by how far its residual rises above this many times the rounding noise, and never for more than
# this much: one patch that happens to fit well must not carry the picture.
NOISE_LEVELS = 10
LARGEST_LOG_RATIO = 1.0
# Mean weight of blocks and bands below which a picture holds too little to compare: one colour has 0, photographs 0.16
# and more.
LEAST_EVIDENCE = 0.05


class GridContrast:
    """Mean of log(energy of the residual on the grid / half a cell beside it) over 8×8 blocks and frequency bands.

    All reconstructions see crops of equal size, and are compared on the pixels that lie about equally far from their
    borders.
    """

    name = "grid-contrast"

    def __init__(self, *, clearly_belonging: float = CLEARLY_BELONGING, clearly_not: float = CLEARLY_NOT) -> None:
        self.bounds = (clearly_belonging, clearly_not)
        self.settings: dict[str, Setting] = {"clearly_belonging": clearly_belonging, "clearly_not": clearly_not}

    def __call__(
        self,
        autoencoder: Autoencoder,
        image: Tensor,
        quantiser: Quantiser = "auto",
        on_step: Callable[[Step], None] | None = None,
    ) -> Scored:
        looks = Looks(autoencoder, image)
        first = looks.first()
        if first <= self.bounds[0] or first >= self.bounds[1]:
            return Scored(first, looks.passes, "grid contrast, one look")
        return Scored(looks.mean_of_three(first), looks.passes, "grid contrast, three looks")

    def rough(self, autoencoder: Autoencoder, image: Tensor) -> Rough:
        """The score in bfloat16. Near the bounds both values count, for the exact score may be either."""
        looks = Looks(autoencoder, image, low_precision=True)
        first = looks.first()
        if first <= self.bounds[0] - ROUGHNESS or first >= self.bounds[1] + ROUGHNESS:
            return Rough(Scored(first, looks.passes, "grid contrast, one look in bfloat16"), (first,))
        mean = looks.mean_of_three(first)
        scored = Scored(mean, looks.passes, "grid contrast, three looks in bfloat16")
        between = self.bounds[0] + ROUGHNESS < first < self.bounds[1] - ROUGHNESS
        return Rough(scored, (mean,) if between else (first, mean))


class Looks:
    """The residual on the grid of one ``image`` ``[1,3,H,W]``, and contrasts to those beside it, with their passes."""

    def __init__(
        self, autoencoder: Autoencoder, image: Tensor, low_precision: bool = False, slack: Tensor | None = None
    ) -> None:
        self.autoencoder = autoencoder
        self.low_precision = low_precision
        self.slack = slack
        self.image = check_single(image).to(autoencoder.device, autoencoder.dtype)
        self.passes = Passes()
        self.on_grid = self._energies(0, 0)
        self.picture = band_energies(compared_pixels(self.image, autoencoder.spatial_ratio))[0]

    def first(self) -> float:
        """The contrast half a cell down and across."""
        half = self.autoencoder.spatial_ratio // 2
        return grid_contrast(self.on_grid, self._energies(half, half), self.picture)

    def mean_of_three(self, first: float) -> float:
        """The mean of the ``first`` look, one down and one across."""
        half = self.autoencoder.spatial_ratio // 2
        beside = (self._energies(half, 0), self._energies(0, half))
        return (first + sum(grid_contrast(self.on_grid, energies, self.picture) for energies in beside)) / 3

    def _energies(self, rows: int, columns: int) -> Tensor:
        return residual_energies(
            self.autoencoder, self.image, (rows, columns), self.passes, self.low_precision, self.slack
        )


def residual_energies(
    autoencoder: Autoencoder,
    image: Tensor,
    offset: tuple[int, int],
    passes: Passes,
    low_precision: bool = False,
    slack: Tensor | None = None,
) -> Tensor:
    """Band energies ``[h,w,9]`` of x - D(E(x)) with the latent grid's corner at ``offset`` (rows, columns < r).

    Of an image ``[1,3,H,W]`` the same (H-3r)×(W-3r) pixels for every offset, r the spatial ratio. ``slack``: as in
    :func:`band_energies`; the blocks begin r pixels inside the image.
    """
    ratio = autoencoder.spatial_ratio
    height, width = image.shape[-2:]
    if min(height, width) < least_side(ratio):
        raise InvalidImageError(
            f"The image is {width}×{height} pixels: the contrast between grids needs at least {least_side(ratio)} on"
            " each side, use a larger picture."
        )
    top, left = offset
    crop = image[..., top : top + height - ratio, left : left + width - ratio]
    residual = crop - reconstruct(autoencoder, crop, passes, low_precision)
    if not torch.isfinite(residual).all():
        raise InvalidImageError(
            f"{autoencoder.name} reconstructs this image with NaN or infinite values: load the VAE again."
        )
    return band_energies(
        residual[..., ratio - top : height - 2 * ratio - top, ratio - left : width - 2 * ratio - left], slack
    )[0]


def least_side(ratio: int) -> int:
    """Smallest side in pixels that leaves four blocks to compare."""
    return 3 * ratio + 2 * BLOCK


def compared_pixels(image: Tensor, ratio: int) -> Tensor:
    """The part of ``image`` whose residuals are compared: one cell inside the top left, two inside the bottom right."""
    height, width = image.shape[-2:]
    return image[..., ratio : height - 2 * ratio, ratio : width - 2 * ratio]


def grid_contrast(on_grid: Tensor, beside: Tensor, picture: Tensor) -> float:
    """The contrast of two residuals' band energies ``[h,w,9]`` of the same pixels; below zero where the first is less.

    Raises :class:`InvalidImageError` where :func:`block_contrasts` finds nothing to compare.
    """
    contrast, weights = block_contrasts(on_grid, beside, picture)
    return float((contrast * weights).sum() / weights.sum())


def block_contrasts(on_grid: Tensor, beside: Tensor, picture: Tensor) -> tuple[Tensor, Tensor]:
    """Contrast and weight ``[h,w]`` of every 8×8 block, from band energies ``[h,w,9]``.

    A block and band counts by how far both the residuals and the ``picture`` itself rise above rounding noise in it:
    on a flat wall a residual is the decoder's own pattern, which says nothing of the picture's origin.
    Raises :class:`InvalidImageError` where that leaves nothing.
    """
    level = torch.minimum((on_grid + beside) / 2, picture)
    weights = BAND_WEIGHTS.to(level) * level / (level + NOISE_LEVELS * ROUNDING_ENERGY)
    if float(weights.mean()) < LEAST_EVIDENCE:
        raise InvalidImageError(
            "The image is flat, nothing in it could tell one decoder from another: trace one with more detail."
        )
    log_ratio = torch.log((on_grid + 2 * ROUNDING_ENERGY) / (beside + 2 * ROUNDING_ENERGY))
    log_ratio = log_ratio.clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
    total = weights.sum(-1)
    return (log_ratio * weights).sum(-1) / total.clamp_min(1e-12), total
