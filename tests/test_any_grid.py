"""The latent grid of cropped and mirrored pictures is found again."""

import pytest
import torch
from latent_tracer.core import InvalidImageError, Passes, alter, quantise
from latent_tracer.core.scores.any_grid import AnyGrid, GridPhase, find_grid_phase

SIDE = 64


@pytest.fixture
def decoder(linear):
    return linear([3.0, 2.5, 2.0, 1.5, 1.2, 1.0])


@pytest.fixture
def decoded(decoder):
    cells = (1, decoder.latent_channels, SIDE // 8, SIDE // 8)
    latents = 0.25 * torch.randn(cells, generator=torch.Generator().manual_seed(1))
    return quantise(decoder.decode(latents))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("clean", GridPhase(0, 0, False)),
        ("off-grid-crop", GridPhase(3, 5, False)),  # the alteration takes 5 rows and 3 columns off the top left
        ("flip", GridPhase(0, 0, True)),
    ],
)
def test_the_grid_of_an_altered_picture_is_found_again(decoder, decoded, condition, expected):
    assert find_grid_phase(decoder, alter(decoded, condition), Passes()) == expected


def test_the_score_on_the_found_grid_is_that_of_the_unaltered_picture(decoder, decoded):
    mirrored, clean = (AnyGrid()(decoder, alter(decoded, condition)) for condition in ("flip", "clean"))
    assert mirrored.value == clean.value
    assert "mirrored" in mirrored.stage


def test_every_pass_of_the_search_is_counted(decoder, decoded):
    passes = AnyGrid()(decoder, decoded).passes
    # 2·64 phases, then one look or three for the whole picture.
    assert passes.encoder == passes.decoder and passes.encoder in (128 + 2, 128 + 4)


def test_a_picture_too_small_to_search_is_refused_with_the_size_it_needs(decoder):
    with pytest.raises(InvalidImageError, match="32×64 pixels.*at least 40"):
        AnyGrid()(decoder, torch.rand(1, 3, 64, 32))
