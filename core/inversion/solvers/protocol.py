"""What every solver offers, and the bookkeeping they share: best point, history, stopping rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from ..objective import Evaluation, Objective

EXACT = "bit for bit"
FLOOR = "8-bit floor"
# Evaluations over which progress is measured: quasi-Newton searches pause for several before they go on.
PATIENCE = 10


class Solver(Protocol):
    """Minimises an :class:`Objective` from a start. Deterministic; one image at a time.

    Images are solved one after another, never as a batch: convolution kernels differ by batch size in the last bits,
    and a gradient method would amplify that until an image's result depended on its neighbours. It also bounds memory.
    """

    name: str
    steps: int

    def __init__(self, *, steps: int = ...) -> None: ...

    def minimise(self, objective: Objective, start: Tensor, spread: float, search: Search) -> None:
        """Search from ``start`` ``[1,C,h,w]``; report every evaluation to ``search``, return when done.

        ``spread`` is the latent's standard deviation, the unit of every step. May raise :class:`Stopped` through
        ``search``; the result is what ``search`` recorded.
        """


class Stopped(Exception):  # noqa: N818  a signal, not an error
    """Raised inside a solver by a stopping rule, whose name :class:`Search` then carries."""


@dataclass
class Search:
    """The record of one image's inversion.

    ``loss_target`` ends it once the loss is that low, ``least_progress`` once the last ten evaluations lowered the best
    loss by less than that share of it; ``decided`` ends it once it returns true for the current best, ``is_exact`` once
    it says that every stored pixel is reproduced. ``on_step`` sees each evaluation and cancels by raising.
    """

    steps: int
    loss_target: float = 0.0
    least_progress: float = 0.0
    decided: Callable[[Evaluation], bool] | None = None
    is_exact: Callable[[Evaluation], bool] | None = None
    on_step: Callable[[int, Evaluation], None] | None = None
    history: list[float] = field(default_factory=list)
    stopped_by: str = "steps"
    shown: int = 0
    _best: Evaluation | None = None

    @property
    def best(self) -> Evaluation:
        assert self._best is not None, "no evaluation was recorded"
        return self._best

    def settle(self, evaluation: Evaluation) -> None:
        """Make ``evaluation`` the result, for another reason than its loss."""
        self._best = Evaluation(evaluation.latents, evaluation.loss, evaluation.decoded, None)

    def progress(self, evaluation: Evaluation) -> None:
        """Show an evaluation that must not count, such as one in low precision; a cancel passes through."""
        self.shown += 1
        if self.on_step is not None:
            self.on_step(self.shown, evaluation)

    def record(self, evaluation: Evaluation, certifying: bool = False) -> None:
        """Note one evaluation; raises :class:`Stopped` when a rule says so. A NaN is never the best.

        ``certifying``: at the floor, where another aim than the loss is sought. ``is_exact`` is asked even if the loss
        did not improve, an exact evaluation is then the best, and a loss that stays where it is ends nothing.
        """
        self.history.append(evaluation.loss)
        improved = self._best is None or math.isnan(self._best.loss) or evaluation.loss < self._best.loss
        if certifying and not improved:
            improved = self.is_exact is not None and self.is_exact(evaluation)
        if improved:
            self._best = Evaluation(evaluation.latents, evaluation.loss, evaluation.decoded, None)
        self.progress(evaluation)
        if self.best.loss <= self.loss_target:
            self.stopped_by = "loss target"
            raise Stopped
        if improved and self.is_exact is not None and self.is_exact(self.best):
            self.stopped_by = EXACT
            raise Stopped
        if self.least_progress > 0 and len(self.history) > PATIENCE and not certifying:
            before = min((loss for loss in self.history[:-PATIENCE] if not math.isnan(loss)), default=math.inf)
            if before - self.best.loss < self.least_progress * before:
                self.stopped_by = "no progress"
                raise Stopped
        if improved and self.decided is not None and self.decided(self.best):
            self.stopped_by = "verdict decided"
            raise Stopped
