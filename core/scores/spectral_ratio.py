"""Our cheap score: a double reconstruction compared band by band instead of as one mean square.

Costs exactly what AEDR costs. The first reconstruction is stored as 8 bit before it is encoded again, so that picture
and control carry the same rounding noise.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..autoencoder import Autoencoder
from ..inversion import Step
from ..objective import Passes
from ..quantiser import Quantiser, quantise
from .protocol import Scored, Setting, reconstruct
from .spectral import band_energies, spectral_log_ratio


class SpectralRatio:
    """Weighted mean of log(energy of x − x1 / energy of x1 − x2) over 8×8 blocks and frequency bands."""

    name = "spectral-ratio"

    def __init__(self) -> None:
        self.settings: dict[str, Setting] = {}

    def __call__(
        self,
        autoencoder: Autoencoder,
        image: Tensor,
        quantiser: Quantiser = "auto",
        on_step: Callable[[Step], None] | None = None,
    ) -> Scored:
        passes = Passes()
        image = image.to(autoencoder.device, autoencoder.dtype)
        first = reconstruct(autoencoder, image, passes)
        control = quantise(first)
        second = reconstruct(autoencoder, control, passes)
        value = spectral_log_ratio(band_energies(image - first), band_energies(control - second), band_energies(image))
        return Scored(float(value[0]), passes, "double reconstruction")
