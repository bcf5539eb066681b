"""One encode and decode: AEROBLADE (CVPR 2024) with the mean squared error in place of LPIPS."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..autoencoder import Autoencoder
from ..inversion import Step
from ..objective import Objective, Passes
from ..quantiser import Quantiser
from .protocol import Scored, Setting, check_single, reconstruct


class Reconstruction:
    """MSE(D(E(x)), x) under the quantiser model."""

    name = "reconstruction"

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
        objective = Objective(autoencoder, check_single(image), quantiser)
        decoded = reconstruct(autoencoder, objective.image, passes)
        return Scored(float(objective.loss(decoded)), passes, "reconstruction")
