"""How much a fingerprint changed a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InvalidImageError

# The window of Wang et al. (IEEE Trans. Image Process. 13(4), 2004): 11×11, standard deviation 1.5.
WINDOW, DEVIATION = 11, 1.5


@dataclass(frozen=True)
class Change:
    """Marked against unmarked picture: ``psnr`` in dB (infinite if equal), ``ssim`` at most 1."""

    psnr: float
    ssim: float

    def __str__(self) -> str:
        return f"{self.psnr:.1f} dB, SSIM {self.ssim:.4f}"


def measure_change(marked: Tensor, unmarked: Tensor) -> Change:
    """Compare two pictures ``[1,3,H,W]`` in [0,1]; raises :class:`InvalidImageError` unless they have one size."""
    if marked.shape != unmarked.shape or marked.ndim != 4:
        raise InvalidImageError("Only two pictures of the same size can be compared: decode both latents alike.")
    # On the CPU: some devices have no float64.
    marked, unmarked = marked.cpu().double(), unmarked.cpu().double()
    error = float((marked - unmarked).square().mean())
    return Change(-10 * math.log10(error) if error > 0 else math.inf, structural_similarity(marked, unmarked))


def structural_similarity(first: Tensor, second: Tensor) -> float:
    """Mean SSIM of two pictures ``[1,3,H,W]`` in [0,1] of one size: at most 1, which only equal ones have.

    Over channels and all places where the Gaussian window fits (Wang et al. 2004, equation 13).
    """
    size = min(WINDOW, *first.shape[-2:])
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    window = torch.exp(-(offsets**2) / (2 * DEVIATION**2))
    window = window / window.sum()

    def smooth(image: Tensor) -> Tensor:
        flat = image.flatten(0, 1)[:, None]
        return F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))

    a, b = first.cpu().double(), second.cpu().double()
    mean_a, mean_b = smooth(a), smooth(b)
    var_a, var_b = smooth(a * a) - mean_a**2, smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    similarity = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / (
        (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    )
    return float(similarity.mean())
