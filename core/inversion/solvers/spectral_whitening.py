"""A preconditioner that knows channels, frequencies and texture: the Hessian's block-circulant model, inverted.

Near the solution the Hessian of the loss is (2/n)·J'J, J the decoder's Jacobian and n the number of stored values.
Decoders are convolutional, so their response to a change of one cell is nearly the same wherever the cell lies, but
for its strength, which follows the picture's texture:

    J'J  =  S·T·S,      S = diag(s), one positive number per cell;   T block-circulant.

The Fourier transform F over the cells makes T block-diagonal, one Hermitian block B(f) of channels by channels per
spatial frequency, T = F'·diag(B(f))·F, so that the inverse Hessian is applied as scale, FFT, product with the inverse
block, inverse FFT, scale:

    P  =  (n/2) · S^-1 · F' · diag(B(f)^-1) · F · S^-1,      symmetric and positive definite by construction.

Estimation. For white noise w the probe p = J'w, one backward pass, has the covariance J'J. The square root of its
smoothed local energy is S; q = p/s then has the covariance T, and the outer products of its transform, averaged over
probes and over neighbouring frequencies, estimate B(f): the smoothed periodogram of multivariate spectral analysis
(Brillinger, Time Series, 1975, chapter 7). So few samples leave the small eigenvalues of a block too small
and its large ones too large, hence shrinkage (Ledoit & Wolf 2004) towards the mean over all frequencies, and a ridge.

Two borders that are not there: cells at opposite borders count as neighbours, and texture is taken to be slow.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..objective import Objective

# In bins; one to two and a half end alike (benchmarks/results/inversion.md).
FREQUENCY_BINS = 1.5
# In cells, how far local energy is averaged: less is noise, from four on it costs half of the gain (the same report).
TEXTURE_CELLS = 1.2
# Energy of the flattest cell, in units of the mean: a step there must not be without bounds.
LEAST_ENERGY = 0.01
# Added to every block, in units of the mean eigenvalue: what the decoder ignores must not explode. A third of it ends
# alike (the same report).
RIDGE = 0.01


class SpectralWhitening:
    """The map P of ``[1,C,h,w]``: ``blocks`` ``[h, w//2+1, C, C]``, complex, are B(f) at the frequencies of ``rfft2``
    (orthonormal), ``scale`` ``[h,w]`` is s, ``factor`` is n/2.

    Applied on the CPU in single precision, for some devices have no complex numbers; latents are small.
    """

    def __init__(self, blocks: Tensor, scale: Tensor, factor: float) -> None:
        inverse = torch.linalg.inv(blocks.to(torch.complex128))
        self.inverse = (0.5 * factor * (inverse + inverse.mH)).to(torch.complex64)  # Hermitian to the last bit
        self.scale = scale.float()

    def __call__(self, gradient: Tensor) -> Tensor:
        scaled = gradient.detach().cpu().float()[0] / self.scale
        spectrum = torch.fft.rfft2(scaled, norm="ortho").movedim(0, -1).unsqueeze(-1)
        solved = (self.inverse @ spectrum).squeeze(-1).movedim(-1, 0)
        return (torch.fft.irfft2(solved, s=scaled.shape[-2:], norm="ortho") / self.scale)[None].to(gradient)


def spectral_whitening(objective: Objective, latents: Tensor, probes: int) -> SpectralWhitening:
    """P at ``latents`` ``[1,C,h,w]`` from ``probes`` backward passes, always of the same white noise.

    Where the decoder has no finite derivative, or none at all, P is the identity.
    """
    # Drawn on the CPU from fixed seeds, so that results do not depend on the device's generator.
    noise = [torch.randn(objective.image.shape, generator=torch.Generator().manual_seed(k)) for k in range(probes)]
    pulled = torch.cat([p.cpu().double() for p in objective.pull_back(latents, noise)])
    energy = pulled.square().mean((0, 2, 3))
    if not bool(torch.isfinite(energy).all()) or float(energy.mean()) <= 0:
        channels, height, width = latents.shape[1:]
        one = torch.eye(channels).expand(height, width // 2 + 1, channels, channels)
        return SpectralWhitening(one, torch.ones(height, width), 1.0)
    scale = texture(pulled)
    blocks = spectral_blocks(pulled / scale)
    half = blocks[:, : latents.shape[-1] // 2 + 1]
    return SpectralWhitening(half, scale, objective.image.numel() / 2)


def texture(probes: Tensor) -> Tensor:
    """``[h,w]``: the square root of the local energy of ``probes`` ``[m,C,h,w]``, one on average in the square."""
    energy = probes.square()
    # Every channel says as much, however strongly the decoder responds to it.
    energy = (energy / energy.mean((0, 2, 3), keepdim=True).clamp(min=1e-300)).mean((0, 1))
    down, across = (_gaussian_rows(side, TEXTURE_CELLS) for side in energy.shape)
    smoothed = down @ energy @ across.T
    return (smoothed / smoothed.mean()).clamp(min=LEAST_ENERGY).sqrt()


def spectral_blocks(probes: Tensor) -> Tensor:
    """``[h,w,C,C]``: regularised B(f) at all frequencies of ``fft2`` (orthonormal), from ``probes`` ``[m,C,h,w]``."""
    count, channels, height, width = probes.shape
    spectra = torch.fft.fft2(probes, norm="ortho").permute(2, 3, 1, 0)
    blocks = spectra @ spectra.mH / count
    # Averaging over neighbouring frequencies is a product where lags live.
    windows = [_lag_window(side) for side in (height, width)]
    window = torch.outer(*windows)[..., None, None]
    blocks = torch.fft.fft2(torch.fft.ifft2(blocks, dim=(0, 1)) * window, dim=(0, 1))
    blocks = 0.5 * (blocks + blocks.mH)
    mean = blocks.mean((0, 1))
    # Parseval: the sum of the squared kernel is the mean of its squared transform.
    independent = count / float(window.square().mean())
    amount = channels / (channels + independent)
    blocks = (1 - amount) * blocks + amount * mean
    level = float(mean.diagonal().real.mean())
    return blocks + RIDGE * level * torch.eye(channels)


def _lag_window(side: int) -> Tensor:
    """``[side]``: the transform of a Gaussian over ``side`` circular frequencies that sums to one."""
    bins = torch.arange(side, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (torch.minimum(bins, side - bins) / FREQUENCY_BINS).square())
    return torch.fft.fft(kernel / kernel.sum()).real


def _gaussian_rows(side: int, deviation: float) -> Tensor:
    """``[side,side]``: each row averages the cells near one cell, without any beyond the border."""
    cells = torch.arange(side, dtype=torch.float64)
    kernel = torch.exp(-0.5 * ((cells[:, None] - cells) / deviation).square())
    return kernel / kernel.sum(1, keepdim=True)
