"""What a picture's map is held against: its own best quarter, so that a foreign part may be the larger one."""

from __future__ import annotations

import pytest
import torch
from latent_tracer.core import load_autoencoder, quantise, synthetic_photograph
from latent_tracer.core.verdicts.localisation import locate_foreign

SIDE = 224


@pytest.fixture(scope="module")
def made():
    """The autoencoder, two detailed photographs, and what it decodes them to."""
    autoencoder = load_autoencoder("demo-a")
    photographs = [quantise(synthetic_photograph(seed, SIDE, leaves=900)) for seed in (3, 4)]
    with torch.no_grad():
        return autoencoder, photographs, [quantise(autoencoder.decode(autoencoder.encode(x))) for x in photographs]


@pytest.mark.parametrize("number", [0, 1])
def test_a_quarter_of_a_wholly_belonging_picture_lies_at_or_below_the_reference(made, number):
    autoencoder, _, own = made
    found = locate_foreign(autoencoder, own[number])
    below = float((found.excess[found.visible] <= 0).float().mean())
    assert 0.17 < below < 0.33


@pytest.mark.parametrize("number", [0, 1])
def test_a_foreign_part_of_six_tenths_is_still_the_foreign_one(made, number):
    autoencoder, photographs, own = made
    truth = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    truth[:, : int(0.6 * SIDE)] = True
    found = locate_foreign(autoencoder, torch.where(truth, photographs[number], own[number]))
    assert found.mask[truth].float().mean() > 0.5
    # Beyond the edge, which the smoothing draws out over 30 pixels.
    assert found.mask[:, int(0.6 * SIDE) + 30 :].float().mean() < 0.02
