"""From a calibrated score to an answer: three bands, and never a yes that its own p-value does not carry."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from latent_tracer.core import LIMITS, InvalidSettingError, Profile, verdict_from_profile
from latent_tracer.core.profile import Source
from latent_tracer.core.thresholds import rate_interval


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
    assert verdict.fpr == 0.05


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
    assert verdict.p_value == known.p_value(score)
    assert verdict.fpr == known.stated_fpr >= max(fpr, 1 / (len(others) + 1))
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


def test_the_sentence_states_answer_rate_and_p_value():
    yes = verdict_from_profile(-1, OVERLAPPING)
    assert "belongs" in yes.sentence
    assert "false-positive rate 5.00%" in yes.sentence and "p = 0.0099" in yes.sentence
    no = verdict_from_profile(1000, OVERLAPPING)
    assert "does not belong" in no.sentence
    unsure = verdict_from_profile(90, OVERLAPPING)
    assert unsure.sentence.startswith("Inconclusive: 11.9% of other images")


def test_a_rate_that_few_images_cannot_support_is_not_stated():
    verdict = verdict_from_profile(-1, dataclasses.replace(profile(range(100), range(50, 54)), fpr=0.01))
    assert verdict.fpr == verdict.p_value == 0.2
    assert "false-positive rate 20.00%" in verdict.sentence


def test_the_stage_that_decided_is_kept():
    assert verdict_from_profile(1, OVERLAPPING, "inversion").stage == "inversion"


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_gets_no_verdict(score):
    with pytest.raises(InvalidSettingError, match="no verdict"):
        verdict_from_profile(score, OVERLAPPING)
