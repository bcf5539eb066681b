"""A certificate is issued for what a decoder wrote, and never where hitting every value proves nothing."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from latent_tracer.core import invert, load_autoencoder, quantise
from latent_tracer.core.images.quantiser import LEVELS, ROUNDING_FLOOR, beyond_interval
from latent_tracer.core.images.synthetic import synthetic_photograph
from latent_tracer.core.inversion.certificate import LEAST, telling_values, why_no_certificate
from latent_tracer.core.inversion.objective import Evaluation, Objective
from latent_tracer.core.inversion.solvers import Search, SpectralLBFGS


def textured(*shape, seed=0):
    """8-bit values in the middle of the range, no value foretold by its neighbours."""
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return quantise(0.25 + 0.5 * noise)


@pytest.fixture(scope="module")
def demo():
    return load_autoencoder("demo-a")


def decoded_with_noise(autoencoder, seed, side):
    latents = autoencoder.encode(synthetic_photograph(seed=seed, size=side))
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    return autoencoder.decode(latents + 0.3 * latents.std() * noise)


def test_a_picture_that_a_convolutional_decoder_wrote_is_certified(demo, storage="floor"):
    image = quantise(decoded_with_noise(demo, 3, 64), storage)
    assert why_no_certificate(image, 4 * 64) == ""
    found = invert(demo, image, solver=SpectralLBFGS(steps=400, probes=8))
    assert found.stopped_by == ("bit for bit",) and found.reproduced == (1.0,) and found.certified == (True,)
    assert torch.equal(quantise(demo.decode(found.latents), storage), found.images)
    assert found.quantiser == (storage,) and len(found.notes) == 1 and "bit for bit" in found.notes[0]


def test_a_picture_with_one_value_that_the_decoder_did_not_write_is_not_certified(linear):
    autoencoder = linear([3.0] * 4)
    latents = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    latents *= 0.4 / float((autoencoder.decode(latents) - 0.5).abs().max())
    stored = quantise(autoencoder.decode(latents))
    assert why_no_certificate(stored, latents.numel()) == ""
    solver = SpectralLBFGS(steps=300)
    assert invert(autoencoder, stored, solver=solver).certified == (True,)
    stored[0, 1, 20, 20] += 3 / LEVELS
    found = invert(autoencoder, stored, solver=solver)
    assert found.certified == (False,) and found.stopped_by != ("bit for bit",)
    assert 0.97 < found.reproduced[0] < 1


def test_a_foreign_picture_is_not_certified_and_few_of_its_values_are_reproduced(demo):
    found = invert(demo, synthetic_photograph(seed=5, size=64), solver="lbfgs-spectral", steps=30)
    assert found.certified == (False,) and found.reproduced[0] < 0.9


def flat(side):
    return torch.full((1, 3, side, side), 100 / LEVELS)


def gradient(side):
    ramp = torch.linspace(0.15, 0.85, side)
    return quantise((ramp[:, None] + ramp) / 2 * torch.tensor([1.0, 0.9, 0.8]).view(1, 3, 1, 1))


def blurred(side):
    coarse = F.interpolate(textured(1, 3, side // 16, side // 16), (side, side), mode="bicubic")
    return quantise(coarse)


def waves(side, period=24):
    """Smooth, of high contrast: a spline through few numbers gives all of it back."""
    place = 2 * math.pi / period * torch.arange(side)
    colours = [torch.sin(place + shift)[None] + torch.sin(place + 2 * shift)[:, None] for shift in (0, 2.1, 4.2)]
    return quantise((127.5 + 60 * torch.stack(colours)[None]) / LEVELS)


def soft(side, deviation):
    """Noise out of focus, with the contrast that it would have in focus."""
    taps = torch.exp(-0.5 * (torch.arange(-20.0, 21.0) / deviation).square())
    kernel = (taps / taps.sum()).view(1, 1, 1, -1).repeat(3, 1, 1, 1)
    noise = torch.randn(1, 3, side + 40, side + 40, generator=torch.Generator().manual_seed(0))
    blurred = F.conv2d(F.conv2d(noise, kernel, groups=3), kernel.transpose(2, 3), groups=3)
    return quantise(0.5 + 40 / LEVELS * blurred / blurred.std())


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(waves(192), id="waves"),
        pytest.param(soft(256, 3.0), id="out of focus"),
        pytest.param(soft(256, 5.0), id="far out of focus"),
        pytest.param(flat(256), id="flat"),
        pytest.param(gradient(256), id="gradient"),
        pytest.param(blurred(256), id="blurred"),
        pytest.param(textured(1, 3, 24, 24), id="small"),
        pytest.param(textured(1, 3, 2, 400), id="too narrow for neighbours"),
        pytest.param((textured(1, 3, 256, 256) > 0.5).float(), id="black and white"),
    ],
)
def test_a_picture_any_decoder_might_reproduce_is_refused(image):
    assert "too small or too smooth" in why_no_certificate(image, image.numel() // 48)


def test_reproducing_a_flat_picture_is_noted_and_not_certified(linear):
    """A decoder of patches writes any flat picture, as does every other."""
    autoencoder = linear([3.0] * 4)
    latents = torch.zeros(1, 4, 8, 8)
    found = invert(autoencoder, quantise(autoencoder.decode(latents)), initial_latents=latents, solver="lbfgs-spectral")
    assert found.stopped_by == ("bit for bit",) and found.reproduced == (1.0,) and found.certified == (False,)
    assert "no certificate is issued for it, it is too small or too smooth" in found.notes[1]


@pytest.mark.parametrize("quantiser", ["round", "floor"])
def test_a_picture_that_is_not_of_8_bit_has_no_stored_values_whatever_it_is_taken_for(linear, quantiser):
    autoencoder = linear([3.0] * 4)
    latents = 0.2 * torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    picture = (autoencoder.decode(latents) * 1000).round() / 1000
    found = invert(autoencoder, picture, initial_latents=latents, steps=3, quantiser=quantiser)
    assert found.reproduced == (None,) and found.certified == (False,) and found.floor_blocks == (None,)
    assert not any("bit for bit" in note for note in found.notes)


def test_where_values_are_swallowed_rounding_leaves_less(linear):
    image = textured(1, 3, 16, 16)
    image[..., :8] = 1.0
    objective = Objective(linear([3.0] * 4), image)
    assert objective.floor(image) == pytest.approx(ROUNDING_FLOOR / 2)
    assert objective.floor(image - 1e-3) == pytest.approx(ROUNDING_FLOOR)


def test_what_is_sought_at_the_floor_is_not_ended_by_a_loss_that_stays():
    search = Search(steps=100, least_progress=0.1)
    evaluation = Evaluation(torch.zeros(1), 1.0, torch.zeros(1), None)
    for _ in range(40):
        search.record(evaluation, certifying=True)
    assert search.stopped_by == "steps"
    search = Search(steps=100, least_progress=0.1)
    for _ in range(40):  # a decoder that says nothing ends by another rule
        search.record(Evaluation(torch.zeros(1), math.nan, torch.zeros(1), None))


def test_a_latent_with_as_many_values_as_the_picture_proves_nothing():
    image = textured(1, 3, 64, 64)
    assert why_no_certificate(image, image.numel() // 48) == "" != why_no_certificate(image, 3 * image.numel() // 4)


def test_a_grey_picture_counts_once():
    grey = textured(1, 1, 64, 64).expand(1, 3, 64, 64)
    colour = textured(1, 3, 64, 64)
    assert 2.8 * telling_values(grey) < telling_values(colour) <= 3 * 60 * 60
    assert telling_values(grey) > 0.9 * 60 * 60 > LEAST


def test_pictures_that_were_never_stored_have_no_share_and_no_certificate(linear):
    autoencoder = linear([3.0] * 4)
    latents = 0.2 * torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    found = invert(autoencoder, autoencoder.decode(latents).clamp(0, 1), initial_latents=latents, steps=2)
    assert found.reproduced == (None,) and found.certified == (False,)


@pytest.mark.parametrize("quantiser", ["round", "floor"])
def test_within_its_interval_a_value_is_stored_right_and_beyond_it_counts(quantiser):
    levels = torch.tensor([0.0, 0.0, 7.0, 7.0, 7.0, 255.0, 255.0]).view(1, 1, 1, -1)
    shift = 0.5 if quantiser == "floor" else 0.0
    right = (levels + shift + torch.tensor([0.44, -9.0, -0.44, 0.44, 0.0, 3.0, -0.44])) / LEVELS
    assert torch.equal(quantise(right, quantiser) * LEVELS, levels)
    assert float(beyond_interval(right, levels / LEVELS, quantiser, 0.45).abs().max()) == 0
    missed = right + torch.tensor([1, 0, -1, 1, 2, 0, -1]) / LEVELS
    expected = torch.tensor([0.99, 0, -0.99, 0.99, 1.55, 0, -0.99])
    assert torch.allclose(beyond_interval(missed, levels / LEVELS, quantiser, 0.45).flatten(), expected, atol=1e-3)


def test_the_loss_of_intervals_has_the_gradient_of_its_values(linear):
    autoencoder = linear([3.0, 2.0, 1.0, 0.5])
    latents = 0.1 * torch.randn(1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    objective = Objective(autoencoder, quantise(autoencoder.decode(latents)), "round")
    point = latents + 0.05
    outside, plain = objective.evaluate_intervals(point, 0.45)
    assert plain.loss == objective.evaluate(point, with_gradient=False).loss and plain.gradient is None
    step = 1e-3 * torch.randn(point.shape, generator=torch.Generator().manual_seed(1))
    up, down = (objective.evaluate_intervals(point + sign * step, 0.45)[0].loss for sign in (1, -1))
    assert (up - down) / 2 == pytest.approx(float((outside.gradient * step).sum()), rel=1e-2)
    assert objective.evaluate_intervals(latents, 0.5)[0].loss < 1e-12
