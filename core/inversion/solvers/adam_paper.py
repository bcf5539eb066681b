"""LatentTracer's own loop (ICML 2024, section 4 and its released settings): the reference every solver is held to."""

from __future__ import annotations

import torch
from torch import Tensor

from ..objective import Objective
from .protocol import Search


class AdamPaper:
    """Adam on the unit-variance latent: step 0.05, halved before steps 0, 50, 100, …; 100 steps; smallest loss wins.

    "Unit variance" is where the paper's step lives, so the latent is divided by its spread first: scaled and unscaled
    latents then take the same path.
    """

    name = "adam-paper"

    def __init__(self, *, steps: int = 100) -> None:
        self.steps = steps

    def minimise(self, objective: Objective, start: Tensor, spread: float, search: Search) -> None:
        unit = (start / spread).clone().requires_grad_()
        optimiser = torch.optim.Adam([unit], lr=0.05)
        for step in range(self.steps):
            if step % 50 == 0:
                for group in optimiser.param_groups:
                    group["lr"] /= 2
            evaluation = objective.evaluate(unit.detach() * spread)
            search.record(evaluation)
            assert evaluation.gradient is not None
            unit.grad = evaluation.gradient * spread
            optimiser.step()
