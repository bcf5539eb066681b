"""Limited-memory BFGS on top of a spectral whitening, in full precision, down to the floor and then to a certificate.

The least loss is not the aim of its own: a latent fits the rounding noise a little, C/(3·r²) of it for C channels per
cell of r by r pixels, and by that moves a few values in a hundred over the border of their interval. So once the loss
is at the floor that storage leaves, the rest of the steps asks each value into its interval: they minimise the mean
cube of what lies outside, a convex problem as far as the decoder is linear there, whose solutions are all latents that
give the picture back bit for bit.
"""

from __future__ import annotations

from torch import Tensor

from ..certificate import why_no_certificate
from ..objective import Evaluation, Objective
from .curvature import Curvature, probes_needed
from .descent import Descent
from .protocol import FLOOR, Search
from .spectral_whitening import SpectralWhitening, spectral_whitening

# In units of what rounding leaves to a latent that fits its noise: closer the search gains no more than noise.
AT_FLOOR = 1.05
# In levels: so little inside the interval that the search comes in, not only near, and there is room for all at once:
# of a linear decoder .48 leaves a value in 5,000 outside for ever.
HALF_WIDTH = 0.495
# The search for a certificate ends when so many steps have not brought in this share of the values outside.
PATIENCE, PROGRESS = 50, 0.2


class SpectralLBFGS:
    """``steps`` evaluations of loss and gradient. One step looks at the start alone.

    One decoder pass more for the whitening, and ``probes`` backward passes; both again at the floor.
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
        whitening = self._whitening(objective, start)
        descent = Descent(objective.evaluate, Curvature(whitening, self.memory, longest=spread), origin)
        noise_left = 1 - start.numel() / objective.image.numel()
        for number in range(1, self.steps):
            if objective.is_stored and search.best.loss <= AT_FLOOR * noise_left * objective.floor(search.best.decoded):
                self._certify(objective, search, spread, self.steps - number)
                return
            trial = descent.trial()
            search.record(trial)
            if not descent.advance(trial):
                search.stopped_by = "no descent left"
                return

    def _whitening(self, objective: Objective, latents: Tensor) -> SpectralWhitening:
        return spectral_whitening(objective, latents, probes_needed(latents, self.probes))

    def _certify(self, objective: Objective, search: Search, spread: float, budget: int) -> None:
        """Ask every stored value into its interval, from the best latent so far, in ``budget`` evaluations.

        The latent that reproduces most of them is the result, at the floor like all that are seen here.
        """
        if why_no_certificate(objective.image, search.best.latents.numel()):
            search.stopped_by = FLOOR
            return
        best, plain = search.best, search.best
        fewest = objective.image.numel() - objective.reproduced(best.decoded)
        seen = [fewest]

        def outside(latents: Tensor) -> Evaluation:
            nonlocal plain
            missed, plain = objective.evaluate_intervals(latents, HALF_WIDTH)
            return missed

        curvature = Curvature(self._whitening(objective, best.latents), self.memory, longest=spread)
        descent = Descent(outside, curvature, outside(best.latents))
        search.record(plain)
        for _ in range(budget - 1):
            trial = descent.trial()
            search.record(plain, certifying=True)
            missing = objective.image.numel() - objective.reproduced(plain.decoded)
            if missing < fewest:
                best, fewest = plain, missing
            seen.append(fewest)
            stuck = len(seen) > PATIENCE and fewest > (1 - PROGRESS) * seen[-1 - PATIENCE]
            if stuck or not descent.advance(trial):
                break
        search.stopped_by = FLOOR
        search.settle(best)
