"""The latent grid of cropped and mirrored pictures is found again."""

import pytest
import torch
from latent_tracer.core import Passes, alter, quantise
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
    # 2·64 phases, then two passes each for a short list of 8 to 10 and for the whole picture.
    assert 128 + 2 * 9 <= passes.encoder == passes.decoder <= 128 + 2 * 11
