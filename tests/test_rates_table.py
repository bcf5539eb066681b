"""Thresholds, ranks and rates at the very places where they change, figure for figure and word for word."""

from __future__ import annotations

import math

import numpy as np
import pytest
from latent_tracer.core import InvalidSettingError, fit_threshold
from latent_tracer.core.profiles.thresholds import (
    Threshold,
    accepted_rank,
    check_scores,
    kde_threshold,
    lower_p_value,
    pictures_needed,
    quantile_threshold,
    rate_bound,
    rate_interval,
    shown_rate,
    upper_p_value,
)


def test_what_a_threshold_says_where_nothing_else_was_said():
    assert Threshold(1.0, "kde", 0.1, 7) == Threshold(1.0, "kde", 0.1, 7, "unnamed scores")
    assert fit_threshold(list(range(19))) == Threshold(18.0, "quantile", 0.05, 19, "unnamed scores")
    assert fit_threshold([1.0] * 3, "grubbs", 0.1, "cats") == Threshold(1.0, "grubbs", 0.1, 3, "cats")


@pytest.mark.parametrize(("n", "alpha", "value"), [(18, 0.05, math.inf), (19, 0.05, 18), (3, 0.5, 1), (4, 0.5, 2)])
def test_a_quantile(n, alpha, value):
    assert quantile_threshold(list(range(n))[::-1], alpha) == value


def test_a_kde():
    # Symmetric scores: half of the density lies below their middle.
    assert kde_threshold([1.0, 2.0, 3.0], 0.5) == pytest.approx(2.0, abs=1e-9)
    # Two scores, Scott's bandwidth 2^(1/2) · 2^(-1/5): Phi(1/b) averaged with one half.
    width = math.sqrt(2) * 2**-0.2
    alpha = (1 - 0.5 * (1 + math.erf(2 / width / math.sqrt(2)))) / 2 + 0.25
    assert kde_threshold([0.0, 2.0], alpha) == pytest.approx(2.0, abs=1e-9)
    for scores in ([1.0], [0.1] * 3, [-1e308, 1e308]):
        with (
            np.errstate(all="ignore"),
            pytest.raises(InvalidSettingError, match="^The kde rule needs at least two diff"),
        ):
            kde_threshold(scores, 0.05)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3])
def test_a_kde_at_any_scale(scale):
    width = scale * math.sqrt(2) * 2**-0.2
    for alpha in (0.05, 0.95):  # above all scores and below them
        value = kde_threshold([-scale, scale], alpha)
        below = sum(0.5 * (1 + math.erf((value - score) / width / math.sqrt(2))) for score in (-scale, scale)) / 2
        assert below == pytest.approx(1 - alpha, abs=1e-10)


def test_scores_that_are_none():
    for scores in ([], 1.0, [[1.0]]):
        with pytest.raises(InvalidSettingError, match="^A threshold needs a flat list of at least one"):
            check_scores(scores)
    for scores in (["x"], {"a": 1}, [10**400]):
        with pytest.raises(InvalidSettingError, match="^Calibration scores must be a flat list of numbers.$"):
            check_scores(scores)
    with pytest.raises(InvalidSettingError, match="^2 of 3 calibration scores are NaN or infinite: leave them out.$"):
        check_scores([math.nan, 1.0, math.inf])
    assert check_scores([3, 1]).tolist() == [3.0, 1.0]


def test_p_values_at_and_beside_a_score():
    assert [lower_p_value(score, [1.0, 2.0, 2.0]) for score in (0.9, 1.0, 2.0)] == [1 / 4, 2 / 4, 4 / 4]
    assert [upper_p_value(score, [1.0, 2.0, 2.0]) for score in (2.1, 2.0, 1.0)] == [1 / 4, 3 / 4, 4 / 4]


@pytest.mark.parametrize(
    ("n", "rate", "guarantee", "rank"),
    [
        *((98, 0.01, None, 1), (99, 0.01, None, 1), (198, 0.01, None, 1), (199, 0.01, None, 2), (9, 0.3, None, 3)),
        *((5, 0.01, None, 1), (298, 0.01, 0.95, 1), (299, 0.01, 0.95, 1), (472, 0.01, 0.95, 1), (473, 0.01, 0.95, 2)),
    ],
)
def test_a_rank(n, rate, guarantee, rank):
    assert accepted_rank(n, rate, guarantee) == rank


def test_a_rank_whose_bound_is_the_rate_itself_is_accepted():
    assert accepted_rank(50, rate_bound(2, 50), 0.95) == 2
    assert accepted_rank(50, np.nextafter(rate_bound(2, 50), 0), 0.95) == 1


def test_a_bound():
    # One of n: 1 - (1 - confidence)^(1/n). No picture beyond the last one: nothing is known.
    assert rate_bound(1, 70) == pytest.approx(1 - 0.05 ** (1 / 70), rel=1e-9)
    assert rate_bound(1, 70, 0.5) == pytest.approx(1 - 0.5 ** (1 / 70), rel=1e-9)
    assert rate_bound(7, 7) == pytest.approx(0.95 ** (1 / 7), rel=1e-9)
    assert rate_bound(2, 1) == rate_bound(8, 7) == 1.0


@pytest.mark.parametrize(
    ("rate", "guarantee", "needed"),
    [(0.5, None, 1), (0.01, None, 99), (0.3, None, 3), (0.01, 0.95, 299), (0.5, 0.5, 1)],
)
def test_pictures_needed(rate, guarantee, needed):
    assert pictures_needed(rate, guarantee) == needed


SHOWN = {
    None: "not measured",
    0.0: "0 %",
    1.0: "100 %",
    1e-13: "0 %",
    1e-12: "0 %",
    1.5e-12: "0.00000000015 %",
    1 - 1e-13: "100 %",
    1e-11: "0.0000000010 %",
    0.00999: "1.00 %",
    0.0099: "0.99 %",
    0.01: "1.0 %",
    0.0141: "1.4 %",
    0.0994: "9.9 %",
    0.0995: "10 %",
    0.123: "12 %",
    0.5: "50 %",
    0.9: "90 %",
    0.91: "91.0 %",
    0.986: "98.6 %",
    0.999: "99.90 %",
}


@pytest.mark.parametrize("rate", SHOWN)
def test_a_rate_in_words(rate):
    assert shown_rate(rate) == SHOWN[rate]


def test_a_rate_in_words_with_its_bound():
    assert shown_rate(0.0141, 0.042) == "1.4 % on average, with 95 % confidence at most 4.2 %"
    assert shown_rate(None, 0.042) == "not measured"


def test_an_interval():
    assert rate_interval(0, 0) == (0.0, 1.0)
    # None of one, and one of one: 1 - 0.025 and its opposite, exactly.
    assert rate_interval(0, 1) == pytest.approx((0.0, 0.975))
    assert rate_interval(1, 1) == pytest.approx((0.025, 1.0))
    assert rate_interval(1, 1, 0.9) == pytest.approx((0.05, 1.0))


def test_a_setting_that_is_none():
    for alpha in (0.0, 1.0):
        with pytest.raises(InvalidSettingError, match=f"^alpha must lie between 0 and 1, got {alpha}.$"):
            fit_threshold([1.0], alpha=alpha)
    with pytest.raises(
        InvalidSettingError, match="^Unknown threshold rule 'magic': choose one of quantile, kde, grubbs.$"
    ):
        fit_threshold([1.0], "magic")
    for p_value in (lower_p_value, upper_p_value):
        with pytest.raises(InvalidSettingError, match="^The score is nan: it has no p-value, score the image again.$"):
            p_value(math.nan, [1.0])
