"""The grid contrast beyond JPEG's rounding, and AEDR's ratio, as one score."""

import math

import pytest
import torch
from latent_tracer.core import alter, calibrate, load_autoencoder, make_score, quantise, synthetic_photograph
from latent_tracer.core.images.jpeg import jpeg_quality, luminance_steps
from latent_tracer.core.scores.contrast_and_ratio import RATIO_WEIGHT, ContrastAndRatio, combined, rounding_slack
from latent_tracer.core.scores.grid_contrast import Looks
from latent_tracer.core.scores.spectral import TO_YCBCR, band_energies, dct_matrix


@pytest.fixture(scope="module")
def decoder():
    return load_autoencoder("demo-a")


def test_the_score_is_the_sum_of_its_parts_and_costs_both(decoder):
    image = alter(synthetic_photograph(3, 96), "jpeg-75")
    whole = make_score("grid-contrast-and-ratio")(decoder, image)
    looks = Looks(decoder, image, slack=rounding_slack(image, 8))
    contrast, ratio = looks.mean_of_three(looks.first()), make_score("double-reconstruction")(decoder, image)
    assert whole.value == pytest.approx(contrast + RATIO_WEIGHT * math.log(ratio.value))
    assert whole.passes == looks.passes + ratio.passes
    assert "double reconstruction" in whole.stage


def test_no_ratio_carries_a_picture_alone():
    assert combined(0.0, 1e-30) == pytest.approx(RATIO_WEIGHT * math.log(0.01))
    assert combined(0.0, math.inf) == pytest.approx(RATIO_WEIGHT * math.log(100))
    assert math.isnan(combined(0.0, math.nan)) and math.isnan(combined(math.nan, 1.0))


def test_the_slack_is_half_a_step_of_the_tables_that_the_pixels_show():
    image = alter(synthetic_photograph(4, 128), "jpeg-75")
    slack = rounding_slack(image, 8)
    expected = torch.tensor(luminance_steps(jpeg_quality(image)), dtype=torch.float32) / 2 / 255
    assert torch.equal(slack[0], expected)
    assert slack[1:].isinf().all()
    # Without JPEG, or where the decoder's cells do not begin with JPEG's blocks, everything counts.
    assert rounding_slack(quantise(synthetic_photograph(4, 128)), 8) is None
    assert rounding_slack(image, 4) is None
    assert rounding_slack(image, 16) is not None


def test_the_picture_before_jpeg_lies_within_the_slack():
    # Away from black and white, where clipping would move more than rounding does.
    original = quantise(0.25 + 0.5 * synthetic_photograph(5, 128))
    stored = alter(original, "jpeg-75")
    slack = rounding_slack(stored, 8)
    # Pixels are rounded twice more on the way, which is worth a level or two and not a step.
    within = band_energies(stored - original, slack + 2.5 / 255)
    assert float(within.max()) == 0
    moved, unexplained = (band_energies(stored - original, s)[..., :5].mean() for s in (None, slack))
    assert float(moved) > 100 * float(unexplained)


def test_energies_with_slack_are_those_of_what_goes_beyond_it():
    generator = torch.Generator().manual_seed(0)
    residual = 0.1 * torch.randn(1, 3, 8, 8, generator=generator)
    slack = 0.1 * torch.rand(3, 8, 8, generator=generator)
    transform = dct_matrix()
    coefficients = transform @ torch.einsum("dc,chw->dhw", TO_YCBCR, residual[0]) @ transform.T
    beyond = (coefficients.abs() - slack).clamp_min(0)
    pixels = torch.einsum("cd,dhw->chw", torch.linalg.inv(TO_YCBCR), transform.T @ beyond @ transform)
    assert torch.allclose(band_energies(residual, slack), band_energies(pixels[None]), atol=1e-6)
    assert torch.equal(band_energies(residual, torch.zeros(3, 8, 8)), band_energies(residual))


@torch.no_grad()
def test_own_pictures_out_of_strong_jpeg_score_below_photographs(decoder):
    photographs = [synthetic_photograph(seed, 96) for seed in range(4)]
    made = [quantise(decoder.decode(decoder.encode(photograph))) for photograph in photographs]
    score = ContrastAndRatio()
    belonging = [score(decoder, alter(image, "jpeg-75")).value for image in made]
    assert max(belonging) < min(score(decoder, alter(image, "jpeg-75")).value for image in photographs)


def test_photographs_that_never_saw_jpeg_are_among_the_others_of_its_profiles(decoder):
    photographs = [synthetic_photograph(seed, 64) for seed in range(5)]
    profile = calibrate(decoder, ContrastAndRatio(), photographs, condition="jpeg-75", fpr=0.2)
    assert [source.history for source in profile.others] == ["jpeg-75", "clean", "jpeg-30"]
    clean = profile.others[1].scores[0]
    assert clean == pytest.approx(ContrastAndRatio()(decoder, quantise(photographs[0])).value, abs=1e-4)
    # A picture that shows JPEG of that quality is none of those that were left as they were made.
    assert profile.like(75).others == profile.others[:1]
