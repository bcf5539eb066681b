"""How likely does an unmarked picture yield a read-out this good? A bound, no fit.

Given the magnitudes |y_b| of the n coded bits' read-outs, their signs on a picture made without the secret are
independent and uniform (see :mod:`.carrier`). For a fixed codeword c the score S = sum c_b·y_b is then a sum of
independent ±|y_b|, and Chernoff's bound holds for every theta > 0:

    P(S >= s) <= exp(-theta·s) · product cosh(theta·|y_b|)

The best of M codewords reaches s with at most M times that probability. M is 2^(k+8) when a key of k bits is read
blindly, 256·N when N registered keys are compared.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_tail(readouts: Tensor, scores: Tensor) -> Tensor:
    """Logarithm of the bound on P(S >= score) of a picture: ``readouts`` ``[n]``, ``scores`` ``[N]`` -> ``[N]`` <= 0.

    Any theta gives a valid bound, so the best of a fixed set is one.
    """
    magnitudes = readouts.double().abs()
    scale = float(magnitudes.mean())
    if not scale > 0:
        return torch.zeros_like(scores, dtype=torch.float64)
    theta = torch.logspace(-2, 2.5, 91, dtype=torch.float64) / scale
    # log cosh x = x + log1p(exp(-2x)) - log 2, which does not overflow.
    arguments = theta[:, None] * magnitudes[None]
    log_cosh = (arguments + torch.log1p(torch.exp(-2 * arguments)) - math.log(2)).sum(1)
    bounds = log_cosh[None] - theta[None] * scores.double()[:, None]
    return bounds.min(1).values.clamp(max=0)


def union(log_probability: float, trials: float) -> float:
    """Logarithm of the probability that one of ``exp(trials)`` such events happens, at most 0."""
    return min(0.0, log_probability + trials)
