"""The weight fingerprint names weights, not files."""

from __future__ import annotations

import pytest
import torch
from latent_tracer.core import weight_fingerprint


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"in.weight": (8, 3, 3, 3), "attention.q.weight": (8, 8), "out.weight": (3, 8, 1, 1), "out.bias": (3,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def test_a_cast_to_bfloat16_keeps_it(state):
    assert weight_fingerprint({k: v.bfloat16() for k, v in state.items()}) == weight_fingerprint(state)
    assert weight_fingerprint({k: v.bfloat16().float() for k, v in state.items()}) == weight_fingerprint(state)


def test_weights_stored_as_fp16_keep_it_in_every_wider_type(state):
    stored = {k: v.half() for k, v in state.items()}
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert weight_fingerprint({k: v.to(dtype) for k, v in stored.items()}) == weight_fingerprint(stored)


def test_renaming_and_reordering_keep_it(state):
    renamed = {f"first_stage_model.{k}": v for k, v in reversed(state.items())}
    assert weight_fingerprint(renamed) == weight_fingerprint(state)


def test_a_linear_layer_equals_its_one_by_one_convolution(state):
    reshaped = state | {"attention.q.weight": state["attention.q.weight"][:, :, None, None]}
    assert weight_fingerprint(reshaped) == weight_fingerprint(state)


def test_the_memory_layout_does_not_matter(state):
    strided = {k: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in state.items()}
    assert weight_fingerprint(strided) == weight_fingerprint(state)


@pytest.mark.parametrize("name", ["in.weight", "attention.q.weight", "out.weight"])
def test_one_changed_weight_changes_it(state, name):
    changed = state[name].clone()
    changed.view(-1)[-1] *= 1.02
    assert weight_fingerprint(state | {name: changed}) != weight_fingerprint(state)


def test_it_is_a_fixed_name_for_fixed_weights():
    """Profiles saved by an earlier version must still be found."""
    weights = {"weight": torch.arange(12.0).view(3, 4)}
    assert weight_fingerprint(weights) == "73bea4eaa1ef8cf179fc4b3298357078"
