"""The spectral preconditioner on decoders whose Hessian is known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from latent_tracer.core import ModuleAutoencoder, invert
from latent_tracer.core.inversion.objective import Objective
from latent_tracer.core.inversion.solvers import SpectralLBFGS, WhitenedLBFGS
from latent_tracer.core.inversion.solvers.curvature import probes_needed
from latent_tracer.core.inversion.solvers.spectral_whitening import (
    SpectralWhitening,
    spectral_blocks,
    spectral_whitening,
    texture,
)
from torch import nn


class Circulant(nn.Module):
    """D(z) = 0.5 + z convolved with a kernel of 3×3 cells that mixes channels, wrapped around at the borders: each
    cell becomes 4×4 pixels. High frequencies are weak."""

    ratio = 4

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        kernel = torch.randn(3 * self.ratio**2, channels, 1, 1, generator=generator)
        shape = torch.tensor([0.3, 1.0, 0.3])
        taps = torch.randn(3 * self.ratio**2, channels, 3, 3, generator=generator)
        self.kernel = nn.Parameter(kernel * torch.outer(shape, shape) + 0.1 * taps)

    def encode(self, images):
        return F.avg_pool2d(images - 0.5, self.ratio).mean(1, keepdim=True).repeat(1, self.kernel.shape[1], 1, 1)

    def decode(self, latents):
        wrapped = F.pad(latents, (1, 1, 1, 1), mode="circular")
        return F.pixel_shuffle(F.conv2d(wrapped, self.kernel), self.ratio) + 0.5

    def blocks(self, height, width):
        """``[h, w//2+1, C, C]``: B(f) in closed form."""
        padded = torch.zeros(*self.kernel.shape[:2], height, width, dtype=torch.float64)
        padded[..., :3, :3] = self.kernel
        response = torch.fft.rfft2(padded).conj().permute(2, 3, 0, 1)  # conv2d correlates
        return response.mH @ response


def autoencoder_of(module):
    module.requires_grad_(False)
    return ModuleAutoencoder(type(module).__name__, module, module.encode, module.decode)


def made_by(autoencoder, channels, height, width, seed=0):
    """Latents and their image, whose values stay within [0,1]: the decoders here are linear but for 0.5."""
    latents = torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(seed))
    latents *= 0.45 / float((autoencoder.decode(latents) - 0.5).abs().max())
    return latents, autoencoder.decode(latents)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 9), (3, 12), (4, 5)])
def test_the_true_blocks_of_a_circulant_decoder_give_newtons_step_which_solves_it(height, width):
    module = Circulant()
    autoencoder = autoencoder_of(module)
    solution, images = made_by(autoencoder, 4, height, width)
    objective = Objective(autoencoder, images, "none")
    newton = SpectralWhitening(module.blocks(height, width), torch.ones(height, width), images.numel() / 2)
    start = torch.zeros_like(solution)
    moved = start - newton(objective.evaluate(start).gradient)
    assert objective.evaluate(moved).loss < 1e-8 * objective.evaluate(start).loss
    assert torch.allclose(moved, solution, atol=1e-3 * float(solution.abs().max()))


def test_estimated_blocks_come_near_the_true_ones_of_a_circulant_decoder():
    module = Circulant()
    autoencoder = autoencoder_of(module)
    latents, images = made_by(autoencoder, 4, 24, 24)
    noise = [torch.randn(images.shape, generator=torch.Generator().manual_seed(k)) for k in range(32)]
    probes = torch.cat(Objective(autoencoder, images, "none").pull_back(latents, noise)).double()
    scale = texture(probes)
    assert scale.square().mean() == pytest.approx(1, abs=0.02) and scale.std() < 0.05  # no cell is special
    found, true = spectral_blocks(probes / scale)[:, :13], module.blocks(24, 24)
    assert (found - true).norm() < 0.15 * true.norm()
    alike = true.mean((0, 1)).expand_as(true)  # what a whitening of the channels alone knows
    assert (found - true).norm() < 0.25 * (alike - true).norm()


def test_a_circulant_decoder_is_solved_in_a_few_steps_and_far_sooner_than_by_channels():
    autoencoder = autoencoder_of(Circulant())
    solution, images = made_by(autoencoder, 4, 16, 16)
    losses = {
        solver.name: invert(
            autoencoder, images, initial_latents=torch.zeros_like(solution), solver=solver, quantiser="none"
        ).loss_history[0]
        for solver in (SpectralLBFGS(steps=12, probes=16), WhitenedLBFGS(steps=12, low_precision_steps=0))
    }
    start = losses["lbfgs-spectral"][0]
    assert losses["lbfgs-spectral"][1] < 0.1 * start
    assert min(losses["lbfgs-spectral"]) < 1e-5 * start
    assert min(losses["lbfgs-spectral"]) < 0.1 * min(losses["lbfgs-whitened"])


def test_a_linear_decoder_of_mixed_channels_is_solved_in_nearly_one_step(linear):
    autoencoder = linear([6.0, 3.0, 2.0, 1.0])
    solution, images = made_by(autoencoder, 4, 12, 12)
    start = torch.zeros_like(solution)
    found = invert(
        autoencoder, images, initial_latents=start, solver=SpectralLBFGS(steps=8, probes=16), quantiser="none"
    )
    assert found.loss_history[0][1] < 0.03 * found.loss_history[0][0]
    assert float(found.loss[0]) < 1e-5 * found.loss_history[0][0]


SHAPES = [(4, 4, 4), (4, 1, 9), (4, 1, 1), (1, 6, 5), (16, 4, 4), (32, 5, 3), (3, 2, 2), (4, 7, 1)]


@pytest.mark.parametrize(("channels", "height", "width"), SHAPES)
def test_the_operator_is_symmetric_and_positive_definite_for_every_shape(linear, channels, height, width):
    autoencoder = linear([3.0 / (k + 1) for k in range(channels)])
    latents, images = made_by(autoencoder, channels, height, width)
    operator = spectral_whitening(Objective(autoencoder, images, "none"), latents, probes_needed(latents, 4))
    basis = torch.eye(latents.numel()).reshape(-1, *latents.shape)
    matrix = torch.stack([operator(one).flatten() for one in basis]).double()
    assert torch.allclose(matrix, matrix.T, atol=1e-5 * float(matrix.abs().max()))
    assert float(torch.linalg.eigvalsh(0.5 * (matrix + matrix.T)).min()) > 0
    found = invert(autoencoder, images, initial_latents=torch.zeros_like(latents), solver="lbfgs-spectral", steps=20)
    assert float(found.loss[0]) < 0.01 * found.loss_history[0][0]


def test_flat_cells_are_scaled_up_and_never_beyond_bounds():
    probes = torch.randn(8, 4, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    probes[..., 8:] *= 0.1
    probes[..., :3, :] *= 0
    scale = texture(probes)
    assert float(scale[12, 2] / scale[12, 14]) == pytest.approx(10, rel=0.2)
    assert float(scale.min()) >= 0.1 - 1e-9


@pytest.mark.parametrize("value", [float("nan"), 0.0])
def test_probes_that_say_nothing_leave_the_gradient_as_it_is(linear, value):
    autoencoder = linear([3.0] * 4)
    latents, images = made_by(autoencoder, 4, 4, 4)
    autoencoder.module.matrix.fill_(value)
    gradient = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    kept = spectral_whitening(Objective(autoencoder, images, "none"), latents, 2)(gradient)
    assert torch.allclose(kept, gradient, atol=1e-6)


def test_probes_are_counted_and_the_same_every_time(linear):
    autoencoder = linear([3.0, 2.0, 1.0, 0.5])
    latents, images = made_by(autoencoder, 4, 6, 6)
    objective = Objective(autoencoder, images, "none")
    first, second = (spectral_whitening(objective, latents, 4) for _ in range(2))
    assert torch.equal(first.inverse, second.inverse) and torch.equal(first.scale, second.scale)
    assert (objective.passes.decoder, objective.passes.backward) == (2, 8)
