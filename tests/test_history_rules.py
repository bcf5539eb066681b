"""Where each doubt about an answer begins: on either side of every limit."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import pytest
from latent_tracer.core import builtin_profile, load_autoencoder, quantise, synthetic_photograph
from latent_tracer.core.images.conditions import NO_JPEG
from latent_tracer.core.images.jpeg import jpeg_quality
from latent_tracer.core.images.regularity import different_blocks, grid_strength
from latent_tracer.core.verdicts.doubt import (
    GRID_OF_JPEG,
    History,
    condition_for,
    doubt_about,
    profile_for,
    roughest_jpeg,
    strongest_grid,
)


@pytest.fixture(scope="module")
def profile():
    """Of pictures that were never JPEG files; its others were, down to quality 30. Sides from 64 pixels."""
    known = builtin_profile(load_autoencoder("demo-a").fingerprint)
    assert roughest_jpeg(known) == 30
    return dataclasses.replace(known, image_sizes=(64, 512))


def ordinary(**changes) -> History:
    return dataclasses.replace(History(None, 0.05, 500, 500), **changes)


def test_a_picture_about_which_nothing_is_known_raises_no_doubt(profile):
    assert dataclasses.astuple(History()) == (None, 0.0, 0, 0, False, None)
    assert not History().repeats and History().side_without_repeats == 0
    assert [doubt_about(answer, History(), profile) for answer in ("belonging", "non-belonging")] == [None, None]


def test_the_history_is_that_of_the_pixels():
    image = quantise(synthetic_photograph(3, 96))
    assert History.of(image) == History(jpeg_quality(image), grid_strength(image), *different_blocks(image))


def test_a_picture_repeats_itself_where_fewer_than_half_of_its_blocks_differ():
    assert [History(None, 0, different, 10).repeats for different in (4, 5, 6)] == [True, False, False]
    assert [History(None, 0, different, 11).repeats for different in (5, 6)] == [True, False]
    assert History(None, 0, 9, 9).side_without_repeats == 24 == 8 * math.sqrt(9)


@pytest.mark.parametrize("answer", ["belonging", "non-belonging"])
def test_repeats_are_a_doubt_below_half_the_smallest_side_of_the_calibration(profile, answer):
    assert doubt_about(answer, ordinary(different_blocks=16), profile) is None
    assert doubt_about(answer, ordinary(different_blocks=15), profile) == (
        "the picture repeats itself: of 500 blocks of 8×8 pixels 15 differ, too few to judge by."
    )
    wide = dataclasses.replace(profile, image_sizes=(128, 512))
    assert doubt_about(answer, ordinary(different_blocks=63), wide) is not None
    assert doubt_about(answer, ordinary(different_blocks=64), wide) is None


def test_a_yes_to_a_rougher_jpeg_than_any_other_image_falls(profile):
    assert doubt_about("belonging", ordinary(jpeg_quality=28), profile) is None
    assert doubt_about("belonging", ordinary(jpeg_quality=27), profile) == (
        "the picture was once a JPEG file of about quality 27, whose blocks can pass for a decoder's trace, and none"
        " below quality 30 was among the other images of this calibration."
    )


def test_a_yes_to_a_grid_beyond_the_strongest_falls(profile):
    limit = strongest_grid(profile)
    assert limit >= 0.3 and GRID_OF_JPEG == 0.02
    assert doubt_about("belonging", ordinary(grid=limit), profile) is None
    assert doubt_about("belonging", ordinary(grid=limit + 1e-6), profile) == (
        "the picture has a regular grid of its own (block edges, a mosaic, ruled lines, an enlargement), which can pass"
        " for a decoder's trace."
    )
    # JPEG adds to it two hundredths per step of quality.
    for quality, added in ((90, 0.2), (50, 1.0), (99, 0.02)):
        assert doubt_about("belonging", ordinary(jpeg_quality=quality, grid=limit + added - 1e-6), profile) is None
        assert doubt_about("belonging", ordinary(jpeg_quality=quality, grid=limit + added + 1e-6), profile) is not None
    assert doubt_about("inconclusive", ordinary(jpeg_quality=5, grid=9.0), profile) is None
    # What JPEG adds by the quality of the profile's own condition was measured with the limit.
    rough = dataclasses.replace(profile, condition="jpeg-30")
    for quality, added in ((30, 0.0), (60, 0.0), (28, 0.04)):
        history = ordinary(jpeg_quality=quality)
        assert doubt_about("belonging", dataclasses.replace(history, grid=limit + added - 1e-6), rough) is None
        assert doubt_about("belonging", dataclasses.replace(history, grid=limit + added + 1e-6), rough) is not None


def test_a_no_to_a_rougher_jpeg_than_the_belonging_images_falls(profile):
    rough = dataclasses.replace(profile, condition="jpeg-75")
    assert doubt_about("non-belonging", ordinary(jpeg_quality=71), rough) is None
    assert doubt_about("non-belonging", ordinary(jpeg_quality=70), rough) == (
        "the picture was once a JPEG file of about quality 70, which weakens a trace, and the profile holds for jpeg-75"
        " images: calibrate for jpeg-30 (latent-tracer calibrate --condition jpeg-30, or so in Calibrate Trace)."
    )
    assert doubt_about("belonging", ordinary(jpeg_quality=70), rough) is None
    mildest = NO_JPEG - 4
    assert doubt_about("non-belonging", ordinary(jpeg_quality=mildest - 1), profile) is not None
    if mildest <= 100:
        assert doubt_about("non-belonging", ordinary(jpeg_quality=mildest), profile) is None


def test_the_condition_is_the_mildest_no_milder_than_the_file():
    asked = (100, 93, 92, 88, 87, 74, 73, 72, 28, 27, 1)
    wanted = [95, 95, 90, 90, 75, 75, 75, 30, 30, 30, 30]
    assert [condition_for(quality) for quality in asked] == [f"jpeg-{quality}" for quality in wanted]


def test_the_profile_is_the_nearest_that_is_not_much_milder():
    def chosen(quality, *conditions):
        return profile_for(ordinary(jpeg_quality=quality), [SimpleNamespace(condition=one) for one in conditions])

    assert chosen(71, "jpeg-30", "jpeg-75").condition == "jpeg-75"
    assert chosen(70, "jpeg-30", "jpeg-75").condition == "jpeg-30"
    assert chosen(70, "jpeg-90", "jpeg-75").condition == "jpeg-75"
    assert chosen(None, "blur-0.5", "clean").condition == chosen(None, "clean", "blur-0.5").condition == "clean"
    assert chosen(None, "jpeg-95", "jpeg-30").condition == "jpeg-95"
