"""The contrast between grids: every picture is its own control."""

from __future__ import annotations

import math

import pytest
import torch
from latent_tracer.core import InvalidImageError, load_autoencoder, quantise, synthetic_photograph
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.scores.grid_contrast import GridContrast
from latent_tracer.core.scores.residuals import (
    LARGEST_LOG_RATIO,
    compared_pixels,
    grid_contrast,
    least_side,
    residual_energies,
)
from latent_tracer.core.scores.spectral import BAND_WEIGHTS, ROUNDING_ENERGY


@pytest.fixture(scope="module")
def demos():
    return {name: load_autoencoder(name) for name in ("demo-a", "demo-b")}


def energies(seed, level=1e-3):
    return level * torch.rand(4, 5, 9, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def decoded_by(autoencoder, image, stored="round"):
    return quantise(autoencoder.decode(autoencoder.encode(image)), stored)


def test_equal_residuals_have_no_contrast_and_swapping_them_turns_the_sign():
    first, second, picture = energies(0), energies(1), energies(2, 0.1)
    assert grid_contrast(first, first, picture) == 0
    assert grid_contrast(first, second, picture) == pytest.approx(-grid_contrast(second, first, picture), abs=1e-6)


def test_the_contrast_is_the_weighted_mean_of_log_ratios():
    first, second, picture = energies(0), energies(1), energies(2)
    total = weight_sum = 0.0
    for index in range(first.numel()):
        on, beside, own = (float(e.flatten()[index]) for e in (first, second, picture))
        level = min((on + beside) / 2, own)
        weight = float(BAND_WEIGHTS[index % 9]) * level / (level + 10 * ROUNDING_ENERGY)
        ratio = math.log((on + 2 * ROUNDING_ENERGY) / (beside + 2 * ROUNDING_ENERGY))
        total += weight * max(-LARGEST_LOG_RATIO, min(LARGEST_LOG_RATIO, ratio))
        weight_sum += weight
    assert grid_contrast(first, second, picture) == pytest.approx(total / weight_sum, rel=1e-4)


def test_no_single_block_can_carry_the_picture():
    first, picture = energies(0), energies(2, 0.1)
    second = first.clone()
    second[1, 2] *= 1e6
    assert abs(grid_contrast(first, second, picture)) <= LARGEST_LOG_RATIO / 20 * 1.2


@pytest.mark.parametrize("which", ["residuals", "picture"])
def test_rounding_noise_alone_is_refused(which):
    noise, detail = torch.full((4, 5, 9), 0.01 * ROUNDING_ENERGY), energies(0)
    on = noise if which == "residuals" else detail
    with pytest.raises(InvalidImageError, match="flat"):
        grid_contrast(on, on, noise if which == "picture" else detail)


def test_every_offset_compares_the_same_pixels():
    class Nothing:
        name, spatial_ratio = "nothing", 8

        def encode(self, images):
            return images

        def decode(self, latents):
            return torch.zeros_like(latents)

    image = torch.rand(1, 3, 56, 64, generator=torch.Generator().manual_seed(0))
    expected = residual_energies(Nothing(), image, (0, 0), Passes())
    for offset in ((4, 4), (0, 4), (4, 0), (7, 1)):
        assert torch.equal(residual_energies(Nothing(), image, offset, Passes()), expected)
    assert compared_pixels(image, 8).shape == (1, 3, 56 - 24, 64 - 24)


def test_a_picture_too_small_to_shift_is_refused_with_the_size_it_needs(demos):
    side = least_side(8)
    with pytest.raises(InvalidImageError, match=f"32×64 pixels.*at least {side}"):
        GridContrast()(demos["demo-a"], torch.rand(1, 3, 64, 32))


@pytest.mark.parametrize("made_by", ["demo-a", "demo-b"])
@pytest.mark.parametrize("stored", ["round", "floor"])
def test_a_decoders_own_pictures_score_low_and_photographs_near_zero(demos, made_by, stored):
    score, maker = GridContrast(), demos[made_by]
    other = demos["demo-b" if made_by == "demo-a" else "demo-a"]
    photograph = synthetic_photograph(400, 96)
    own = score(maker, decoded_by(maker, photograph, stored)).value
    foreign = score(maker, decoded_by(other, photograph, stored)).value
    assert abs(score(maker, photograph).value) < 0.12
    # What another decoder wrote on the same grid is not quite neutral, but far from belonging.
    assert own < -0.5 and own < 2 * foreign


def graphics(size=128):
    """Pictures that any decoder reproduces well: gradients, a soft blur, an edge on the grid."""
    rows, columns = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    seeds = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return {
        "colour gradient": torch.stack([0.1 + 0.8 * columns, 0.2 + 0.5 * rows, 0.9 - 0.7 * columns])[None],
        "faint gradient": torch.stack([0.4 + 0.1 * rows, 0.5 + 0 * rows, 0.6 - 0.2 * columns])[None],
        "soft colours": torch.nn.functional.interpolate(seeds, size=(size, size), mode="bicubic").clamp(0, 1),
        "edge": (columns > 0.5).float().expand(1, 3, size, size) * 0.5 + 0.2,
    }


@pytest.mark.parametrize("name", ["demo-a", "demo-b"])
@pytest.mark.parametrize("picture", list(graphics(8)))
def test_smooth_graphics_never_look_as_belonging_as_the_decoders_own_pictures(demos, name, picture):
    score = GridContrast()
    own = score(demos[name], decoded_by(demos[name], synthetic_photograph(410, 128))).value
    try:
        value = score(demos[name], quantise(graphics()[picture])).value
    except InvalidImageError as error:
        assert "flat" in str(error)
    else:
        assert value > own / 2


def test_clear_pictures_take_one_look_and_unclear_ones_three(demos):
    photograph = synthetic_photograph(420, 64)
    one = GridContrast(clearly_belonging=0.0, clearly_not=0.0)(demos["demo-a"], photograph)
    three = GridContrast(clearly_belonging=-9.0, clearly_not=9.0)(demos["demo-a"], photograph)
    assert (one.passes.encoder, one.passes.decoder, one.stage) == (2, 2, "grid contrast, one look")
    assert (three.passes.encoder, three.passes.decoder, three.stage) == (4, 4, "grid contrast, three looks")
    assert GridContrast().settings != GridContrast(clearly_not=0.0).settings
