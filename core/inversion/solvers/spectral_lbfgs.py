"""Limited-memory BFGS on top of a spectral whitening, in full precision from the first step to the last."""

from __future__ import annotations

from torch import Tensor

from ..objective import Objective
from .curvature import Curvature
from .descent import Descent
from .protocol import Search
from .spectral_whitening import probes_needed, spectral_whitening


class SpectralLBFGS:
    """``steps`` evaluations of loss and gradient. One step looks at the start alone.

    One decoder pass more for the whitening, and ``probes`` backward passes.
    """

    name = "lbfgs-spectral"

    def __init__(self, *, steps: int = 60, memory: int = 20, probes: int = 4) -> None:
        self.steps = steps
        self.memory = memory
        self.probes = probes

    def minimise(self, objective: Objective, start: Tensor, spread: float, search: Search) -> None:
        origin = objective.evaluate(start, with_gradient=self.steps > 1)
        search.record(origin)
        if self.steps == 1:
            return
        whitening = spectral_whitening(objective, start, probes_needed(start, self.probes))
        descent = Descent(objective.evaluate, Curvature(whitening, self.memory, longest=spread), origin)
        for _ in range(self.steps - 1):
            trial = descent.trial()
            search.record(trial)
            if not descent.advance(trial):
                search.stopped_by = "no descent left"
                return
