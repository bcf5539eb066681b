"""Maps of block contrasts, exact ones and rough ones that tell whether an exact one is worth its passes."""

import pytest
import torch
from latent_tracer.core import ModuleAutoencoder, load_autoencoder, quantise, synthetic_photograph
from latent_tracer.core.scores import contrast_map as module
from latent_tracer.core.scores.contrast_map import contrast_map, map_where_promising


@pytest.fixture(scope="module")
def demo():
    return load_autoencoder("demo-a")


@pytest.fixture(scope="module")
def photograph():
    return synthetic_photograph(41, 96)


@pytest.fixture(autouse=True)
def bfloat16(monkeypatch):
    """The rough look is in bfloat16, whatever this processor likes best."""
    monkeypatch.setattr(module, "bfloat16_is_faster", lambda device: True)


def same(one, other):
    return all(
        torch.equal(*pair) for both in zip(one.parts, other.parts, strict=True) for pair in zip(*both, strict=True)
    )


def test_what_promises_nothing_costs_one_look(demo, photograph):
    found = map_where_promising(demo, photograph, None, lambda rough: False)
    assert (found.passes.encoder, found.passes.decoder) == (2, 2)
    assert abs(found.contrast() - contrast_map(demo, photograph).contrast()) < 0.05


def test_what_promises_is_exact_and_pays_for_both(demo, photograph):
    with torch.no_grad():
        own = quantise(demo.decode(demo.encode(photograph)))
    exact = contrast_map(demo, own)
    found = map_where_promising(demo, own, None, lambda rough: rough.contrast() < -0.03)
    assert same(found, exact)
    assert found.passes.decoder == exact.passes.decoder + 2 == 6


@pytest.mark.parametrize("fails", [lambda values: values * torch.nan, lambda values: values @ None])
def test_a_network_that_bfloat16_breaks_is_looked_at_exactly(fails, demo, photograph):
    def decode(latents):
        decoded = demo.decode(latents)
        return fails(decoded) if torch.is_autocast_enabled("cpu") else decoded

    breaks = ModuleAutoencoder("breaks", demo.module, demo.encode, decode)
    assert same(map_where_promising(breaks, photograph, None, lambda rough: False), contrast_map(demo, photograph))
