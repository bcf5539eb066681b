"""The noise of a picture: told from detail, whatever its channels have in common, and where it is clipped."""

import pytest
import torch
from latent_tracer.core import quantise, synthetic_photograph
from latent_tracer.core.images.noise import noise_covariance, with_noise


def levels(covariance):
    return float(covariance.diag().mean().sqrt()) * 255


@pytest.mark.parametrize("deviation", [2, 6, 15])
@pytest.mark.parametrize("grey", [False, True])
def test_noise_is_told_to_a_fifth(deviation, grey):
    one = torch.full((3, 3), 1.0) if grey else torch.eye(3)
    covariance = one.double() * (deviation / 255) ** 2
    ground = torch.linspace(0.3, 0.6, 256).expand(1, 3, 256, 256)
    found = noise_covariance(quantise(with_noise(ground, covariance, seed=3)))
    assert levels(found) == pytest.approx(deviation, rel=0.2)
    assert float(found[0, 1] / found[0, 0]) == pytest.approx(float(grey), abs=0.15)


def test_noise_over_detail_is_told_apart_from_it():
    picture = synthetic_photograph(5, 256)
    before = levels(noise_covariance(picture))
    noisy = with_noise(picture, torch.eye(3).double() * (8 / 255) ** 2)
    assert before < 3 and levels(noise_covariance(quantise(noisy))) == pytest.approx(8, rel=0.35)


def test_clipped_parts_do_not_hide_the_noise_of_the_others():
    picture = torch.full((1, 3, 256, 256), 0.5)
    picture[..., :160] = 1.0
    noisy = quantise(with_noise(picture, torch.eye(3).double() * (8 / 255) ** 2))
    assert levels(noise_covariance(noisy)) == pytest.approx(8, rel=0.25)


def test_a_picture_without_noise_or_without_blocks_has_none():
    for picture in (torch.full((1, 3, 64, 64), 0.4), torch.zeros(1, 3, 64, 64), torch.rand(1, 3, 12, 64)):
        assert not noise_covariance(quantise(picture)).any()


def test_noise_is_the_same_for_a_seed():
    picture, covariance = torch.full((1, 3, 40, 48), 0.5), torch.eye(3).double() * 1e-3
    assert torch.equal(with_noise(picture, covariance, 4), with_noise(picture, covariance, 4))
    assert not torch.equal(with_noise(picture, covariance, 4), with_noise(picture, covariance, 5))
