"""AEDR (AAAI 2026): the loss of a first reconstruction relative to that of a second one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from .protocol import Scored, Setting, check_single, reconstruct
from .windows import windows_of


class DoubleReconstruction:
    """t = MSE(x1, x) / MSE(x2, x1) with x1 = D(E(x)), x2 = D(E(x1)); times the homogeneity H of x where asked.

    Of large pictures, or with ``window``, both losses are those of windows: see :mod:`.windows`.
    """

    needs_grid = False

    def __init__(self, *, homogeneity: bool = False) -> None:
        self.name = "double-reconstruction-homogeneity" if homogeneity else "double-reconstruction"
        self.settings: dict[str, Setting] = {"homogeneity": homogeneity}

    def __call__(self, autoencoder: Autoencoder, image: Tensor, window: int | None = None) -> Scored:
        passes = Passes()
        losses = torch.zeros(2, dtype=torch.float64)
        for part in windows_of(check_single(image), autoencoder.spatial_ratio, window):
            pixels = part.cut(image).to(autoencoder.device, autoencoder.dtype)
            first = reconstruct(autoencoder, pixels, passes)
            second = reconstruct(autoencoder, first, passes)
            losses += torch.stack([(first - pixels).square().mean(), (second - first).square().mean()]).cpu()
        # A picture that a second pass leaves unchanged to the last bit has no ratio; 1e-12 is far below any real loss.
        ratio = float(losses[0]) / max(float(losses[1]), 1e-12)
        if self.settings["homogeneity"]:
            ratio *= homogeneity(image)
        return Scored(ratio, passes, "double reconstruction")


def homogeneity(image: Tensor, levels: int = 32) -> float:
    """sum p(i,j) / (1 + (i-j)²) of the grey co-occurrence matrix of horizontal neighbours, symmetric and normalised.

    ``image`` is ``[1,3,H,W]`` in [0,1]; the result lies in (0, 1], 1 for a flat picture.
    """
    luma = (image[0].float().cpu() * image.new_tensor([0.299, 0.587, 0.114]).cpu().float()[:, None, None]).sum(0)
    grey = np.clip((luma.numpy() * levels).astype(int), 0, levels - 1)
    left, right = grey[:, :-1].ravel(), grey[:, 1:].ravel()
    counts = np.zeros((levels, levels))
    np.add.at(counts, (left, right), 1)
    counts += counts.T
    rows, columns = np.indices(counts.shape)
    return float((counts / counts.sum() / (1 + (rows - columns) ** 2)).sum())
