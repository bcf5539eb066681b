"""One encode and decode: AEROBLADE (CVPR 2024) with the mean squared error in place of LPIPS."""

from __future__ import annotations

from torch import Tensor

from ..inversion.objective import Objective, Passes
from ..models.autoencoder import Autoencoder
from .protocol import Scored, Setting, check_single, reconstruct


class Reconstruction:
    """MSE(D(E(x)), x) under the quantiser model."""

    name = "reconstruction"
    needs_grid = False

    def __init__(self) -> None:
        self.settings: dict[str, Setting] = {}

    def __call__(self, autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> Scored:
        passes = Passes()
        objective = Objective(autoencoder, check_single(image), "auto")
        decoded = reconstruct(autoencoder, objective.image, passes)
        return Scored(float(objective.loss(decoded)), passes, "reconstruction")
