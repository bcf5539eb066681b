"""Every doubt about an answer, word for word, and that nothing else is doubted."""

from __future__ import annotations

from dataclasses import astuple
from types import SimpleNamespace

import pytest
from latent_tracer.core import InvalidSettingError
from latent_tracer.core.profiles import Limit, Limits, Source
from latent_tracer.core.verdicts import doubt
from latent_tracer.core.verdicts.doubt import (
    History,
    condition_for,
    doubt_about,
    fit_grid,
    profile_for,
    stored_quality,
    strongest_grid,
)


def known(condition="clean", *histories, own_grid=None):
    others = [Source("photograph", (1.0,), history=history) for history in ("clean", *histories)]
    limits = Limits(own_grid=None if own_grid is None else Limit(own_grid, 9))
    return SimpleNamespace(condition=condition, image_sizes=(64, 512), others=others, limits=limits)


REPEATS = "the picture repeats itself: of 100 blocks of 8×8 pixels 15 differ, too few to judge by."
PASSES = "the picture was once a JPEG file of about quality {}, whose blocks can pass for a decoder's trace, and {}"
NO_FILES = "no JPEG files were among the other images of this calibration."
NONE_BELOW = "none below quality 30 was among the other images of this calibration."
GRID = (
    "the picture has a regular grid of its own (block edges, a mosaic, ruled lines, an enlargement), which can pass for"
    " a decoder's trace."
)
WEAKENS = (
    "the picture was once a JPEG file of about quality {}, which weakens a trace, and the profile holds for {} images:"
    " calibrate for {}."
)
JPEG_FILES = "JPEG files (latent-tracer calibrate and Calibrate Trace do, unless told otherwise)"
ROUGH = "jpeg-30 (latent-tracer calibrate --condition jpeg-30, or so in Calibrate Trace)"
ONCE_LOSSY = (
    "the picture was once a lossy file (WebP, AVIF, video or a fine JPEG), which weakens a trace, and the profile holds"
    " for {} images: trace the picture as it was before."
)
COLOURS = "the picture was reduced to 64 colours, which takes a trace away: trace it as it was."
YES, NO, OPEN = "belonging", "non-belonging", "inconclusive"
CASES = [
    *[(answer, History(), known(), None) for answer in (YES, NO, OPEN)],
    *[(answer, History(None, 0.0, 15, 100), known(), REPEATS) for answer in (YES, NO, OPEN)],
    *[(answer, History(None, 0.0, 16, 100), known(), None) for answer in (YES, NO, OPEN)],
    # Half of the blocks differ: no repeats, however small the picture.
    (YES, History(None, 0.0, 5, 10), known(), None),
    (YES, History(98), known(), PASSES.format(98, NO_FILES)),
    (YES, History(99), known(), None),
    (YES, History(27), known("clean", "jpeg-75", "jpeg-30"), PASSES.format(27, NONE_BELOW)),
    (YES, History(28), known("clean", "jpeg-75", "jpeg-30"), None),
    (OPEN, History(5, 9.0, 0, 0, True, 64), known(), None),
    (YES, History(None, 0.3), known(), None),
    (YES, History(None, 0.31), known(), GRID),
    (YES, History(None, 0.31), known(own_grid=0.5), None),
    (YES, History(None, 0.5), known(own_grid=0.5), None),
    (YES, History(None, 0.51), known(own_grid=0.5), GRID),
    (YES, History(None, 0.31), known(own_grid=0.1), GRID),
    (YES, History(90, 0.499), known("clean", "jpeg-30"), None),
    (YES, History(90, 0.501), known("clean", "jpeg-30"), GRID),
    # Neither of these weakens the ground of a yes, nor a grid that of a no.
    (YES, History(None, 0.0, 0, 0, True, 64), known(), None),
    (NO, History(None, 9.0), known(), None),
    (NO, History(96), known(), WEAKENS.format(96, "clean", JPEG_FILES)),
    (NO, History(71), known("jpeg-90"), WEAKENS.format(71, "jpeg-90", JPEG_FILES)),
    (NO, History(97), known(), None),
    (NO, History(70), known("jpeg-75"), WEAKENS.format(70, "jpeg-75", ROUGH)),
    (NO, History(71), known("jpeg-75"), None),
    # A fine JPEG file is no ground of a kind of its own where its quality shows.
    (NO, History(97, was_lossy=True), known(), None),
    (NO, History(was_lossy=True), known(), ONCE_LOSSY.format("clean")),
    (NO, History(was_lossy=True), known("blur-0.5"), ONCE_LOSSY.format("blur-0.5")),
    # How much another format lost does not show, and no profile for JPEG files tells.
    *[(NO, History(was_lossy=True), known(f"jpeg-{q}"), ONCE_LOSSY.format(f"jpeg-{q}")) for q in (30, 75, 90, 95)],
    (NO, History(was_lossy=True), known("webp-90"), None),
    (NO, History(colours=64), known(), COLOURS),
    (NO, History(was_lossy=True, colours=64), known("webp-90"), COLOURS),
]


@pytest.mark.parametrize(("answer", "history", "profile", "sentence"), CASES)
def test_a_doubt(answer, history, profile, sentence):
    assert doubt_about(answer, history, profile) == sentence


def test_a_jpeg_file_whose_quality_does_not_show_is_taken_for_one_of_its_profile():
    for quality in (30, 75, 90, 95):
        assert doubt_about(NO, History(was_lossy=True), known(f"jpeg-{quality}"), "JPEG") is None
        assert doubt_about(NO, History(was_lossy=True), known(f"jpeg-{quality}"), "WEBP") is not None


@pytest.mark.parametrize(
    ("history", "findings"),
    [
        (History(), ()),
        (History(80), ("once a JPEG file of about quality 80",)),
        (History(80, was_lossy=True), ("once a JPEG file of about quality 80",)),
        (History(was_lossy=True), ("once a lossy file (WebP, AVIF, video or a fine JPEG)",)),
        (History(colours=64), ("reduced to 64 colours",)),
        (History(None, 0.3), ()),
        (History(None, 0.31), ("a regular grid of its own",)),
        (History(None, 0.0, 4, 9), ("repeats itself",)),
        (History(None, 0.0, 5, 10), ()),
        (
            History(0, 0.5, 1, 9, False, 0),
            (
                "once a JPEG file of about quality 0",
                "reduced to 0 colours",
                "a regular grid of its own",
                "repeats itself",
            ),
        ),
    ],
)
def test_what_shows_of_a_pictures_past(history, findings):
    assert history.findings == findings


def test_a_history_is_what_each_reader_of_the_pixels_says(monkeypatch):
    assert astuple(History()) == (None, 0.0, 0, 0, False, None)
    told = {"jpeg_quality": 80, "grid_strength": 0.7, "different_blocks": (3, 5), "was_lossy": True, "few_colours": 64}
    for name, value in told.items():
        monkeypatch.setattr(doubt, name, lambda image, value=value: value if image == "pixels" else None)
    assert History.of("pixels") == History(80, 0.7, 3, 5, True, 64)
    assert History(None, 0.0, 9, 9).side_without_repeats == 24.0


def test_the_limit_of_a_grid():
    assert [strongest_grid(known(own_grid=value)) for value in (None, 0.2, 0.4)] == [0.3, 0.3, 0.4]
    assert fit_grid([]) is None
    assert fit_grid([0.1, 0.4, 0.2]) == Limit(0.4 * 1.5, 3)
    assert fit_grid([100.0]) is None


def test_the_condition_to_calibrate_with():
    wanted = {100: 95, 93: 95, 92: 90, 88: 90, 87: 75, 73: 75, 72: 30, 28: 30, 27: 30, 1: 30}
    assert {quality: condition_for(quality) for quality in wanted} == {q: f"jpeg-{one}" for q, one in wanted.items()}


@pytest.mark.parametrize(
    ("quality", "conditions", "chosen"),
    [
        (71, ("jpeg-30", "jpeg-75"), "jpeg-75"),
        (70, ("jpeg-30", "jpeg-75"), "jpeg-30"),
        (None, ("blur-0.5", "clean"), "clean"),
        (None, ("clean", "blur-0.5"), "clean"),
        (None, ("jpeg-95", "jpeg-30"), "jpeg-95"),
        (97, ("jpeg-95", "clean"), "jpeg-95"),
        (40, ("clean", "jpeg-75"), "jpeg-75"),
    ],
)
def test_the_profile_for_a_picture(quality, conditions, chosen):
    assert profile_for(History(quality), [known(condition) for condition in conditions]).condition == chosen


@pytest.mark.parametrize(
    ("file_format", "quality", "conditions", "chosen"),
    [
        ("JPEG", None, ("clean", "jpeg-90", "jpeg-75"), "jpeg-90"),
        ("JPEG", None, ("webp-90", "clean"), "clean"),
        ("JPEG", 76, ("clean", "jpeg-90", "jpeg-75"), "jpeg-75"),
        ("PNG", None, ("jpeg-90", "clean"), "clean"),
        ("WEBP", None, ("clean", "jpeg-90", "webp-90"), "webp-90"),
        ("WEBP", None, ("jpeg-90", "clean"), "clean"),
        ("WEBP", 90, ("clean", "webp-90", "jpeg-90"), "jpeg-90"),
        ("", None, ("webp-90", "clean"), "clean"),
    ],
)
def test_the_profile_for_a_lossy_file_whose_quality_does_not_show(file_format, quality, conditions, chosen):
    profiles = [known(condition) for condition in conditions]
    assert profile_for(History(quality), profiles, file_format).condition == chosen


@pytest.mark.parametrize(
    ("history", "lossy", "condition", "quality"),
    [
        (History(82), True, "jpeg-90", 82),
        (History(82), False, "clean", 82),
        (History(), False, "jpeg-90", None),
        (History(), True, "jpeg-90", 90),
        (History(was_lossy=True), False, "jpeg-75", 75),
        (History(), True, "clean", None),
        (History(), True, "webp-90", None),
    ],
)
def test_the_quality_as_which_a_control_is_stored(history, lossy, condition, quality):
    assert stored_quality(history, known(condition), lossy) == quality


def test_no_profile_for_a_picture():
    with pytest.raises(InvalidSettingError, match="^No profile was given to choose from: calibrate first.$"):
        profile_for(History(), [])
