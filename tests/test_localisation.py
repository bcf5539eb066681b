"""Foreign patches are found where they are, wholly belonging pictures stay clean, thresholds keep their rate."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from latent_tracer.core import (
    InvalidImageError,
    calibrate,
    load_autoencoder,
    locate_own,
    make_score,
    quantise,
    synthetic_photograph,
)
from latent_tracer.core.images.conditions import alter
from latent_tracer.core.profiles import Limit, builtin_profile, parse_profile
from latent_tracer.core.verdicts.localisation import (
    UNCALIBRATED_THRESHOLD,
    fit_localisation,
    locate_foreign,
    mapped_pixels,
    profile_of_map,
    smooth,
    threshold_of,
    to_pixels,
    weighted_quantile,
)
from latent_tracer.core.verdicts.own_part import OWN_PART, OWN_PART_RATE

SIDE = 224


@pytest.fixture(scope="module")
def made():
    """The autoencoder, a picture it decoded, and the photograph behind it."""
    autoencoder = load_autoencoder("demo-a")
    photograph = synthetic_photograph(500, SIDE)
    with torch.no_grad():
        return autoencoder, quantise(autoencoder.decode(autoencoder.encode(photograph))), photograph


def test_a_pasted_patch_is_found_where_it_is(made):
    autoencoder, own, photograph = made
    truth = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    truth[60:156, 90:186] = True
    found = locate_foreign(autoencoder, torch.where(truth, photograph, own))
    inside, outside = found.excess[truth], found.excess[~truth]
    pairs = torch.randperm(2000)
    auc = float((inside[pairs % len(inside)] > outside[pairs.flip(0) % len(outside)]).float().mean())
    overlap = float((found.mask & truth).sum() / (found.mask | truth).sum())
    assert auc > 0.95
    assert overlap > 0.5
    assert 0.5 * truth.float().mean() < found.share < 2 * truth.float().mean()
    assert found.false_alarm_rate is None and found.threshold == UNCALIBRATED_THRESHOLD


def test_its_own_part_of_a_photograph_is_found_where_it_is(made):
    autoencoder, own, photograph = made
    truth = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    truth[56:168, 40:152] = True
    found = locate_own(autoencoder, torch.where(truth, own, photograph))
    overlap = float((found.mask & truth).sum() / (found.mask | truth).sum())
    assert overlap > 0.5
    assert found.is_own and "shows this decoder's trace" in found.sentence
    assert found.false_alarm_rate == pytest.approx(OWN_PART_RATE) and "2.5%" in found.sentence


@pytest.mark.parametrize("which", [1, 2])
def test_what_is_all_its_own_or_not_at_all_has_no_part_of_its_own(which, made):
    found = locate_own(made[0], made[which])
    assert not found.mask.any() and found.largest_excess < OWN_PART
    assert "no region stands out" in found.sentence


def test_of_jpeg_files_no_rate_is_stated_for_its_own_part(made):
    found = locate_own(made[0], alter(made[2], "jpeg-75"))
    assert found.false_alarm_rate is None and "not measured" in found.sentence


def test_no_rate_is_stated_beyond_the_sizes_that_were_measured(made, monkeypatch):
    """The more neighbourhoods a picture has, the likelier one stands out."""
    autoencoder, own, photograph = made
    shipped = builtin_profile(load_autoencoder("demo-a").fingerprint)
    held = dataclasses.replace(shipped, limits=dataclasses.replace(shipped.limits, localisation=Limit(9.0, 23, 0.05)))
    wider = dataclasses.replace(held, image_sizes=(192, 4000))
    assert (mapped_pixels(held), mapped_pixels(wider)) == (256**2, 512**2)
    large = torch.cat([own] * (256 // SIDE + 1), -1)
    assert locate_foreign(autoencoder, own[..., : min(SIDE, 256), :], held).false_alarm_rate == 0.05
    monkeypatch.setattr("latent_tracer.core.verdicts.localisation.SHIPPED_SIDE", 32)
    monkeypatch.setattr("latent_tracer.core.verdicts.localisation.CALIBRATED_SIDE", 32)
    assert locate_foreign(autoencoder, large, held).false_alarm_rate is None
    monkeypatch.setattr("latent_tracer.core.verdicts.own_part.OWN_PART_PIXELS", SIDE**2 - 1)
    assert locate_own(autoencoder, photograph).false_alarm_rate is None


def test_a_picture_that_wholly_belongs_has_no_mask(made):
    found = locate_foreign(*made[:2])
    assert found.largest_excess < UNCALIBRATED_THRESHOLD
    assert found.share == 0 and not found.mask.any()
    assert (found.passes.encoder, found.passes.decoder) == (4, 4)


def test_maps_have_the_size_of_the_picture_whatever_its_shape(made):
    autoencoder, own, _ = made
    found = locate_foreign(autoencoder, own[..., :96, :160])
    for tensor in (found.contrast, found.excess, found.mask, found.visible):
        assert tensor.shape == (96, 160)


def test_flat_pictures_have_no_map(made):
    with pytest.raises(InvalidImageError, match="flat"):
        locate_foreign(made[0], torch.full((1, 3, 96, 96), 0.5))


def test_the_standard_error_of_the_smoothed_noise_is_right():
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(200, 200, generator=generator) + 0.2
    noise = torch.randn(200, 200, generator=generator)
    smoothed, error = smooth(noise, weight)
    inner = (slice(20, -20), slice(20, -20))
    assert float((smoothed / error)[inner].std()) == pytest.approx(1.0, abs=0.12)


def test_weighted_quantiles_are_those_of_repeated_values():
    values, weights = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([1.0, 2.0, 1.0])
    repeated = [1.0, 1.0, 2.0, 3.0]
    for share in (0.2, 0.5, 0.7, 0.9, 1.0):
        expected = repeated[-(-int(share * 1000) * 4 // 1000) - 1]
        assert weighted_quantile(values, weights, share) == expected


def test_block_values_land_on_their_pixels():
    pixels = to_pixels(torch.arange(4.0).reshape(2, 2), 8, (40, 40))
    assert pixels[8, 8] == 0 and pixels[8, 16] == 1 and pixels[16, 8] == 2 and pixels[23, 23] == 3
    assert pixels[0, 0] == 0 and pixels[39, 39] == 3


def test_the_threshold_is_exceeded_no_more_often_than_stated():
    held = fit_localisation([float(k) for k in range(99)], alpha=0.05)
    assert (held.rate, held.n) == (0.05, 99) and sum(k > held.value for k in range(99)) / 100 <= 0.05
    assert fit_localisation([1.0, 2.0], alpha=0.01).rate == pytest.approx(1 / 3)
    assert fit_localisation([]) is None
    assert threshold_of(None) == (UNCALIBRATED_THRESHOLD, None)
    profile = builtin_profile(load_autoencoder("demo-a").fingerprint)
    value, _ = threshold_of(profile)
    assert value > 0


def test_calibration_keeps_the_rate_at_which_belonging_pictures_show_a_region():
    autoencoder = load_autoencoder("demo-b")
    photographs = [synthetic_photograph(seed, 64, leaves=80) for seed in range(5)]
    profile = calibrate(autoencoder, make_score("grid-contrast"), photographs)
    held = parse_profile(json.loads(profile.to_json()), "profile").limits.localisation
    assert held.n == 5 and held.rate == pytest.approx(1 / 6)
    stored = [("round", "floor")[number % 2] for number in range(5)]
    with torch.no_grad():
        decoded = [autoencoder.decode(autoencoder.encode(quantise(photograph))) for photograph in photographs]
    own = [quantise(image, how) for image, how in zip(decoded, stored, strict=True)]
    largest = [locate_foreign(autoencoder, image, profile).largest_excess for image in own]
    assert held.value == pytest.approx(max(largest))
    assert threshold_of(profile) == (held.value, held.rate)
    other = calibrate(autoencoder, make_score("reconstruction"), photographs)
    assert other.limits.localisation is None


def test_of_several_conditions_the_one_that_the_pixels_show_gives_the_threshold_of_a_map():
    picture = synthetic_photograph(1, 96)
    clean = builtin_profile(load_autoencoder("demo-a").fingerprint)
    jpeg = dataclasses.replace(clean, condition="jpeg-90")
    # A score for rough JPEG holds no threshold of maps, however near its condition is.
    rough = dataclasses.replace(clean, condition="jpeg-75", limits=dataclasses.replace(clean.limits, localisation=None))
    several = (clean, jpeg, rough)
    # Maps of rougher JPEG than any that was measured are another's: no rate is known of them.
    chosen = [profile_of_map(several, alter(picture, one)) for one in ("clean", "jpeg-90", "jpeg-75")]
    assert chosen == [clean, jpeg, None] and profile_of_map((clean,), alter(picture, "jpeg-90")) is None
    assert profile_of_map((rough,), picture) is None and profile_of_map((), picture) is None


def test_large_flat_parts_of_a_picture_do_not_stand_out():
    """Where nothing is to be seen all around, neither the mean nor its error is anything but rounding."""
    autoencoder = load_autoencoder("demo-a")
    picture = quantise(synthetic_photograph(5, 256, leaves=300))
    picture[..., 100:, :] = 0.0
    with torch.no_grad():
        own = quantise(autoencoder.decode(autoencoder.encode(picture)))
    own[..., 110:, :] = 0.0
    found = locate_foreign(autoencoder, own)
    assert found.largest_excess < 100
    assert not found.mask[-60:].any() and not found.visible[-60:].any()
