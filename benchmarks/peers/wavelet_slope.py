"""The wavelet slope (2026, on LatentTracer's loop): how fast the wavelet detail of a residual falls under inversion.

Thirty steps of Adam from E(x) on the Charbonnier loss of the residual's Daubechies-38 detail; the score is the slope,
over the last ten steps, of -10·log10 of the energy of two detail bands of level 2 and of the approximation of level 3.
Negated, so that it is low for the decoder's own pictures, as all scores here. What its description leaves open, the
learning rate and the constant of the loss, is LatentTracer's and the usual one.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pywt
import torch
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.models.autoencoder import Autoencoder
from torch import Tensor

STEPS, LAST, LEVELS = 30, 10, 3
LEARNING_RATE, CHARBONNIER = 0.1, 1e-3
WAVELET = "db38"


@cache
def filters(length: int) -> tuple[Tensor, Tensor]:
    """Low and high pass of a periodic signal as matrices ``[length / 2, length]``; ``length`` even."""
    wavelet = pywt.Wavelet(WAVELET)
    matrices = []
    for taps in (wavelet.dec_lo, wavelet.dec_hi):
        matrix = np.zeros((length // 2, length))
        for row in range(length // 2):
            # A filter longer than the signal is folded into it.
            np.add.at(matrix[row], (2 * row + len(taps) // 2 - np.arange(len(taps))) % length, taps)
        matrices.append(torch.from_numpy(matrix).float())
    return matrices[0], matrices[1]


def transform(residual: Tensor) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """(LL, LH, HL, HH) of ``[…,H,W]`` at each level, the first the finest; sides are cut to multiples of 8."""
    bands = []
    low = residual[..., : residual.shape[-2] // 8 * 8, : residual.shape[-1] // 8 * 8]
    for _ in range(LEVELS):
        rows, columns = filters(low.shape[-2]), filters(low.shape[-1])
        parts = [row.to(low) @ low @ column.to(low).T for row in rows for column in columns]
        bands.append((parts[0], parts[1], parts[2], parts[3]))
        low = parts[0]
    return bands


def wavelet_slope(autoencoder: Autoencoder, image: Tensor) -> tuple[float, Passes]:
    """Negated slope in decibels a step of ``image`` ``[1,3,H,W]`` in [0,1], whole latent cells, and its passes."""
    image = image.to(autoencoder.device, autoencoder.dtype)
    with torch.no_grad():
        latents = autoencoder.encode(image)
    latents.requires_grad_(True)
    optimiser = torch.optim.Adam([latents], LEARNING_RATE)
    decibels = []
    for _ in range(STEPS):
        bands = transform(autoencoder.decode(latents).float() - image)
        detail = torch.cat([band.flatten() for level in bands for band in level[1:]])
        loss = (detail.square() + CHARBONNIER**2).sqrt().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        watched = (bands[1][1], bands[1][3], bands[2][0])
        decibels.append(float(np.mean([-10 * np.log10(band.square().mean().item() + 1e-20) for band in watched])))
    slope = np.polyfit(np.arange(LAST), decibels[-LAST:], 1)[0]
    return -float(slope), Passes(encoder=1, decoder=STEPS, backward=STEPS)
