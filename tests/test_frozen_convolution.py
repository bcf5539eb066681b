"""Frozen convolutions keep shapes, not activations, and the gradients are the same numbers."""

from __future__ import annotations

import pytest
import torch
from latent_tracer.core import load_autoencoder
from latent_tracer.core.inversion.frozen_convolution import frozen_convolutions
from latent_tracer.core.inversion.memory import LiveTensors, block_checkpointing, bounded
from torch import autocast, nn
from torch.nn import Conv2d, Conv3d


def frozen(module: nn.Module) -> nn.Module:
    return module.requires_grad_(False)


def gradient_and_bytes(module, given):
    variable = given.clone().requires_grad_()
    with LiveTensors() as live:
        output = module(variable)
        kept = live.now
    (gradient,) = torch.autograd.grad(output.square().mean(), variable)
    return gradient, kept


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Conv2d(4, 6, 3, padding=1), (1, 4, 9, 7)),
        (Conv2d(4, 6, 3, stride=2, padding=1, bias=False), (2, 4, 8, 10)),
        (Conv2d(4, 8, 3, dilation=2, groups=2), (1, 4, 12, 12)),
        (Conv2d(4, 6, 3, padding="same"), (1, 4, 9, 7)),  # left to PyTorch
        (Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (1, 4, 9, 7)),
        (Conv3d(2, 3, 3, padding=1), (1, 2, 4, 6, 6)),
    ],
)
def test_gradients_are_bit_identical(layer, shape):
    network = frozen(nn.Sequential(layer, nn.SiLU()))
    given = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected, _ = gradient_and_bytes(network, given)
    with frozen_convolutions(network):
        found, _ = gradient_and_bytes(network, given)
    assert torch.equal(found, expected)


def test_activations_between_convolutions_are_not_kept():
    layers = [Conv2d(8, 8, 3, padding=1) for _ in range(6)]
    network = frozen(nn.Sequential(*[part for layer in layers for part in (layer, nn.SiLU())]))
    given = torch.randn(1, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    _, before = gradient_and_bytes(network, given)
    with frozen_convolutions(network):
        _, after = gradient_and_bytes(network, given)
    # SiLU keeps its inputs, convolutions nothing: a half, and the output.
    assert after < 0.65 * before


def test_gradients_under_autocast_are_those_of_autocast():
    network = frozen(nn.Sequential(Conv2d(4, 6, 3, padding=1), nn.SiLU(), Conv2d(6, 3, 3)))
    given = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    with autocast("cpu", torch.bfloat16):
        expected, _ = gradient_and_bytes(network, given)
        with frozen_convolutions(network):
            found, _ = gradient_and_bytes(network, given)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_weights_that_are_trained_get_their_gradients():
    layer = Conv2d(3, 3, 3)
    given = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with frozen_convolutions(layer):
        layer(given).square().mean().backward()
    assert layer.weight.grad is not None and float(layer.weight.grad.abs().sum()) > 0


def test_the_module_is_restored_and_nesting_changes_nothing_more():
    module = load_autoencoder("demo-a").module
    with pytest.raises(ZeroDivisionError), frozen_convolutions(module) as outer, frozen_convolutions(module) as inner:
        assert outer > 0 and inner == 0
        raise ZeroDivisionError
    assert not any("forward" in vars(part) for part in module.modules())


def test_a_real_decoder_keeps_less_alone_and_recomputed_with_equal_gradients():
    autoencoder = load_autoencoder("demo-a")
    latents = torch.randn(1, autoencoder.latent_channels, 12, 12, generator=torch.Generator().manual_seed(0))
    expected, kept = gradient_and_bytes(autoencoder.decode, latents)
    with bounded(autoencoder, 96, 96) as recomputed:
        found, less = gradient_and_bytes(autoencoder.decode, latents)
    assert not recomputed and less < 0.8 * kept and torch.equal(found, expected)
    with frozen_convolutions(autoencoder.module), block_checkpointing(autoencoder.module):
        found, least = gradient_and_bytes(autoencoder.decode, latents)
    assert least < less and torch.equal(found, expected)
