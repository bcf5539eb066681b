"""Blocks at the 8-bit floor: what a decoder wrote has them, what it did not has none, and flat blocks do not count."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from latent_tracer.core import Picture, Tracer, invert, load_autoencoder, quantise
from latent_tracer.core.images.quantiser import LEVELS
from latent_tracer.core.images.synthetic import synthetic_photograph
from latent_tracer.core.inversion.floor_blocks import BLOCK, floor_blocks
from latent_tracer.core.inversion.solvers import SpectralLBFGS
from latent_tracer.core.reports.pictures import trace_picture
from latent_tracer.core.reports.words import trace_report
from latent_tracer.core.tracing.row import traced_row


def textured(side):
    return quantise(0.3 + 0.4 * torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)))


def test_a_block_counts_where_it_has_detail_and_only_what_rounding_leaves_is_missed():
    image = textured(40)
    image[..., :BLOCK, :] = 0.5
    exact = (image + (torch.rand(image.shape, generator=torch.Generator().manual_seed(1)) - 0.5) / LEVELS).clamp(0, 1)
    found = floor_blocks(image, exact, "round")
    assert found.telling.shape == (5, 5)
    assert not found.telling[0].any() and found.telling[1:].all() and found.share == 1
    missed = exact.clone()
    missed[..., 16:24, 24:32] += 2 / LEVELS
    assert floor_blocks(image, missed, "round").at_floor.logical_not().nonzero()[5:].tolist() == [[2, 3]]
    assert floor_blocks(torch.full((1, 3, 32, 32), 0.5), torch.full((1, 3, 32, 32), 0.5), "round").share is None


def test_sides_that_fill_no_block_are_left_out():
    image = textured(40)[..., :37, :35]
    assert floor_blocks(image, image, "round").at_floor.shape == (4, 4)
    for small in (image[..., :4, :4], image[..., :2, :2], image[..., :7, :16]):
        assert floor_blocks(small, small, "round").share is None


@pytest.fixture(scope="module")
def demo():
    return load_autoencoder("demo-a")


@torch.no_grad()
def own(demo, side=64):
    latents = demo.encode(synthetic_photograph(seed=3, size=side))
    return quantise(demo.decode(latents + 0.3 * latents.std() * torch.randn(latents.shape)), "floor")


def test_what_the_decoder_wrote_has_such_blocks_and_another_picture_none(demo):
    torch.manual_seed(0)
    solver = SpectralLBFGS(steps=60)
    found = invert(demo, own(demo), solver=solver).floor_blocks[0]
    other = invert(demo, synthetic_photograph(seed=5, size=64), solver=solver).floor_blocks[0]
    assert found.share > 0.3 and int(found.telling.sum()) > 20
    assert other.share == 0 and int(other.telling.sum()) > 20


def test_reports_rows_and_cards_show_them(demo):
    torch.manual_seed(0)
    tracer = Tracer(demo, solver="lbfgs-spectral")
    traced = tracer.explained(tracer.trace(Picture.of(own(demo, 160))), steps=5)
    share = traced.inversion.floor_blocks[0].share
    assert traced_row(traced, []).floor_blocks == share
    assert "blocks explained down to the 8-bit floor: " in trace_report(traced)
    without = replace(traced, inversion=replace(traced.inversion, floor_blocks=(None,)))
    assert trace_picture(traced).tobytes() != trace_picture(without).tobytes()
    assert traced_row(without, []).floor_blocks is None
