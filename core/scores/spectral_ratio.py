"""Our cheap score: a double reconstruction compared band by band instead of as one mean square.

Costs exactly what AEDR costs. The first reconstruction is stored as 8 bit before it is encoded again, so that picture
and control carry the same rounding noise.
"""

from __future__ import annotations

from torch import Tensor

from ..errors import InvalidImageError
from ..images.quantiser import quantise
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from .protocol import Scored, Setting, check_single, reconstruct
from .spectral import band_energies, band_weights, spectral_log_ratio

# Of 5.5 that all bands weigh together. A picture of one colour has 0, what a decoder makes of one about 0.3, a
# photograph 4. Below this the ratio is one of rounding errors, and near the one of belonging images by construction
# (benchmarks/results/constants.md).
LEAST_EVIDENCE = 0.1


class SpectralRatio:
    """Weighted mean of log(energy of x - x1 / energy of x1 - x2) over 8×8 blocks and frequency bands."""

    name = "spectral-ratio"
    needs_grid = False

    def __init__(self) -> None:
        self.settings: dict[str, Setting] = {}

    def __call__(self, autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> Scored:
        passes = Passes()
        image = check_single(image).to(autoencoder.device, autoencoder.dtype)
        first = reconstruct(autoencoder, image, passes)
        control = quantise(first)
        second = reconstruct(autoencoder, control, passes)
        against, picture = band_energies(control - second), band_energies(image)
        if float(band_weights(against, picture).sum()) < LEAST_EVIDENCE:
            raise InvalidImageError(
                "The image is flat, nothing in it could tell one decoder from another: trace one with more detail."
            )
        value = spectral_log_ratio(band_energies(image - first), against, picture)
        return Scored(float(value[0]), passes, "double reconstruction")
