"""Levenberg–Marquardt for generators with few inputs: the whole Jacobian, so that a random start suffices.

A GAN has some hundred inputs and thousands of pixels. Its Jacobian J by forward differences costs one batch of d + 1
images, and (J'J + lambda·mean(diag)·I) s = -J'r takes the curvature of all inputs into account at once: a dozen steps
reach the floor of 8-bit storage where Adam's 1500 stop well above it (Nocedal & Wright, Numerical Optimization, 2nd
ed., section 10.3). Far too large for the latents of a VAE: there limited-memory BFGS takes over.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...images.quantiser import Quantiser, residual
from ..objective import Objective
from .protocol import Search

#: Inputs beyond which the Jacobian, that many images, costs more than a limited-memory search.
LARGEST_INPUT = 1024
#: Images per batch of the Jacobian: bounds memory, no result depends on it beyond rounding.
CHUNK = 128
#: In units of the inputs' spread: small against the bends of a network, large against float32's rounding.
DIFFERENCE = 1e-2
#: Those with which benchmarks/results/origin.md was measured.
FIRST_DAMPING, DAMPING_UP, DAMPING_DOWN, SMALLEST_DAMPING = 1e-2, 4.0, 5.0, 1e-6
REFUSALS = 6
#: Relative improvement of one step below which the search has settled: forty such steps would not halve the loss.
SETTLED = 1e-2


class LevenbergMarquardt:
    """At most ``steps`` Jacobians; ends earlier where a step gains less than a hundredth or none is found."""

    name = "levenberg-marquardt"

    def __init__(self, *, steps: int = 40) -> None:
        self.steps = steps

    def minimise(self, objective: Objective, start: Tensor, spread: float, search: Search) -> None:
        current = objective.evaluate(start, with_gradient=False)
        search.record(current)
        damping = FIRST_DAMPING
        for _ in range(self.steps):
            stored = objective.quantiser(current.decoded)
            matrix, vector = self._normal_equations(objective, current.latents, current.decoded, stored, spread)
            scale = float(matrix.diagonal().mean())
            if not math.isfinite(scale) or scale <= 0:
                search.stopped_by = "no gradient left"
                return
            for _ in range(REFUSALS):
                damped = matrix + damping * scale * torch.eye(len(matrix), dtype=matrix.dtype)
                step = -torch.linalg.solve(damped, vector).to(start).view_as(start)
                trial = objective.evaluate(current.latents + step, with_gradient=False)
                search.record(trial)
                if trial.loss < current.loss:
                    break
                damping *= DAMPING_UP
            else:
                search.stopped_by = "no descent left"
                return
            gain = 1 - trial.loss / current.loss
            current, damping = trial, max(damping / DAMPING_DOWN, SMALLEST_DAMPING)
            if gain < SETTLED:
                search.stopped_by = "settled"
                return

    @torch.no_grad()
    def _normal_equations(
        self, objective: Objective, inputs: Tensor, decoded: Tensor, stored: Quantiser, spread: float
    ) -> tuple[Tensor, Tensor]:
        """J'J ``[d,d]`` and J'r ``[d]`` in float64 on the CPU; J ``[pixels,d]`` by forward differences."""
        difference = DIFFERENCE * spread
        here = residual(decoded, objective.image, stored)
        # Where the one-sided residual of a saturated pixel is silent, so is its row.
        silent = (here == 0) & ((objective.image <= 0) | (objective.image >= 1))
        rows = []
        basis = torch.eye(inputs.numel(), device=inputs.device, dtype=inputs.dtype)
        for part in basis.split(CHUNK):
            objective.passes.decoder += len(part)
            moved = objective.autoencoder.decode(inputs + difference * part.view(-1, *inputs.shape[1:]))
            change = (moved - decoded) / difference
            rows.append(change.masked_fill(silent, 0).flatten(1))
        jacobian = torch.cat(rows).cpu().double()  # some devices have no float64
        return jacobian @ jacobian.T, jacobian @ here.flatten().cpu().double()
