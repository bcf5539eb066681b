"""Latent inversion on decoders whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from latent_tracer.core import (
    ROUNDING_FLOOR,
    SOLVERS,
    InvalidImageError,
    InvalidLatentError,
    InvalidSettingError,
    ModuleAutoencoder,
    UnsupportedAutoencoderError,
    invert,
    quantise,
)
from latent_tracer.core.inversion.solvers import WhitenedLBFGS
from torch.nn import Conv2d

EVERY_SOLVER = pytest.mark.parametrize("solver", sorted(SOLVERS))


@pytest.mark.parametrize(
    ("singular_values", "tolerance"),
    [
        pytest.param([3.0] * 4, 1e-5, id="orthogonal"),
        # The released schedule freezes before the weakest direction, of 400 times less curvature, has quite arrived.
        pytest.param([6.0, 3.0, 1.0, 0.3], 2e-2, id="ill-conditioned"),
    ],
)
def test_linear_decoder_is_inverted_to_its_least_squares_solution(linear, singular_values, tolerance):
    autoencoder = linear(singular_values)
    module = autoencoder.module
    generator = torch.Generator().manual_seed(5)
    belonging = autoencoder.decode(torch.randn(1, 4, 3, 4, generator=generator) / max(singular_values))
    images = (belonging + 0.02 * torch.randn(belonging.shape, generator=generator)).clamp(0.01, 0.99)
    solution = module.least_squares(images)

    def excess(latents):
        """What is left of the loss above its minimum: |W (z - z*)|² per pixel, in float64."""
        difference = (latents.double() - solution).movedim(1, -1) @ module.matrix.double().T
        return difference.square().mean().item()

    inversion = invert(autoencoder, images, solver="adam-paper", steps=200, quantiser="none")

    assert excess(inversion.latents) < tolerance * excess(inversion.initial_latents)
    smallest_loss = (autoencoder.decode(solution.float()) - images).square().mean().item()
    assert inversion.loss.item() == pytest.approx(smallest_loss, rel=tolerance)
    assert inversion.initial_loss.item() > 1.1 * smallest_loss, "the start must leave work to do"


def test_adam_paper_follows_the_released_schedule_of_latent_tracer(convolutional, photographs):
    """An independent loop: Adam at 0.05 on the unit-variance latent, halved whenever i % 50 == 0, best of all steps."""
    autoencoder, images = convolutional(), photographs(1, 24, 24)
    spread = autoencoder.latent_spread
    latents = (autoencoder.encode(images) / spread).requires_grad_()
    optimiser = torch.optim.Adam([latents], lr=0.05)
    losses = []
    for i in range(120):
        if i % 50 == 0:
            optimiser.param_groups[0]["lr"] /= 2
        loss = torch.nn.functional.mse_loss(autoencoder.decode(latents * spread), images)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert optimiser.param_groups[0]["lr"] == 0.05 / 8

    inversion = invert(autoencoder, images, solver="adam-paper", steps=120, quantiser="none")

    assert inversion.loss_history[0] == pytest.approx(losses, rel=1e-3)
    assert inversion.loss.item() == min(inversion.loss_history[0])
    assert len(invert(autoencoder, images, solver="adam-paper").loss_history[0]) == 100


def test_scaled_latents_take_the_same_path_as_unscaled_ones(convolutional, photographs):
    images = photographs()
    plain, eightfold, scaled = (
        invert(convolutional(scale=scale), images, solver="adam-paper", steps=40) for scale in (1.0, 8.0, 0.13025)
    )

    assert eightfold.loss_history == plain.loss_history  # a power of two changes no mantissa
    assert torch.equal(eightfold.latents, 8 * plain.latents)
    assert scaled.loss_history[0] == pytest.approx(plain.loss_history[0], rel=1e-3)


@EVERY_SOLVER
def test_a_batch_gives_bit_for_bit_what_its_images_give_alone(convolutional, photographs, solver):
    autoencoder, images = convolutional(), quantise(photographs(3, 24, 40))
    together = invert(autoencoder, images, solver=solver, steps=8)

    assert len(together) == 3
    for index in range(3):
        alone = invert(autoencoder, images[index : index + 1], solver=solver, steps=8)
        assert together.loss_history[index] == alone.loss_history[0]
        assert torch.equal(together.latents[index], alone.latents[0])
        assert torch.equal(together.reconstruction[index], alone.reconstruction[0])
        assert torch.equal(together.loss[index], alone.loss[0])
        assert together.quantiser[index] == alone.quantiser[0]


@EVERY_SOLVER
def test_a_rerun_gives_the_same_bits(convolutional, photographs, solver):
    first, second = (invert(convolutional(), photographs(2), solver=solver, steps=8) for _ in range(2))

    assert first.loss_history == second.loss_history
    assert torch.equal(first.latents, second.latents)
    assert first.fingerprint == second.fingerprint


@EVERY_SOLVER
def test_the_smallest_loss_seen_is_the_result_and_never_worse_than_the_start(convolutional, photographs, solver):
    inversion = invert(convolutional(), photographs(2), solver=solver, steps=10)

    for index, history in enumerate(inversion.loss_history):
        assert inversion.initial_loss[index].item() == history[0]
        assert inversion.loss[index].item() == min(history)
        assert len(history) <= 10


def test_when_every_step_is_uphill_the_start_wins_and_a_note_says_so(linear):
    autoencoder = linear([3.0] * 4)
    solution = 0.1 * torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    images = autoencoder.decode(solution)

    inversion = invert(autoencoder, images, initial_latents=solution, solver="adam-paper", steps=2, quantiser="none")

    assert inversion.loss_history[0][1] > inversion.loss_history[0][0]
    assert inversion.loss.item() == inversion.initial_loss.item()
    assert torch.allclose(inversion.latents, solution, rtol=1e-6)  # to the unit-variance scale and back
    assert "no step improved" in inversion.notes[0]


def test_the_reported_reconstruction_and_loss_are_those_of_the_reported_latents(convolutional, photographs):
    autoencoder, images = convolutional(), photographs()
    inversion = invert(autoencoder, images, solver="adam-paper", steps=30, quantiser="none")

    decoded = autoencoder.decode(inversion.latents)
    assert torch.allclose(decoded, inversion.reconstruction, atol=1e-6)
    assert (decoded - images).square().mean().item() == pytest.approx(inversion.loss.item(), rel=1e-4)
    assert torch.allclose(autoencoder.decode(inversion.initial_latents), inversion.initial_reconstruction, atol=1e-6)
    assert inversion.decoder_passes == (30,)
    assert inversion.passes[0].encoder == 1


def test_a_decoded_image_is_traced_to_the_rounding_floor(linear):
    autoencoder = linear([3.0, 2.0, 2.0, 1.5], encoder_error=0.5)
    latents = 0.3 * torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    for storage in ("round", "floor"):
        image = quantise(autoencoder.decode(latents), storage)
        inversion = invert(autoencoder, image, solver="adam-paper", steps=150)

        assert inversion.loss.item() < 1.05 * ROUNDING_FLOOR
        assert inversion.initial_loss.item() > 2 * ROUNDING_FLOOR
        assert inversion.quantiser == (storage,)


class Cancelled(BaseException):
    """As ComfyUI's interrupt: not an Exception."""


@EVERY_SOLVER
def test_cancelling_propagates_at_once_and_leaves_nothing_behind(convolutional, photographs, solver):
    autoencoder, images = convolutional(), photographs(2)
    before = {name: value.clone() for name, value in autoencoder.module.state_dict().items()}
    kept_images, seen = images.clone(), []

    def cancel(step):
        seen.append((step.image, step.step))
        if step.image == 2 and step.step == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        invert(autoencoder, images, solver=solver, steps=5, on_step=cancel)

    assert seen[-1] == (2, 3)
    assert seen == sorted(set(seen))
    assert all(parameter.grad is None for parameter in autoencoder.module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in autoencoder.module.state_dict().items())
    assert torch.equal(images, kept_images)
    assert torch.is_grad_enabled()


def test_progress_tells_step_total_loss_and_preview(convolutional, photographs):
    steps = []
    inversion = invert(convolutional(), photographs(1, 16, 24), solver="adam-paper", steps=3, on_step=steps.append)

    assert [(s.image, s.images, s.step, s.steps) for s in steps] == [(1, 1, 1, 3), (1, 1, 2, 3), (1, 1, 3, 3)]
    assert tuple(s.loss for s in steps) == inversion.loss_history[0]
    assert all(s.decoded.shape == (1, 3, 16, 24) and not s.decoded.requires_grad for s in steps)


def test_a_loss_target_ends_the_search_early(linear, photographs):
    autoencoder, images = linear([3.0] * 4), photographs()
    reference = invert(autoencoder, images, solver="adam-paper", steps=30)
    target = reference.loss_history[0][10]

    inversion = invert(autoencoder, images, solver="adam-paper", steps=30, loss_target=target)

    assert inversion.stopped_by == ("loss target",)
    assert inversion.loss.item() <= target
    assert len(inversion.loss_history[0]) <= 11
    assert reference.stopped_by == ("steps",)


def test_a_search_that_gains_too_little_ends_early(linear, photographs):
    autoencoder, images = linear([3.0, 2.0, 1.0, 0.5], encoder_error=3.0), photographs()
    inversion = invert(autoencoder, images, solver="adam-paper", steps=400, least_progress=0.01)
    history = inversion.loss_history[0]
    assert inversion.stopped_by == ("no progress",) and 11 < len(history) < 400
    assert min(history) > 0.99 * min(history[:-10])
    # Not a step too early: one before, ten evaluations still gained a hundredth.
    assert min(history[:-1]) <= 0.99 * min(history[:-11])


def test_a_latent_that_reproduces_every_stored_pixel_ends_the_search_and_is_noted(linear):
    autoencoder = linear([3.0] * 4)
    latents = torch.randn(1, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    stored = quantise(autoencoder.decode(latents))
    inversion = invert(autoencoder, stored, initial_latents=latents, solver="adam-paper", steps=30)
    assert inversion.stopped_by == ("bit for bit",) and len(inversion.loss_history[0]) == 1
    assert "reproduces every stored pixel bit for bit" in inversion.notes[0]
    beside = stored.clone()
    beside[0, 0, 0, 0] += 1 / 255 if beside[0, 0, 0, 0] < 0.5 else -1 / 255
    other = invert(autoencoder, beside, initial_latents=latents, solver="adam-paper", steps=1)
    assert other.stopped_by == ("steps",) and other.notes == ()


def test_an_image_off_the_grid_is_centre_cropped_and_says_so(convolutional, photographs):
    autoencoder, images = convolutional(), photographs(1, 21, 35)
    inversion = invert(autoencoder, images, steps=2)

    assert torch.equal(inversion.images, images[..., 2:18, 1:33])
    assert (inversion.crop.left, inversion.crop.top) == (1, 2)
    assert inversion.latents.shape == (1, 4, 2, 4)
    assert "32×16 at (1, 2) of 35×21" in inversion.notes[0]


def test_an_image_on_the_grid_is_traced_whole_and_without_notes(convolutional, photographs):
    inversion = invert(convolutional(), photographs(), steps=5)
    assert inversion.crop.is_whole
    assert inversion.notes == ()


def test_given_initial_latents_replace_the_encoder(convolutional, photographs):
    autoencoder, images = convolutional(), photographs()
    start = torch.full((1, 4, 4, 4), 0.1)
    inversion = invert(autoencoder, images, initial_latents=start, solver="adam-paper", steps=3)

    assert torch.equal(inversion.initial_latents, start)
    assert torch.allclose(inversion.initial_reconstruction, autoencoder.decode(start), atol=1e-6)
    assert inversion.passes[0].encoder == 0
    assert torch.equal(start, torch.full((1, 4, 4, 4), 0.1))


def test_a_decision_on_the_best_so_far_ends_the_search(convolutional, photographs):
    inversion = invert(convolutional(), photographs(), solver="adam-paper", steps=30, decided=lambda best: True)
    assert inversion.stopped_by == ("verdict decided",)
    assert len(inversion.loss_history[0]) == 1


@pytest.mark.parametrize("steps", [0, -3])
def test_fewer_than_one_step_is_refused(convolutional, photographs, steps):
    with pytest.raises(InvalidSettingError, match=f"at least 1 step, got {steps}"):
        invert(convolutional(), photographs(), steps=steps)


def test_an_unknown_solver_is_refused_with_the_known_ones(convolutional, photographs):
    with pytest.raises(InvalidSettingError, match="'sgd'.*adam-paper"):
        invert(convolutional(), photographs(), solver="sgd")


def test_an_unknown_quantiser_is_refused_with_the_known_ones(convolutional, photographs):
    with pytest.raises(InvalidSettingError, match="'ceil'.*auto, round, floor, none"):
        invert(convolutional(), photographs(), quantiser="ceil")


@pytest.mark.parametrize("shape", [(1, 16, 4, 4), (1, 4, 4, 5), (2, 4, 4, 4), (4, 4, 4), (1, 4, 1, 4, 4)])
def test_latents_of_another_shape_are_refused_with_the_right_one(convolutional, photographs, shape):
    with pytest.raises(InvalidLatentError) as caught:
        invert(convolutional(), photographs(), initial_latents=torch.zeros(shape))
    assert str(shape) in str(caught.value)
    assert "(1, 4, 4, 4)" in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_latents_that_are_not_finite_are_refused(convolutional, photographs, value):
    latents = torch.zeros(1, 4, 4, 4)
    latents[0, 2, 1, 3] = value
    with pytest.raises(InvalidLatentError, match="NaN or infinite"):
        invert(convolutional(), photographs(), initial_latents=latents)


@EVERY_SOLVER
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_decoder_that_returns_no_numbers_is_refused(convolutional, photographs, solver, value):
    autoencoder = convolutional()
    autoencoder.module.decoder[-1].bias.fill_(value)
    with pytest.raises(UnsupportedAutoencoderError, match="SmallConvolutional decodes .* NaN or infinite"):
        invert(autoencoder, photographs(), solver=solver, steps=2)


def test_an_autoencoder_without_a_latent_grid_is_refused(photographs):
    identity = Conv2d(3, 3, 1)
    pixel_space = ModuleAutoencoder("pixel space", identity, identity, identity)
    with pytest.raises(UnsupportedAutoencoderError, match="pixel space maps 128 pixels to 128"):
        invert(pixel_space, photographs())


def test_an_image_that_cannot_be_traced_is_refused_before_anything_runs(convolutional):
    autoencoder = convolutional()
    with pytest.raises(InvalidImageError, match="smaller than one latent cell of 8×8"):
        invert(autoencoder, torch.rand(1, 3, 7, 64))
    with pytest.raises(InvalidImageError, match="NaN"):
        invert(autoencoder, torch.full((1, 3, 16, 16), math.nan))


def test_ratio_channels_and_spread_are_measured(linear):
    autoencoder = linear([3.0, 3.0, 3.0])
    assert autoencoder.spatial_ratio == 8
    assert autoencoder.latent_channels == 3
    stronger = linear([6.0, 6.0, 6.0])
    assert stronger.latent_spread == pytest.approx(autoencoder.latent_spread / 2, rel=1e-5)


@EVERY_SOLVER
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_inversion_works_inside_a_caller_that_computes_no_gradients(convolutional, photographs, solver, mode):
    """ComfyUI runs nodes under inference mode and hands them inference tensors."""
    autoencoder = convolutional()
    expected = invert(autoencoder, photographs(2), solver=solver, steps=6)
    with mode():
        images, latents = photographs(2) * 1.0, expected.initial_latents * 1.0
        assert images.is_inference() == (mode is torch.inference_mode)
        encoded = invert(autoencoder, images, solver=solver, steps=6)
        given = invert(autoencoder, images, initial_latents=latents, solver=solver, steps=6)
        fresh = _measured_inside(convolutional, images, solver)

    assert encoded.loss_history == expected.loss_history
    assert given.loss_history == expected.loss_history
    assert fresh.loss_history == expected.loss_history


def _measured_inside(make, images, solver):
    """An autoencoder with ordinary weights whose ratio and spread nobody has asked for before."""
    with torch.inference_mode(False):
        autoencoder = make()
    return invert(autoencoder, images, solver=solver, steps=6)


def test_one_step_is_the_start_alone_and_costs_one_pass_of_each(convolutional, photographs):
    inversion = invert(convolutional(), photographs(1, 32, 32), steps=1)
    assert float(inversion.loss[0]) == float(inversion.initial_loss[0])
    passes = inversion.passes[0]
    assert (passes.encoder, passes.decoder, passes.backward) == (1, 1, 0)


class OnlyFloat32(torch.nn.Module):
    """A decoder with an operation that bfloat16 does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.up = Conv2d(4, 3 * 64, 1)

    def forward(self, latents):
        decoded = self.up(latents)
        if decoded.dtype == torch.bfloat16:
            raise RuntimeError("\"some_cpu_kernel\" not implemented for 'BFloat16'")
        return torch.nn.functional.pixel_shuffle(decoded, 8).sigmoid()


def test_a_decoder_without_bfloat16_is_inverted_in_full_precision(photographs):
    torch.manual_seed(0)
    module = OnlyFloat32()
    encode = Conv2d(3, 4, 8, stride=8).requires_grad_(False)
    autoencoder = ModuleAutoencoder("float32 only", module, encode, module)
    solver = WhitenedLBFGS(steps=20, low_precision_steps=10)
    inversion = invert(autoencoder, photographs(1, 32, 32), solver=solver)
    assert float(inversion.loss[0]) < float(inversion.initial_loss[0])
    assert len(inversion.loss_history[0]) == 20
