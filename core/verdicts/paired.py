"""Which of two decoders of one family explains a picture better: their contrasts, block by block on the same pixels.

Fine-tuned decoders share their latents, so each recognises much of what the other made, and scores under two
calibrations are not comparable. On the same blocks the picture's difficulty cancels. Each residual is held against the
same decoder's own beside its grid, so that one which is better at everything gains little by it; the rest is allowed
for by a margin (:func:`.attribution.decide`). The test is ours, no paper's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor

from ..scores.contrast_map import ContrastMap

# 8×8 blocks along each side of a group: neighbours see the same latent cells, groups of 32 pixels hardly do.
GROUP = 4
# Of the mean weight of a group; what is flatter has no vote.
LEAST_WEIGHT = 0.25
# Fewer groups decide nothing.
MIN_GROUPS = 8


@dataclass(frozen=True)
class Paired:
    """``difference``: mean contrast under the first decoder minus that under the second over ``groups`` parts of the
    picture; below zero the first explains it better. ``p_value``: two-sided, of Student's t-test on pairs."""

    difference: float
    p_value: float
    groups: int


def paired(first: ContrastMap, second: ContrastMap) -> Paired | None:
    """Compare two decoders by their maps of one picture; ``None`` where grids or windows differ or too little is left
    to compare."""
    if (first.cell, first.grid, len(first.parts)) != (second.cell, second.grid, len(second.parts)):
        return None
    differences: list[Tensor] = []
    weights: list[Tensor] = []
    for (one, weight_of_one), (other, weight_of_other) in zip(first.parts, second.parts, strict=True):
        if not (one.numel() and other.numel()):
            continue
        if one.shape != other.shape:
            return None
        weight = (weight_of_one * weight_of_other).sqrt()
        weights.append(_grouped(weight))
        differences.append(_grouped((one - other) * weight) / weights[-1].clamp_min(1e-12))
    voices = torch.cat(weights) if weights else torch.zeros(0)
    votes = (voices > 0) & (voices > LEAST_WEIGHT * voices.mean())
    if int(votes.sum()) < MIN_GROUPS:
        return None
    values = torch.cat(differences)[votes].double().numpy(force=True)
    p_value = float(stats.ttest_1samp(values, 0.0).pvalue)
    return Paired(float(values.mean()), 1.0 if math.isnan(p_value) else p_value, len(values))


def _grouped(blocks: Tensor) -> Tensor:
    """Sums ``[N]`` of ``blocks`` ``[h,w]`` over groups; what fills none, right and below, is left out."""
    rows, columns = (side // GROUP for side in blocks.shape)
    return blocks[: rows * GROUP, : columns * GROUP].reshape(rows, GROUP, columns, GROUP).sum((1, 3)).flatten()
