"""Limited-memory BFGS started from a whitening of the latent channels.

Decoders stretch their latent channels very differently, so the Hessian of the loss, (2/n)·J'J, is badly conditioned
from the first step. For white noise w the mean of J'w(J'w)' is J'J: two backward passes at the start give its average
c×c channel block, whose inverse takes the place of L-BFGS's scaled identity (Nocedal & Wright, Numerical Optimization,
2nd ed., algorithm 7.4, H0 = gamma·P). Trials that the line search refuses still show in the history.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ...errors import is_out_of_memory
from ..objective import Evaluation, Objective
from ..precision import bfloat16_pays
from .curvature import Curvature, channel_whitening, mix_channels, probes_needed
from .descent import Descent
from .protocol import Search

# Low-precision steps between two looks at the exact loss: a stopping rule must not wait for the end.
EXACT_EVERY = 20
# Low precision hands over once its last ten steps won less than this share: nearer to the solution its rounding is
# all that is left to descend.
LOW_PROGRESS, LOW_PATIENCE = 0.2, 10


class WhitenedLBFGS:
    """``steps`` evaluations of loss and gradient; the first ``low_precision_steps`` of them under bfloat16 autocast.
    One step looks at the start alone.

    One decoder pass more for the whitening, one more where low precision hands over, and one every 20 of its steps.

    Low precision only chooses the path: its losses never count, the exact ones every 20 steps do, and the search
    returns to the start if the exact loss turns out higher. It hands over early where it makes no more progress.
    ``None`` takes half of the steps where the processor has bfloat16 matrix units, and none elsewhere: the other half
    wins what the rounding of bfloat16 hides, most where the decoder reproduces an image well.
    """

    name = "lbfgs-whitened"

    def __init__(
        self, *, steps: int = 60, low_precision_steps: int | None = None, memory: int = 20, probes: int = 2
    ) -> None:
        self.steps = steps
        self.low_precision_steps = low_precision_steps
        self.memory = memory
        self.probes = probes

    def minimise(self, objective: Objective, start: Tensor, spread: float, search: Search) -> None:
        origin = objective.evaluate(start, with_gradient=self.steps > 1)
        search.record(origin)
        if self.steps == 1:
            return
        probes = probes_needed(start, self.probes)
        low = self._low_precision_steps(start.device)
        try:
            whitening = channel_whitening(objective, start, probes, low > 0)
        except (RuntimeError, TypeError) as error:
            if low == 0 or is_out_of_memory(error):
                raise
            # An operation that bfloat16 does not have: this decoder runs in full precision alone.
            low, whitening = 0, channel_whitening(objective, start, probes)
        curvature = Curvature(partial(mix_channels, whitening), self.memory, longest=spread)
        current = origin
        if low > 0:
            rough = objective.evaluate(start, low_precision=True)
            before = search.shown
            current = self._descend(objective, rough, curvature, low, search, True)
            low = search.shown - before
            current = objective.evaluate(current.latents)
            search.record(current)
            if not current.loss <= origin.loss:
                current = origin
        self._descend(objective, current, curvature, self.steps - low - (2 if low else 1), search, False)

    def _low_precision_steps(self, device: torch.device) -> int:
        low = self.low_precision_steps
        if low is None:
            low = self.steps // 2 if bfloat16_pays(device) else 0
        return max(0, min(low, self.steps - 2))

    def _descend(
        self, objective: Objective, current: Evaluation, curvature: Curvature, budget: int, search: Search, low: bool
    ) -> Evaluation:
        descent = Descent(partial(objective.evaluate, low_precision=low), curvature, current)
        losses = [current.loss]
        for number in range(budget):
            current = descent.current
            if low and number > LOW_PATIENCE and current.loss > (1 - LOW_PROGRESS) * losses[-LOW_PATIENCE - 1]:
                return current
            losses.append(current.loss)
            if low and number and number % EXACT_EVERY == 0:
                search.record(objective.evaluate(current.latents, with_gradient=False))
            trial = descent.trial()
            if low:
                search.progress(trial)
            else:
                search.record(trial)
            if not descent.advance(trial):
                search.stopped_by = search.stopped_by if low else "no descent left"
                break
        return descent.current
