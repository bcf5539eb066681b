"""LatentTracer (ICML 2024): the reconstruction loss that remains after latent inversion."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..autoencoder import Autoencoder
from ..inversion import Step, invert
from ..quantiser import Quantiser
from ..solvers import make_solver
from .protocol import Scored, Setting, check_single


class InversionLoss:
    """min_z MSE(D(z), x) from E(x), by the paper's own loop unless another solver is named."""

    name = "inversion"

    def __init__(self, *, solver: str = "adam-paper", steps: int = 100) -> None:
        self.solver = make_solver(solver, steps)
        self.settings: dict[str, Setting] = {"solver": solver, "steps": steps}

    def __call__(
        self,
        autoencoder: Autoencoder,
        image: Tensor,
        quantiser: Quantiser = "auto",
        on_step: Callable[[Step], None] | None = None,
    ) -> Scored:
        image = check_single(image)
        inversion = invert(autoencoder, image, solver=self.solver, quantiser=quantiser, on_step=on_step)
        return Scored(float(inversion.loss[0]), inversion.passes[0], "inversion", inversion)
