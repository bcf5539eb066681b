"""Gradient-free decoder inversion (Hong et al., NeurIPS 2024): z <- z - rho·(E(D(z)) - E(x)), no backward pass.

The published step can diverge (it does on several small decoders), so rho is found on the way: it is halved, and
the best latent restored, whenever the loss rises; it recovers slowly. A fast first approach that ends on a plateau.
"""

from __future__ import annotations

from torch import Tensor

from ..objective import Objective
from .protocol import Search


class GradientFree:
    """``steps`` pairs of one decoder and one encoder pass."""

    name = "gradient-free"

    def __init__(self, *, steps: int = 20) -> None:
        self.steps = steps

    def minimise(self, objective: Objective, start: Tensor, spread: float, search: Search) -> None:
        target = objective.encode(objective.image)
        current = objective.evaluate(start, with_gradient=False)
        search.record(current)
        correction = target - objective.encode(current.decoded.clamp(0, 1))
        relaxation = 0.7
        for _ in range(self.steps - 1):
            trial = objective.evaluate(current.latents + relaxation * correction, with_gradient=False)
            search.record(trial)
            if trial.loss < current.loss:
                current = trial
                correction = target - objective.encode(current.decoded.clamp(0, 1))
                relaxation = min(1.0, 1.1 * relaxation)
            elif relaxation > 1e-3:
                relaxation /= 2
            else:
                search.stopped_by = "no descent left"
                return
