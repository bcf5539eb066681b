"""From a calibrated score to an answer: three bands, and never a yes that its own p-value does not carry."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from latent_tracer.core import LIMITS, InvalidSettingError, Profile, verdict_from_profile
from latent_tracer.core.profiles import MADE_HERE, SHIPPED, Source
from latent_tracer.core.profiles.thresholds import rate_interval
from scipy import stats


def profile(belonging, others, **changes):
    return Profile(
        fingerprint="f",
        autoencoder="a",
        score="s",
        score_settings={},
        condition=changes.pop("condition", "jpeg-90"),
        image_sizes=(64, 64),
        calibrated_on="a test",
        belonging=(Source("decoded", tuple(map(float, belonging))),),
        others=(Source("photograph", tuple(map(float, others))),),
        **changes,
    )


# Belonging scores 0 … 99, others 80 … 179: twenty of each overlap. Rates of 5 %.
OVERLAPPING = profile(range(100), range(80, 180), fpr=0.05, fnr=0.05)


@pytest.mark.parametrize(
    ("score", "answer"),
    [
        (-50, "belonging"),
        (0, "belonging"),
        (79.9, "belonging"),
        (83.5, "belonging"),  # p = 5/101
        (84, "inconclusive"),  # p = 6/101
        (90, "inconclusive"),
        (95, "inconclusive"),  # belonging p = 6/101
        (95.5, "non-belonging"),  # belonging p = 5/101
        (150, "non-belonging"),
        (1e9, "non-belonging"),
    ],
)
def test_the_three_bands_lie_where_the_two_error_rates_put_them(score, answer):
    verdict = verdict_from_profile(score, OVERLAPPING)
    assert verdict.answer == answer
    assert (verdict.score, verdict.condition, verdict.limits) == (score, "jpeg-90", LIMITS)
    assert (verdict.fpr, verdict.fnr) == (5 / 101, 5 / 101)
    assert verdict.fpr_bound == verdict.fnr_bound == pytest.approx(stats.beta.ppf(0.95, 5, 96))


def test_a_score_in_a_gap_between_the_groups_fits_neither_and_is_inconclusive():
    verdict = verdict_from_profile(50, profile(range(20), range(100, 120), fpr=0.05, fnr=0.05))
    assert verdict.answer == "inconclusive"
    assert "fits neither" in verdict.sentence


def test_a_score_that_separates_nothing_answers_nothing():
    useless = profile(range(100), range(100))
    assert {verdict_from_profile(score, useless).answer for score in range(5, 95)} == {"inconclusive"}


scores = st.floats(-100, 100)


@given(
    belonging=st.lists(scores, min_size=1, max_size=20),
    others=st.lists(scores, min_size=1, max_size=20),
    score=scores,
    fpr=st.floats(0.001, 0.5),
    fnr=st.floats(0.001, 0.5),
)
def test_no_answer_goes_beyond_its_p_value_and_rates_beyond_the_number_of_images(belonging, others, score, fpr, fnr):
    known = profile(belonging, others, fpr=fpr, fnr=fnr)
    verdict = verdict_from_profile(score, known)
    assert (verdict.p_value, verdict.belonging_p_value) == (known.p_value(score), known.belonging_p_value(score))
    assert verdict.fpr == known.stated_fpr <= max(fpr, 1 / (len(others) + 1)) + 1e-12
    assert verdict.fnr == known.stated_fnr <= max(fnr, 1 / (len(belonging) + 1)) + 1e-12
    assert verdict.fpr < verdict.fpr_bound < 1 and verdict.fnr < verdict.fnr_bound < 1
    if verdict.answer == "belonging":
        assert verdict.p_value <= verdict.fpr
        assert score < max(others)
    if verdict.answer == "non-belonging":
        assert known.belonging_p_value(score) <= known.stated_fnr
        assert score > min(belonging)


@pytest.mark.parametrize(("n", "fpr"), [(10, 0.01), (30, 0.1), (199, 0.01)])
def test_images_like_the_calibrated_others_are_called_belonging_at_most_at_the_stated_rate(n, fpr):
    rng = np.random.default_rng(n)
    trials, wrong = 3000, 0
    for draw in rng.standard_t(2, (trials, n + 1)):
        known = profile(rng.normal(-2, 1, 5), draw[:-1], fpr=fpr)
        wrong += verdict_from_profile(draw[-1], known).answer == "belonging"
    assert rate_interval(wrong, trials, 0.9999)[0] <= known.stated_fpr
    assert known.stated_fpr <= max(fpr, 1 / (n + 1))


def test_a_yes_states_the_false_positive_rate_and_a_no_the_false_negative_rate():
    known = profile(range(50), range(80, 180), fpr=0.05, fnr=0.04)
    yes = verdict_from_profile(-1, known)
    assert "belongs" in yes.sentence and "lower than that of 99.01 % of the other images" in yes.sentence
    assert "false-positive rate 5.0 % on average, with 95 % confidence at most 8.9 %, p = 0.0099" in yes.sentence
    assert "false-negative" not in yes.sentence
    no = verdict_from_profile(1000, known)
    assert "does not belong" in no.sentence and "higher than that of 98.0 % of belonging images" in no.sentence
    assert "false-negative rate 3.9 % on average, with 95 % confidence at most 9.1 %, p = 0.0196" in no.sentence
    assert "false-positive" not in no.sentence
    unsure = verdict_from_profile(90, OVERLAPPING)
    assert unsure.sentence.startswith("Inconclusive: 12 % of other images")


@pytest.mark.parametrize(
    ("calibration", "words"),
    [
        ("handed over", "calibration handed over, as true as whoever made it"),
        (MADE_HERE, "calibration made on this machine"),
        (SHIPPED, "calibration shipped with this program"),
    ],
)
def test_a_verdict_says_whose_calibration_it_rests_on(calibration, words):
    known = dataclasses.replace(OVERLAPPING, calibration=calibration)
    for score in (-1, 1000):
        verdict = verdict_from_profile(score, known)
        assert verdict.calibration == calibration and verdict.sentence.endswith(f"; {words}).")
    # Nothing said, nothing believed.
    assert OVERLAPPING.calibration == "handed over"


def test_a_rate_that_few_images_cannot_support_is_not_stated():
    verdict = verdict_from_profile(-1, dataclasses.replace(profile(range(100), range(150, 154)), fpr=0.01))
    assert verdict.fpr == verdict.p_value == 0.2
    assert "false-positive rate 20 % on average, with 95 % confidence at most 53 %" in verdict.sentence


def test_versions_of_one_picture_are_one_picture_in_every_figure():
    # Five pictures in five copies each support 16.7 %, not 3.8 %.
    copies = tuple(k for k in range(5) for _ in range(5))
    others = Source("photograph", tuple(float(k) for k in range(100, 125)), copies)
    own = Source("decoded", tuple(float(k) for k in range(25)), copies)
    known = dataclasses.replace(OVERLAPPING, belonging=(own,), others=(others,), fpr=0.01, fnr=0.01)
    verdict = verdict_from_profile(-1, known)
    assert verdict.fpr == verdict.p_value == verdict.fnr == pytest.approx(1 / 6)
    assert verdict.fpr_bound == pytest.approx(1 - 0.05 ** (1 / 5))
    # The lowest version of each picture counts among others, the highest among belonging ones.
    assert known.p_value(105) == pytest.approx(3 / 6) and known.p_value(104.5) == pytest.approx(2 / 6)
    assert known.belonging_p_value(19) == pytest.approx(3 / 6) and known.belonging_p_value(19.5) == pytest.approx(2 / 6)


def test_a_small_source_states_its_own_rate_and_does_not_loosen_the_others():
    many = few_scores(199)
    few = Source("decoder", (50.0, 60.0), decoders=("a", "a"))
    known = dataclasses.replace(OVERLAPPING, others=(many, few), fpr=0.01)
    assert known.stated_fpr == pytest.approx(1 / 3) and known.fpr_bound == pytest.approx(1 - 0.05**0.5)
    assert known.acceptance_threshold == 1.0  # the second lowest of 199, not a third of them
    assert [known.accepts(score) for score in (0.5, 1.0, 40.0)] == [True, False, False]
    assert known.p_value(0.5) == pytest.approx(1 / 3)


def test_a_guarantee_moves_the_threshold_to_where_the_bound_keeps_the_rate():
    others = Source("photograph", tuple(map(float, range(299))))
    on_average = dataclasses.replace(OVERLAPPING, others=(others,), fpr=0.01, fnr=0.05)
    assert (on_average.stated_fpr, on_average.acceptance_threshold) == (pytest.approx(0.01), 2.0)
    assert on_average.fpr_bound == pytest.approx(0.0209, abs=1e-4) and on_average.shortfall == ""
    sure = dataclasses.replace(on_average, guarantee=0.95)
    assert sure.acceptance_threshold == 0.0 and sure.stated_fpr == pytest.approx(1 / 300)
    assert sure.fpr_bound <= 0.01 and sure.shortfall == ""
    short = dataclasses.replace(sure, others=(Source("photograph", tuple(map(float, range(298)))),))
    assert short.shortfall.startswith("298 independent pictures support a false-positive rate of 1.0 % with 95 % conf")
    assert short.shortfall.endswith("that takes 299.")
    assert "99." in dataclasses.replace(short, others=(few_scores(70),), guarantee=None).shortfall


def few_scores(n):
    return Source("photograph", tuple(map(float, range(n))))


def test_the_stage_that_decided_is_kept():
    assert verdict_from_profile(1, OVERLAPPING, "inversion").stage == "inversion"


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_gets_no_verdict(score):
    with pytest.raises(InvalidSettingError, match="no verdict"):
        verdict_from_profile(score, OVERLAPPING)
