"""LatentTracer (ICML 2024): the reconstruction loss that remains after latent inversion."""

from __future__ import annotations

from torch import Tensor

from ..inversion.latents import invert
from ..inversion.solvers import make_solver
from ..models.autoencoder import Autoencoder
from .protocol import Scored, Setting, check_single


class InversionLoss:
    """min_z MSE(D(z), x) from E(x), by the paper's own loop unless another solver is named."""

    name = "inversion"
    needs_grid = False

    def __init__(self, *, solver: str = "adam-paper", steps: int = 100) -> None:
        self.solver = make_solver(solver, steps)
        self.settings: dict[str, Setting] = {"solver": solver, "steps": steps}

    def __call__(self, autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> Scored:
        image = check_single(image)
        inversion = invert(autoencoder, image, solver=self.solver)
        return Scored(float(inversion.loss[0]), inversion.passes[0], "inversion", inversion)
