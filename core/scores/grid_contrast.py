"""Our default score: is the picture explained better on the decoder's latent grid than half a cell beside it?

A decoder writes every latent cell at the same place of an 8×8 patch of pixels. A picture it made is therefore
reconstructed better as it lies than after a shift by half a cell. Any other picture, easy or hard, smooth or textured,
photographed or from another decoder, is reconstructed equally well either way: each picture is its own control, and
the score of what does not belong lies near zero whatever the picture and whatever the decoder.

A cascade: one look beside the grid costs what AEDR costs and decides most pictures; only those between two bounds get
two looks more, and then the mean counts. Profiles are made of whole scores, so their rates are those of one test.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..images.jpeg import jpeg_quality
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from .decoder_grid import grid_of
from .protocol import FirstReconstruction, Rough, Scored, Setting, check_single
from .residuals import compared_pixels, energies_of, grid_contrast, reconstructed_crop
from .spectral import band_energies
from .windows import windows_of

# One look decides outside these bounds. On five decoders 360 pictures of 192² that do not belong, and were never JPEG
# files, had first looks down to -0.112, as many out of JPEG 30 down to -0.155: its blocks begin where a look down and
# across is most mistaken (benchmarks/results: first-looks.md, constants.md).
CLEARLY_BELONGING, CLEARLY_BELONGING_JPEG, CLEARLY_NOT = -0.12, -0.18, -0.03
# How far a look in bfloat16 may be off before it could have fallen on the other side of a bound (99 of 100 pictures
# lie within, benchmarks/results/precision.md; the profile's distance allows for the others).
ROUGHNESS = 0.02

__all__ = ["GridContrast", "Looks", "grid_contrast"]


class GridContrast:
    """Mean of log(energy of the residual on the grid / half a period beside it) over 8×8 blocks and frequency bands.

    All reconstructions see crops of equal size, and are compared on the pixels that lie about equally far from their
    borders. Of large pictures, or with ``window`` (pixels), the blocks are those of some windows.
    """

    name = "grid-contrast"
    needs_grid = True

    def __init__(
        self,
        *,
        clearly_belonging: float = CLEARLY_BELONGING,
        clearly_belonging_jpeg: float = CLEARLY_BELONGING_JPEG,
        clearly_not: float = CLEARLY_NOT,
    ) -> None:
        self.clearly_belonging, self.clearly_belonging_jpeg = clearly_belonging, clearly_belonging_jpeg
        self.clearly_not = clearly_not
        self.settings: dict[str, Setting] = {
            "clearly_belonging": clearly_belonging,
            "clearly_belonging_jpeg": clearly_belonging_jpeg,
            "clearly_not": clearly_not,
        }

    def __call__(self, autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> Scored:
        looks = Looks(autoencoder, image, window=window)
        first = looks.first()
        if first <= self.belonging_bound(image, first) or first >= self.clearly_not:
            return looks.scored(first, "one look")
        return looks.scored(looks.mean_of_three(first), "three looks")

    def rough(self, autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> Rough:
        """The score of ``image`` ``[1,3,H,W]`` in bfloat16; near the bounds both values count, either may be exact."""
        looks = Looks(autoencoder, image, low_precision=True, window=window)
        first = looks.first()
        bound = self.belonging_bound(image, first - ROUGHNESS)
        if first <= bound - ROUGHNESS or first >= self.clearly_not + ROUGHNESS:
            return Rough(looks.scored(first, "one look in bfloat16"), (first,))
        mean = looks.mean_of_three(first)
        scored = looks.scored(mean, "three looks in bfloat16")
        between = bound + ROUGHNESS < first < self.clearly_not - ROUGHNESS
        return Rough(scored, (mean,) if between else (first, mean))

    def belonging_bound(self, image: Tensor, first: float) -> float:
        """The value up to which one look is enough for ``image`` ``[1,3,H,W]``.

        Its ``first`` look may make it needless to ask for its past.
        """
        if first > self.clearly_belonging or first <= self.clearly_belonging_jpeg:
            return self.clearly_belonging
        return self.clearly_belonging if jpeg_quality(image) is None else self.clearly_belonging_jpeg


class Looks:
    """The residual on the grid of one ``image`` ``[1,3,H,W]``, and contrasts to those beside it, with their passes.

    ``slack``: what JPEG may have moved, see :func:`.spectral.band_energies`. ``window``: see :func:`windows_of`.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        image: Tensor,
        low_precision: bool = False,
        slack: Tensor | None = None,
        window: int | None = None,
    ) -> None:
        self.autoencoder = autoencoder
        self.low_precision = low_precision
        self.slack = slack
        self.image = check_single(image)
        self.grid = grid_of(autoencoder)
        self.ratio = autoencoder.spatial_ratio
        self.windows = windows_of(self.image, self.ratio, window)
        self.passes = Passes()
        self.shown: FirstReconstruction | None = None
        self.on_grid = self._energies(0, 0)
        parts = [compared_pixels(window.cut(self.image), self.ratio) for window in self.windows]
        self.picture = torch.cat([_flat(band_energies(part)) for part in parts]).to(self.on_grid)

    def first(self) -> float:
        """The contrast half a period down and across."""
        half = self.grid.period // 2
        return grid_contrast(self.on_grid, self._energies(half, half), self.picture)

    def mean_of_three(self, first: float) -> float:
        """The mean of the ``first`` look, one down and one across."""
        half = self.grid.period // 2
        beside = (self._energies(half, 0), self._energies(0, half))
        return (first + sum(grid_contrast(self.on_grid, energies, self.picture) for energies in beside)) / 3

    def scored(self, value: float, how: str) -> Scored:
        """The result, with what was looked at."""
        whole = len(self.windows) == 1 and self.windows[0].cut(self.image).shape == self.image.shape
        where = "" if whole else f" at {len(self.windows)} windows of {self.windows[0].width}×{self.windows[0].height}"
        return Scored(value, self.passes, f"grid contrast, {how}{where}", shown=self.shown)

    def _energies(self, down: int, across: int) -> Tensor:
        """Band energies ``[N,9]`` of all compared blocks, ``down`` and ``across`` pixels beside the grid."""
        offset = ((self.grid.phase + down) % self.grid.period, (self.grid.phase + across) % self.grid.period)
        found = []
        for window in self.windows:
            part = window.cut(self.image).to(self.autoencoder.device, self.autoencoder.dtype)
            crop, made = reconstructed_crop(self.autoencoder, part, offset, self.passes, self.low_precision)
            if self.shown is None:
                top, left = window.top + offset[0], window.left + offset[1]
                self.shown = FirstReconstruction(crop.float().cpu(), made.float().cpu(), top, left)
            found.append(_flat(energies_of(crop - made, offset, self.ratio, self.slack)[None]))
        return torch.cat(found)


def _flat(energies: Tensor) -> Tensor:
    """``[1,h,w,9]`` as ``[h·w,9]``."""
    return energies[0].flatten(0, 1)
