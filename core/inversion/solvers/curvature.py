"""What a quasi-Newton search knows of the loss: a whitening, and the last steps on top of it.

Nocedal & Wright, Numerical Optimization, 2nd ed., algorithm 7.4, with gamma·P in place of the scaled identity.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from ..objective import Evaluation, Objective

# Added to the channel block, in units of its mean eigenvalue: channels the decoder ignores must not explode
# (benchmarks/results/constants.md).
RIDGE = 0.02


class Curvature:
    """The inverse Hessian that L-BFGS builds from the last ``memory`` steps, on top of ``precondition``.

    That is a symmetric positive definite map of ``[1,C,h,w]``, near the inverse Hessian. No proposed step is longer
    than ``longest`` (root mean square per latent value).
    """

    def __init__(self, precondition: Callable[[Tensor], Tensor], memory: int, longest: float) -> None:
        self.precondition = precondition
        self.longest = longest
        self.scale = 1.0
        self.pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=memory)

    def update(self, moved: Tensor, changed: Tensor) -> None:
        """Learn from a step ``moved`` and the ``changed`` gradient, unless the loss was concave along it."""
        product = inner(moved, changed)
        if product > 1e-11 * math.sqrt(inner(moved, moved) * inner(changed, changed)):
            self.pairs.append((moved, changed, 1 / product))
            self.scale = product / max(inner(changed, self.precondition(changed)), 1e-300)

    def direction(self, gradient: Tensor | None) -> Tensor:
        """The two-loop recursion: minus the inverse Hessian times ``gradient``."""
        assert gradient is not None
        remaining, weights = gradient, []
        for moved, changed, reciprocal in reversed(self.pairs):
            weight = reciprocal * inner(moved, remaining)
            weights.append(weight)
            remaining = remaining - weight * changed
        result = self.scale * self.precondition(remaining)
        for (moved, changed, reciprocal), weight in zip(self.pairs, reversed(weights), strict=True):
            result = result + (weight - reciprocal * inner(changed, result)) * moved
        if inner(result, gradient) <= 0:  # rounding can spoil positive definiteness
            result = self.scale * self.precondition(gradient)
        length = math.sqrt(inner(result, result) / result.numel())
        return -result * min(1.0, self.longest / max(length, 1e-300))


def probes_needed(latents: Tensor, probes: int) -> int:
    """``probes``, or more where small ``latents`` ``[1,C,h,w]`` have too few cells to estimate a block of channels."""
    # A c×c block needs several times c samples.
    return max(probes, math.ceil(4 * latents.shape[1] / (latents.shape[-2] * latents.shape[-1])))


def channel_whitening(objective: Objective, latents: Tensor, probes: int, low_precision: bool = False) -> Tensor:
    """``[C,C]``: inverse of the Hessian's average channel block at ``latents``, from ``probes`` backward passes."""
    # Drawn on the CPU from a fixed seed, so that results do not depend on the device's generator.
    noise = [torch.randn(objective.image.shape, generator=torch.Generator().manual_seed(k)) for k in range(probes)]
    block = torch.zeros(latents.shape[1], latents.shape[1], dtype=torch.float64)
    for pulled in objective.pull_back(latents, noise, low_precision):
        rows = pulled[0].flatten(1).cpu().double()  # some devices have no float64
        block += rows @ rows.T / rows.shape[1] / probes
    mean_eigenvalue = float(block.diagonal().mean())
    if not math.isfinite(mean_eigenvalue) or mean_eigenvalue <= 0:
        return torch.eye(len(block)).to(latents)
    block += RIDGE * mean_eigenvalue * torch.eye(len(block), dtype=torch.float64)
    return (torch.linalg.inv(block) * objective.image.numel() / 2).to(latents)


def mix_channels(matrix: Tensor, latents: Tensor) -> Tensor:
    """``matrix`` ``[C,C]`` times the channels of every cell of ``latents`` ``[1,C,h,w]``."""
    return torch.einsum("ij,bjhw->bihw", matrix, latents)


def inner(first: Tensor | None, second: Tensor | None) -> float:
    """The inner product of two ``[1,C,h,w]``, summed in float64 on the CPU: some devices have none."""
    assert first is not None and second is not None
    return float((first * second).cpu().sum(dtype=torch.float64))


def difference(trial: Evaluation, current: Evaluation) -> Tensor:
    """``[1,C,h,w]``: how the gradient changed from ``current`` to ``trial``."""
    assert trial.gradient is not None and current.gradient is not None
    return trial.gradient - current.gradient
