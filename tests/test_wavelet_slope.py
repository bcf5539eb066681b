"""The wavelet slope, a peer in benchmarks: its transform is PyWavelets' own, its score lower for own pictures."""

import pytest
import torch
from latent_tracer.core import load_autoencoder, quantise, synthetic_photograph

pywt = pytest.importorskip("pywt", reason="PyWavelets is not installed: the wavelet slope is not tested")
from peers.wavelet_slope import WAVELET, transform, wavelet_slope  # noqa: E402


def test_energy_is_kept_and_each_band_holds_what_pywavelets_says():
    residual = torch.randn(3, 64, 96, generator=torch.Generator().manual_seed(1))
    levels = transform(residual)
    details = sum(band.square().sum() for level in levels for band in level[1:]) + levels[-1][0].square().sum()
    assert float(details) == pytest.approx(float(residual.square().sum()), rel=1e-4)
    low, details = pywt.dwt2(residual[0].numpy(), WAVELET, mode="periodization")
    # PyWavelets begins its period elsewhere: energies are the same. It names first what varies down the rows.
    for ours, theirs in zip(levels[0], (low, details[1], details[0], details[2]), strict=True):
        assert float(ours[0].square().sum()) == pytest.approx(float((theirs**2).sum()), rel=1e-3)


def test_own_pictures_fall_faster():
    demo_autoencoder = load_autoencoder("demo-a")
    photograph = synthetic_photograph(5, 64)
    with torch.no_grad():
        own = quantise(demo_autoencoder.decode(demo_autoencoder.encode(photograph)))
    (mine, passes), (other, _) = (wavelet_slope(demo_autoencoder, image) for image in (own, photograph))
    assert mine < other
    assert (passes.encoder, passes.decoder, passes.backward) == (1, 30, 30)
