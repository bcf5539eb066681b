"""8-bit storage as an explicit model: intervals, saturation, and which software stored the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from latent_tracer.core import ROUNDING_FLOOR, invert, quantise, residual
from latent_tracer.core.inversion.objective import Objective

LEVEL = 1 / 255
STORAGE = pytest.mark.parametrize("storage", ["round", "floor"])

decoder_outputs = arrays.arrays(
    np.float32, (1, 3, 2, 3), elements=st.floats(-0.5, 1.5, width=32, allow_subnormal=False)
).map(torch.from_numpy)


@STORAGE
@given(decoded=decoder_outputs)
def test_a_stored_image_lies_within_half_a_level_of_what_was_decoded(storage, decoded):
    distance = residual(decoded, quantise(decoded, storage), storage).abs()
    assert distance.max() <= 0.5 * LEVEL + 1e-6


@STORAGE
@given(decoded=decoder_outputs)
def test_over_and_undershoot_of_saturated_pixels_cost_nothing(storage, decoded):
    distance = residual(decoded, quantise(decoded, storage), storage)
    assert (distance[decoded >= 1] == 0).all()
    assert (distance[decoded <= 0] == 0).all()


def test_a_saturated_pixel_still_pulls_from_inside_the_range():
    decoded, stored = torch.tensor([0.4, 0.6]), torch.tensor([0.0, 1.0])
    for storage in ("round", "floor", "none"):
        assert residual(decoded, stored, storage).sign().tolist() == [1, -1]


@given(decoded=decoder_outputs)
@STORAGE
def test_storing_twice_changes_nothing(storage, decoded):
    stored = quantise(decoded, storage)
    assert torch.equal(quantise(stored, storage), stored)
    assert torch.equal((stored * 255).round() / 255, stored)


def test_storage_agrees_with_eight_bit_integers():
    values = torch.linspace(-0.1, 1.1, 5001)
    clipped = (values.clamp(0, 1) * 255).numpy()
    assert ((quantise(values, "floor") * 255).round().numpy() == clipped.astype(np.uint8)).all()
    assert ((quantise(values, "round") * 255).round().numpy() == np.rint(clipped)).all()
    assert torch.equal(quantise(values, "none"), values.clamp(0, 1))


def uniform_values() -> torch.Tensor:
    return 0.01 + 0.98 * torch.rand(200_000, generator=torch.Generator().manual_seed(0))


@STORAGE
def test_matching_model_leaves_the_rounding_floor(storage):
    values = uniform_values()
    distance = residual(values, quantise(values, storage), storage)
    assert distance.square().mean().item() == pytest.approx(ROUNDING_FLOOR, rel=0.02)
    assert distance.mean().abs() < 0.01 * LEVEL
    assert pytest.approx(1.28e-6, rel=0.01) == ROUNDING_FLOOR


@pytest.mark.parametrize(("stored_by", "modelled_as", "bias"), [("floor", "round", 0.5), ("round", "floor", -0.5)])
def test_mismatched_model_shows_half_a_level_of_bias(stored_by, modelled_as, bias):
    values = uniform_values()
    distance = residual(values, quantise(values, stored_by), modelled_as)
    assert distance.mean().item() == pytest.approx(bias * LEVEL, rel=0.02)
    assert distance.square().mean().item() == pytest.approx(4 * ROUNDING_FLOOR, rel=0.03)


@pytest.mark.parametrize("storage", ["round", "floor", "none"])
def test_auto_finds_the_storage_at_the_true_latent(convolutional, storage):
    autoencoder = convolutional()
    latents = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    image = quantise(autoencoder.decode(latents), storage)

    inversion = invert(autoencoder, image, initial_latents=latents, steps=1)

    assert inversion.quantiser == (storage,)
    assert inversion.initial_loss.item() < 1.2 * ROUNDING_FLOOR


def test_auto_is_decided_for_each_image_of_a_batch(convolutional):
    autoencoder = convolutional()
    latents = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(2))
    decoded = autoencoder.decode(latents)
    images = torch.cat([quantise(decoded[i : i + 1], storage) for i, storage in enumerate(("floor", "none", "round"))])

    assert invert(autoencoder, images, initial_latents=latents, steps=1).quantiser == ("floor", "none", "round")


def test_a_given_model_is_not_second_guessed(convolutional):
    autoencoder = convolutional()
    latents = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    image = quantise(autoencoder.decode(latents), "floor")

    mismatched = invert(autoencoder, image, initial_latents=latents, steps=1, quantiser="round")

    assert mismatched.quantiser == ("round",)
    assert mismatched.loss.item() == pytest.approx(4 * ROUNDING_FLOOR, rel=0.2)


def test_the_gradient_is_that_of_the_quantised_loss(convolutional, photographs):
    """Central differences along a random direction, at a latent where the images are saturated in part."""
    autoencoder = convolutional()
    objective = Objective(autoencoder, quantise(2.5 * (photographs() - 0.5) + 0.5), "floor")
    latents = autoencoder.encode(objective.image)
    direction = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    step = 1e-2
    ahead, behind = (objective.evaluate(latents + s * direction, with_gradient=False).loss for s in (step, -step))

    gradient = objective.evaluate(latents).gradient

    assert (ahead - behind) / (2 * step) == pytest.approx((gradient * direction).sum().item(), rel=1e-2)
    assert (objective.passes.decoder, objective.passes.backward) == (3, 1)
