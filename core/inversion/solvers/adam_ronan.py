"""RONAN's own loop (NeurIPS 2023, section 3 and its released settings): Adam from random starts."""

from __future__ import annotations

import torch
from torch import Tensor

from ...images.quantiser import mean_squared_residual
from ..objective import Evaluation, Objective
from .protocol import Search


class AdamRonan:
    """Adam, step 0.1, 1500 steps, on all starts at once; the smallest loss of any start and step wins."""

    name = "adam-ronan"

    def __init__(self, *, steps: int = 1500) -> None:
        self.steps = steps

    def minimise_starts(self, objective: Objective, starts: Tensor, search: Search) -> Tensor:
        """Smallest loss of each of ``starts`` ``[K,C,h,w]``: ``[K]``. Losses are separate, so starts do not mix."""
        inputs = starts.clone().requires_grad_()
        optimiser = torch.optim.Adam([inputs], lr=0.1)
        smallest = torch.full((len(starts),), torch.inf)
        for _ in range(self.steps):
            objective.passes.decoder += len(starts)
            objective.passes.backward += len(starts)
            with torch.enable_grad():
                images = objective.autoencoder.decode(inputs)
                by_storage = [mean_squared_residual(images, objective.image, q) for q in objective.candidates]
                losses = torch.stack(by_storage).min(0).values
                (inputs.grad,) = torch.autograd.grad(losses.sum(), inputs)
            values = losses.detach().cpu()
            smallest = torch.fmin(smallest, values)
            # A NaN counts as the worst: torch's own argmin would choose it.
            best = int(values.nan_to_num(torch.inf).argmin())
            part = slice(best, best + 1)
            search.record(Evaluation(inputs.detach()[part].clone(), float(values[best]), images.detach()[part], None))
            optimiser.step()
        return smallest
