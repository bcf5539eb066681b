"""The pictures: legible, apart for colour-blind readers, and true to the verdict whatever the numbers are."""

import dataclasses
import itertools
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from latent_tracer.core import load_autoencoder, verdict_from_profile, verdict_from_threshold
from latent_tracer.core.fingerprints.read import Reading
from latent_tracer.core.fingerprints.register import UserAttribution
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.profiles import Source, builtin_profile
from latent_tracer.core.reports.pictures import (
    attribution_chart,
    loss_curve,
    note_card,
    score_distribution,
    style,
    verdict_card,
)
from latent_tracer.core.reports.pictures.foreign_map import heat_map
from latent_tracer.core.reports.pictures.reading_panel import CERTAIN, UNCERTAIN, certainty_tile, reading_picture
from latent_tracer.core.reports.pictures.score_distribution import decision_bounds, ticks
from latent_tracer.core.reports.pictures.style import (
    CANVAS,
    COLOURS,
    CURVE,
    SURFACE,
    WIDTH,
    ZONES,
    font,
    shortened,
    wrapped,
)
from latent_tracer.core.reports.pictures.verdict_card import card_head
from latent_tracer.core.reports.plain import PlainAnswer, plain_verdict
from latent_tracer.core.verdicts.localisation import ForeignMap
from PIL import ImageColor, ImageDraw
from scipy import ndimage

verdict_card_module = sys.modules[card_head.__module__]
BASE = builtin_profile(load_autoencoder("demo-a").fingerprint)


def profile(belonging, others, **changes):
    return dataclasses.replace(
        BASE,
        belonging=(Source("decoded", tuple(belonging)),),
        others=(Source("photograph", tuple(others)),),
        **changes,
    )


def luminance(colour):
    channels = np.array(ImageColor.getrgb(colour)) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_stands_out_and_answers_differ_for_colour_blind_readers():
    for colour in COLOURS.values():
        assert contrast(colour, CANVAS) >= 7  # WCAG AAA
    # Deuteranopia and protanopia confuse along red-green; these three differ in blue and yellow.
    blue_yellow = [ImageColor.getrgb(c)[2] - sum(ImageColor.getrgb(c)[:2]) / 2 for c in COLOURS.values()]
    assert min(abs(a - b) for i, a in enumerate(blue_yellow) for b in blue_yellow[:i]) > 60


@pytest.mark.parametrize("score", [-1e9, 0.118, 0.8, 1.6, 1e9])
def test_the_background_under_the_mark_is_the_answer(score):
    verdict = verdict_from_profile(score, BASE)
    picture = score_distribution(BASE, score)
    columns = np.asarray(picture)[:, :, :].astype(int)
    marks = np.flatnonzero((columns[60] == ImageColor.getrgb("#f2f4f7")).all(-1))
    middle = int(marks.mean())
    beside = [tuple(columns[58, middle + step]) for step in (-4, 4)]
    assert ImageColor.getrgb(ZONES[verdict.answer]) in beside


numbers = st.floats(-1e12, 1e12, allow_nan=False) | st.sampled_from([0.0, 1e-300, -1e-9])


@hypothesis_settings(max_examples=40)
@given(st.lists(numbers, min_size=1, max_size=9), st.lists(numbers, min_size=1, max_size=9), numbers)
def test_any_calibration_can_be_drawn(belonging, others, score):
    known = profile(belonging, others)
    assert score_distribution(known, score, 400, 200).size == (400, 200)
    accepted, refused = decision_bounds(known)
    answer = verdict_from_profile(score, known).answer
    if answer == "belonging":
        assert score < accepted
    if answer == "non-belonging":
        assert score > refused


@given(st.floats(-1e9, 1e9), st.floats(1e-9, 1e9))
def test_ticks_are_few_and_inside(low, span):
    marks = ticks(low, low + span) if low + span > low else []
    assert len(marks) <= 8
    assert all(low - 1e-6 * abs(low) - span * 1e-6 <= mark <= low + span * 1.000001 + 1e-6 * abs(low) for mark in marks)


@hypothesis_settings(max_examples=60)
@given(st.text(max_size=200), st.integers(60, 900))
def test_no_line_is_wider_than_its_room(text, width):
    assert all(font(20).getlength(line) <= width for line in wrapped(text, 20, width))
    assert font(20).getlength(shortened(text, 20, width)) <= width


def test_the_card_says_all_with_hostile_and_long_words():
    verdict = verdict_from_profile(0.1, dataclasses.replace(BASE, condition="x" * 300, calibrated_on="\u202e\x00" * 90))
    card = verdict_card(verdict, "model " * 80, BASE, {"more": "y" * 500})
    assert card.width == WIDTH
    # Nothing runs over the right edge; the coloured strip above does.
    assert (np.asarray(card)[9:, -8:] == ImageColor.getrgb(CANVAS)).all()
    assert verdict_card(verdict_from_threshold(0.5, None), "m").height < 450


def test_a_narrow_card_says_the_same():
    verdict = verdict_from_profile(0.1, BASE)
    wide, narrow = (verdict_card(verdict, "demo-a", BASE, {"more": "y" * 500}, width) for width in (WIDTH, 640))
    assert narrow.width == 640 and narrow.height > wide.height
    assert (np.asarray(narrow)[9:, -8:] == ImageColor.getrgb(CANVAS)).all()


def words_of(monkeypatch, draw):
    """What ``draw()`` draws, and each word's box."""
    boxes, write = {}, ImageDraw.ImageDraw.text

    def text(self, place, words, **settings):
        boxes[words] = self.textbbox(place, words, font=settings["font"], anchor=settings.get("anchor"))
        write(self, place, words, **settings)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return draw(), boxes


def test_figures_are_told_whole_and_small(monkeypatch):
    kinds = "free photographs and generated pictures, central crops of 160 pixels"
    known = dataclasses.replace(BASE, calibrated_on=kinds)
    _, boxes = words_of(monkeypatch, lambda: verdict_card(verdict_from_profile(0.1, known), "demo-a", known))
    assert kinds in " ".join(boxes) and "whose calibration: shipped" in " ".join(boxes)
    heights = {words: below - above for words, (_, above, _, below) in boxes.items()}
    small = max(height for words, height in heights.items() if "calibration" in words)
    assert heights[next(words for words in boxes if "demo-a made it" in words or "demo-a here" in words)] > 1.7 * small


def test_words_are_legible_where_a_node_shows_the_card_330_pixels_wide(monkeypatch):
    sizes, face = [], style.font
    monkeypatch.setattr(verdict_card_module, "font", lambda size: sizes.append(size) or face(size))
    card_head(plain_verdict(verdict_from_profile(-0.9, BASE), "demo-a"))
    assert min(sizes) * 330 / WIDTH >= 12


@pytest.mark.parametrize("answer", ["belonging", "non-belonging", "inconclusive"])
def test_the_sign_alone_tells_the_answer_without_its_colour(answer):
    signs = []
    for one in ("belonging", "non-belonging", "inconclusive"):
        head = np.asarray(card_head(PlainAnswer(one, "the same", "The same.", "The same.")).convert("L")).astype(int)
        signs.append(head[24:90, 24:88] > 90)
    own = signs.pop(("belonging", "non-belonging", "inconclusive").index(answer))
    assert all((own ^ other).mean() > 0.05 for other in signs)


def test_a_chart_says_whose_pictures_it_shows_and_no_zone_of_a_withheld_answer(monkeypatch):
    drawn, boxes = words_of(monkeypatch, lambda: score_distribution(BASE, 0.0, owner="taesd"))
    assert {f"made by taesd ({len(BASE.belonging_scores)})", "yes", "no", "this picture"} <= set(boxes)
    own = next(box for words, box in boxes.items() if words.startswith("made by"))
    others = next(box for words, box in boxes.items() if words.startswith("other pictures"))
    assert own[2] < others[0] or own[3] < others[1]
    withheld, boxes = words_of(monkeypatch, lambda: score_distribution(BASE, 0.0, owner="taesd", is_withheld=True))
    assert not {"yes", "no"} & set(boxes)
    zones = [ImageColor.getrgb(ZONES[answer]) for answer in ("belonging", "non-belonging")]
    for picture, shows in ((drawn, True), (withheld, False)):
        colours = {colour for _, colour in picture.getcolors(maxcolors=10**6)}
        assert all((zone in colours) == shows for zone in zones)


def test_a_note_shows_counts_and_tells_how_many_lines_it_leaves_out(monkeypatch):
    lines = [f"file {number} could not be read" for number in range(40)]
    counts = [("yes", 3, "belonging"), ("no", 0, "non-belonging")]
    picture, boxes = words_of(monkeypatch, lambda: note_card("Report on 43 files", lines, counts))
    assert {"Report on 43 files", "yes", "3", "no", "0", "file 12 could not be read"} <= set(boxes)
    assert "... 27 more lines in the report output" in boxes and "file 13 could not be read" not in boxes
    assert all(box[2] <= picture.width - 8 and box[3] <= picture.height for box in boxes.values())


def test_a_number_stays_with_its_sign_and_its_name():
    lines = {tuple(wrapped("with 95 % confidence at most 4.4 %, so", 20, width)) for width in range(60, 500)}
    assert len(lines) > 5
    assert not any(line.startswith("%") for one in lines for line in one)
    assert wrapped("so often, p = 0.0147; more", 20, 130) == ["so often,", "p = 0.0147;", "more"]


@pytest.mark.parametrize("last", [1.7e-6, 9e-6, 2e-4])
@pytest.mark.parametrize("threshold", [2e-6, 1e-5, 1e-4])
def test_no_word_lies_under_the_loss_curve(monkeypatch, last, threshold):
    history = tuple(np.geomspace(4e-3, last, 12).tolist())
    verdict = verdict_from_threshold(last, threshold)
    picture, boxes = words_of(monkeypatch, lambda: loss_curve(history, verdict))
    left, top, right, bottom = (round(side) for side in boxes["threshold"])
    pixels = np.asarray(picture)
    curve = (pixels == ImageColor.getrgb(CURVE)).all(-1)
    assert curve.sum() > 200 and not curve[top:bottom, left:right].any()


@pytest.mark.parametrize("side", [170, 178, 270, 376])
@pytest.mark.parametrize("ends", [(0.5, 9e-5), (2e-3, 2.7e-6), (1e-4, 1.3e-6)])
def test_words_of_a_loss_curve_are_inside_and_apart(monkeypatch, side, ends):
    history = tuple(np.geomspace(*ends, 20).tolist())
    verdict = verdict_from_threshold(ends[1], None)
    _, boxes = words_of(monkeypatch, lambda: loss_curve(history, verdict, side))
    overlapping = [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(boxes.items(), 2)
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]
    assert not overlapping
    assert all(min(box) >= 0 and max(box) <= side for box in boxes.values())
    ticks = sorted((box[1], box[3]) for words, box in boxes.items() if words.startswith("1e"))
    assert len(ticks) >= 2 and all(a[1] < b[0] for a, b in itertools.pairwise(ticks))


def test_candidates_names_are_told_apart_in_the_chart(monkeypatch, decide_by_scores):
    known = profile(np.linspace(0, 0.2, 99), np.linspace(1, 9, 99))
    names = [f"candidate {number} (a-rather-long-name-{number}.safetensors)" for number in (1, 2)]
    result = decide_by_scores([(names[0], 0.1, known), (names[1], 5.0, known)])
    _, boxes = words_of(monkeypatch, lambda: attribution_chart(result))
    assert set(names) <= set(boxes)


def test_attribution_says_one_none_or_a_tie(decide_by_scores):
    known = profile(np.linspace(0, 0.2, 99), np.linspace(1, 9, 99))
    scores = {"one": (0.1, 5.0), "none": (5.0, 5.0), "tie": (0.1, 0.1)}
    pictures = []
    for own, other in scores.values():
        result = decide_by_scores([("a", own, known), ("b.safetensors " * 20, other, known)])
        assert all(candidate.level >= known.smallest_p_value for candidate in result.candidates)
        pictures.append(attribution_chart(result))
    assert all(picture.width == WIDTH for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == 3
    assert attribution_chart(decide_by_scores([("a", 0.1, known)] * 4)).height < 900


def test_a_picture_that_was_never_stored_as_8_bit_has_no_such_floor(monkeypatch):
    history, verdict = (1e-3, 1e-7), verdict_from_threshold(1e-7, None)
    _, boxes = words_of(monkeypatch, lambda: loss_curve(history, verdict, is_eight_bit=False))
    assert "8-bit floor" not in boxes and "2 evaluations" in boxes
    assert "8-bit floor" in words_of(monkeypatch, lambda: loss_curve(history, verdict))[1]


@pytest.mark.parametrize("history", [(1e-3,), (1e-3, float("nan"), 1e-5), (0.0, 0.0), (1e30, 1e-30), (float("inf"),)])
def test_any_history_can_be_drawn(history):
    assert loss_curve(history, verdict_from_threshold(0.5, None)).size == (270, 270)


def test_a_heat_map_is_coloured_only_where_the_threshold_is_passed():
    excess = torch.zeros(40, 40)
    excess[:10], excess[10:20] = 3.9, 8.0  # one nearly enough, one twice as much
    found = ForeignMap(excess, excess, excess > 4, excess >= 0, 4.0, None, Passes())
    shown = heat_map(torch.full((1, 3, 40, 40), 0.5), found)[0]
    colourful = (shown.amax(0) - shown.amin(0)) > 0.1
    assert not colourful[:10].any() and not colourful[20:].any()
    assert colourful[12:18, 5:35].all()


@pytest.mark.parametrize("bits", [1, 16, 64, 100])
def test_a_reading_shows_one_cell_for_each_bit_and_how_certain_it_is(monkeypatch, bits):
    confidence = tuple(np.linspace(0.5, 1, bits).tolist())
    reading = Reading(None, bits, 1e-6, -3.0, confidence, torch.zeros(128), 0.0, False, 1, Passes())
    owner = UserAttribution("w" * 200, 1e-9, 5, "reason")
    image = torch.full((1, 3, 40, 90), 0.5)
    picture, boxes = words_of(monkeypatch, lambda: reading_picture(image, reading, owner))
    assert all(box[2] <= picture.width - 20 and box[3] <= picture.height for box in boxes.values())
    tile = np.asarray(certainty_tile(reading, 320))
    cells = (tile != ImageColor.getrgb(SURFACE)).any(-1)
    columns = int(np.ceil(np.sqrt(bits)))
    assert ndimage.label(cells)[1] == bits
    size = 320 / columns
    first, last = (tile[int((n // columns + 0.5) * size), int((n % columns + 0.5) * size)] for n in (0, bits - 1))
    assert tuple(first) == UNCERTAIN and (bits == 1 or tuple(last) == CERTAIN)
