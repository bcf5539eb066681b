"""The grid contrast and AEDR's ratio as one score."""

import math

import pytest
import torch
from latent_tracer.core import alter, calibrate, load_autoencoder, make_score, quantise, synthetic_photograph
from latent_tracer.core.scores.contrast_and_ratio import ContrastAndRatio, combined


@pytest.fixture(scope="module")
def decoder():
    return load_autoencoder("demo-a")


def test_the_score_is_the_sum_of_its_parts_and_costs_both(decoder):
    image = alter(synthetic_photograph(3, 96), "jpeg-75")
    whole = make_score("grid-contrast-and-ratio")(decoder, image)
    contrast, ratio = (make_score(name)(decoder, image) for name in ("grid-contrast", "double-reconstruction"))
    assert whole.value == pytest.approx(contrast.value + 0.05 * math.log(ratio.value))
    assert whole.passes == contrast.passes + ratio.passes
    assert "double reconstruction" in whole.stage


def test_no_ratio_carries_a_picture_alone():
    assert combined(0.0, 1e-30) == pytest.approx(0.05 * math.log(0.01))
    assert combined(0.0, math.inf) == pytest.approx(0.05 * math.log(100))
    assert math.isnan(combined(0.0, math.nan)) and math.isnan(combined(math.nan, 1.0))


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
    assert set(profile.non_belonging_sources) == {"photograph", "photograph, clean", "photograph, jpeg-30"}
    clean = profile.scores_by_source["photograph, clean"][0]
    assert clean == pytest.approx(ContrastAndRatio()(decoder, quantise(photographs[0])).value, abs=1e-4)
