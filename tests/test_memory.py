"""Checkpointing changes memory, never a number; the decoder is as it was afterwards."""

from __future__ import annotations

import pytest
import torch
from latent_tracer.core import InvalidImageError, LatentTracerError, invert, load_autoencoder
from latent_tracer.core.inversion import memory as memory_module
from latent_tracer.core.inversion.memory import (
    LiveTensors,
    block_checkpointing,
    blocks_of,
    bounded,
    kept_bytes_per_pixel,
)
from torch import nn


@pytest.fixture(scope="module")
def kl():
    """A KL autoencoder of random weights in Stable Diffusion's layout, a tenth as wide."""
    from diffusers import AutoencoderKL
    from latent_tracer.core import ModuleAutoencoder

    torch.manual_seed(0)
    module = AutoencoderKL(
        block_out_channels=(32, 32, 64, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=8,
    )
    return ModuleAutoencoder(
        "small KL",
        module,
        lambda images: module.encode(images * 2 - 1).latent_dist.mode(),
        lambda latents: module.decode(latents).sample / 2 + 0.5,
    )


def gradient(autoencoder, latents):
    variable = latents.clone().requires_grad_()
    with LiveTensors() as live:
        (result,) = torch.autograd.grad(autoencoder.decode(variable).square().mean(), variable)
    return result, live.peak


def test_checkpointed_gradients_are_bit_identical_and_need_less_memory(kl):
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    plain, plain_peak = gradient(kl, latents)
    with block_checkpointing(kl.module) as blocks:
        recomputed, peak = gradient(kl, latents)
    assert blocks > 5
    assert torch.equal(plain, recomputed)
    assert peak < 0.6 * plain_peak


def test_the_module_is_restored_even_when_the_block_fails(kl):
    with pytest.raises(ZeroDivisionError), block_checkpointing(kl.module):
        raise ZeroDivisionError
    assert not any("forward" in vars(module) for module in kl.module.modules())


def test_nested_checkpointing_recomputes_once_and_restores_once(kl):
    with block_checkpointing(kl.module) as outer, block_checkpointing(kl.module) as inner:
        assert outer > 0 and inner == 0
    assert not any("forward" in vars(module) for module in kl.module.modules())


def test_blocks_are_found_inside_plain_sequences():
    autoencoder = load_autoencoder("demo-a")
    kinds = {type(block).__name__ for block in blocks_of(autoencoder.module)}
    assert kinds and "Sequential" not in kinds


def test_live_tensors_count_storages_once_and_forget_the_dead():
    with LiveTensors() as live:
        first = torch.zeros(1000)
        view = first[10:].reshape(-1)
        view += 1
        assert live.now == 4000
        second = first * 2
        assert live.now == 8000
        del first, view
        assert live.now == 4000
    assert live.peak == 8000 and second.sum() > 0


def test_kept_bytes_grow_with_the_image_as_predicted(kl):
    predicted = kept_bytes_per_pixel(kl) * 256 * 256
    variable = torch.zeros(1, 4, 32, 32).requires_grad_()
    with LiveTensors() as live:
        decoded = kl.decode(variable)
        kept = live.now
    assert decoded.requires_grad
    assert kept == pytest.approx(predicted, rel=0.1)


def test_an_inversion_under_tight_memory_gives_the_same_result_and_says_so(kl, monkeypatch):
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain = invert(kl, image, steps=4)
    monkeypatch.setattr(memory_module, "free_memory", lambda device: 1000)
    tight = invert(kl, image, steps=4)
    assert torch.equal(plain.latents, tight.latents) and torch.equal(plain.loss, tight.loss)
    assert any("recomputed" in note for note in tight.notes)
    assert tight.peak_bytes[0] < plain.peak_bytes[0]


class Exhausted(nn.Module):
    """A decoder that finds no memory left ``failures`` times."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.scale = nn.Parameter(torch.ones(1, 1))


def exhausted(failures: int):
    from latent_tracer.core import ModuleAutoencoder

    module = Exhausted(failures)

    def decode(latents):
        if torch.is_grad_enabled() and latents.requires_grad and latents.shape[-1] != 16:
            module.failures -= 1
            if module.failures >= 0:
                raise torch.OutOfMemoryError("no memory")
        return nn.functional.interpolate(latents[:, :3], scale_factor=8) * module.scale

    return ModuleAutoencoder("short of memory", module, lambda x: nn.functional.avg_pool2d(x, 8), decode)


def test_one_failure_for_want_of_memory_is_tried_again():
    inversion = invert(exhausted(1), torch.rand(1, 3, 64, 64), steps=3)
    assert float(inversion.loss[0]) > 0
    assert any("recomputed" in note for note in inversion.notes)


def test_a_second_failure_is_one_clear_sentence_with_the_size():
    with pytest.raises(LatentTracerError, match=r"64×64 pixels .* ran out of memory twice"):
        invert(exhausted(2), torch.rand(1, 3, 64, 64), steps=3)


def test_other_errors_are_not_mistaken_for_want_of_memory(kl):
    with bounded(kl, 64, 64, always=True) as on, pytest.raises(InvalidImageError):
        assert on
        raise InvalidImageError("another")
