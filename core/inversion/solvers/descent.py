"""The line search that quasi-Newton solvers share: a step is taken only if the loss falls enough (Armijo)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..objective import Evaluation
from .curvature import Curvature, difference, inner

# Nocedal & Wright, section 3.1; how much a refused step shrinks is swept in benchmarks/results/constants.md.
ARMIJO = 1e-4
SHRINK_STEP = 0.3
SMALLEST_STEP = 0.02


@dataclass
class Descent:
    """Descends from ``current``: :meth:`trial` makes one evaluation, :meth:`advance` takes it or shortens the step."""

    evaluate: Callable[[Tensor], Evaluation]
    curvature: Curvature
    current: Evaluation

    def __post_init__(self) -> None:
        self._direction = self.curvature.direction(self.current.gradient)
        self._step = 1.0

    def trial(self) -> Evaluation:
        """The evaluation of the next trial; not yet taken."""
        return self.evaluate(self.current.latents + self._step * self._direction)

    def advance(self, trial: Evaluation) -> bool:
        """Take ``trial`` if it is good enough, else shorten the step; false where no step is left to try."""
        curvature, current = self.curvature, self.current
        slope = inner(current.gradient, self._direction)
        if math.isfinite(trial.loss) and trial.loss <= current.loss + ARMIJO * self._step * slope:
            curvature.update(trial.latents - current.latents, difference(trial, current))
            self.current, self._step = trial, 1.0
        elif self._step * SHRINK_STEP >= SMALLEST_STEP:
            self._step *= SHRINK_STEP
            return True
        elif curvature.pairs:
            # The model of the curvature misleads: forget it and go down the whitened gradient.
            curvature.pairs.clear()
            self._step = SMALLEST_STEP
        else:
            if self._step < 1e-6:
                return False
            self._step *= SHRINK_STEP
        self._direction = curvature.direction(self.current.gradient)
        return True
