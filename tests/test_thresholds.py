"""Threshold rules, conformal p-values and intervals against independent references and their promised error rates."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from latent_tracer.core import InvalidSettingError, fit_threshold
from latent_tracer.core.profiles.thresholds import (
    RULES,
    accepted_rank,
    lower_p_value,
    pictures_needed,
    rate_bound,
    rate_interval,
    shown_rate,
    upper_p_value,
)
from scipy import stats

finite = st.floats(-1e6, 1e6)
score_lists = st.lists(finite, min_size=1, max_size=60)
rates = st.floats(0.001, 0.999)


@given(score_lists, rates)
def test_quantile_rule_is_the_smallest_score_that_enough_scores_do_not_exceed(scores, alpha):
    value = fit_threshold(scores, "quantile", alpha).value
    needed = (1 - alpha) * (len(scores) + 1) - 1e-9
    good = [candidate for candidate in scores if sum(other <= candidate for other in scores) >= needed]
    assert value == (min(good) if good else math.inf)


@pytest.mark.parametrize(("n", "alpha"), [(5, 0.3), (19, 0.05), (24, 0.05), (99, 0.01), (9, 0.02), (1, 0.5)])
def test_a_further_score_exceeds_the_quantile_threshold_at_most_at_rate_alpha(n, alpha):
    rng = np.random.default_rng(n)
    # Heavy-tailed and discrete: nothing but exchangeability may be needed.
    for draws in (rng.standard_cauchy((20_000, n + 1)), rng.integers(0, 4, (20_000, n + 1)).astype(float)):
        thresholds = np.array([fit_threshold(row[:-1], "quantile", alpha).value for row in draws[:4000]])
        exceeded = int((draws[:4000, -1] > thresholds).sum())
        assert rate_interval(exceeded, 4000, 0.9999)[0] <= alpha


def test_the_quantile_rule_is_not_needlessly_strict_for_distinct_scores():
    draws = np.random.default_rng(1).normal(size=(6000, 40))
    exceeded = int(sum(row[-1] > fit_threshold(row[:-1], "quantile", 0.1).value for row in draws))
    low, high = rate_interval(exceeded, 6000, 0.9999)
    assert low <= 0.1 <= high


def test_too_few_scores_for_a_rate_give_an_infinite_quantile_threshold():
    assert fit_threshold(range(98), "quantile", 0.01).value == math.inf
    assert fit_threshold(range(99), "quantile", 0.01).value == 98


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3])
@pytest.mark.parametrize("n", [2, 3, 30, 500])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.5, 0.95])
def test_kde_rule_is_the_smallest_value_whose_distribution_function_reaches_one_minus_alpha(n, alpha, scale):
    scores = scale * np.random.default_rng(n).gamma(2, size=n)
    value = fit_threshold(scores, rule="kde", alpha=alpha).value
    density = stats.gaussian_kde(scores, bw_method="scott")
    assert density.integrate_box_1d(-np.inf, value) == pytest.approx(1 - alpha, abs=1e-9)
    spread = float(np.ptp(scores))
    assert density.integrate_box_1d(-np.inf, value - 1e-6 * spread) < 1 - alpha
    assert density.integrate_box_1d(-np.inf, value + 1e-6 * spread) > 1 - alpha


@given(st.lists(finite, min_size=2, max_size=20), st.floats(0.001, 0.999))
def test_kde_rule_answers_or_names_the_lack_of_different_scores(scores, alpha):
    try:
        value = fit_threshold(scores, "kde", alpha).value
    except InvalidSettingError as error:
        assert "two different scores" in str(error)
        assert np.std(scores) <= 1e-150
    else:
        assert math.isfinite(value)


@given(score=st.floats(-1e6, 1e6), n=st.integers(1, 12))
def test_equal_scores_never_get_a_kde_threshold(score, n):
    with pytest.raises(InvalidSettingError, match="two different scores"):
        fit_threshold([score] * n, "kde")


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=40), st.floats(0.001, 0.4))
def test_grubbs_rule_equals_its_formula(scores, alpha):
    assume(np.std(scores) > 1e-6)
    n = len(scores)
    t = stats.t.ppf(1 - alpha / n, n - 2)
    critical = (n - 1) / math.sqrt(n) * math.sqrt(t**2 / (n - 2 + t**2))
    expected = np.mean(scores) + critical * np.std(scores, ddof=1)
    assert fit_threshold(scores, "grubbs", alpha).value == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("rule", RULES)
@given(scores=st.lists(st.floats(-100, 100), min_size=5, max_size=30))
def test_a_smaller_alpha_never_lowers_a_threshold_and_a_shift_moves_it_along(rule, scores):
    assume(np.ptp(scores) > 1e-3)
    strict, lax = (fit_threshold(scores, rule, alpha).value for alpha in (0.05, 0.4))
    assert strict >= lax
    moved = fit_threshold([2 * score + 3 for score in scores], rule, 0.4).value
    assert moved == pytest.approx(2 * lax + 3, abs=1e-6)


def test_a_threshold_says_what_it_was_fitted_on():
    threshold = fit_threshold([1.0, 2.0, 3.0], "grubbs", 0.1, "twelve cats")
    assert (threshold.rule, threshold.alpha, threshold.n, threshold.images) == ("grubbs", 0.1, 3, "twelve cats")


@pytest.mark.parametrize("convert", [list, tuple, np.asarray, torch.tensor])
def test_scores_may_come_in_any_flat_container(convert):
    assert fit_threshold(convert([3.0, 1.0, 2.0]), "quantile", 0.5).value == 2.0


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("scores", "alpha", "message"),
    [
        ([], 0.05, "at least one calibration score"),
        (3.0, 0.05, "flat list"),
        ([[1.0, 2.0]], 0.05, "flat list"),
        ([[1.0], [2.0, 3.0]], 0.05, "flat list"),
        (["high", "low"], 0.05, "flat list of numbers"),
        (None, 0.05, "flat list"),
        ({"a": 1.0}, 0.05, "flat list of numbers"),
        ([1.0, math.nan, 2.0], 0.05, "1 of 3 calibration scores are NaN"),
        ([1.0, math.inf, -math.inf], 0.05, "2 of 3 calibration scores are NaN or infinite"),
        ([1.0, 2.0, 3.0], 0.0, "alpha must lie between 0 and 1, got 0"),
        ([1.0, 2.0, 3.0], 1.0, "alpha must lie between 0 and 1, got 1"),
        ([1.0, 2.0, 3.0], -0.1, "alpha must lie between 0 and 1, got -0.1"),
        ([1.0, 2.0, 3.0], math.nan, "alpha must lie between 0 and 1, got nan"),
    ],
)
def test_every_bad_input_has_its_sentence(rule, scores, alpha, message):
    with pytest.raises(InvalidSettingError, match=message):
        fit_threshold(scores, rule, alpha)


def test_one_score_is_enough_for_no_rule_that_claims_a_rate():
    assert fit_threshold([1.0], "quantile", 0.05).value == math.inf
    with pytest.raises(InvalidSettingError, match="two different scores"):
        fit_threshold([1.0], "kde")
    with pytest.raises(InvalidSettingError, match="at least 3 belonging losses, got 1"):
        fit_threshold([1.0], "grubbs")


def test_an_unknown_rule_is_named_with_the_known_ones():
    with pytest.raises(InvalidSettingError, match="'magic'.*quantile, kde, grubbs"):
        fit_threshold([1.0, 2.0], "magic")


@given(score_lists, finite)
def test_p_values_count_scores_at_least_as_extreme(reference, score):
    n = len(reference)
    assert lower_p_value(score, reference) == (1 + sum(r <= score for r in reference)) / (n + 1)
    assert upper_p_value(score, reference) == (1 + sum(r >= score for r in reference)) / (n + 1)
    assert lower_p_value(score, reference) == upper_p_value(-score, [-r for r in reference])


@pytest.mark.parametrize("p_value", [lower_p_value, upper_p_value])
@given(st.lists(st.integers(0, 5), min_size=2, max_size=30))
def test_p_values_of_exchangeable_scores_are_super_uniform_exactly(p_value, scores):
    # Each of n+1 exchangeable scores is equally likely to be the new one: count over all of them, ties and all.
    p_values = [p_value(score, scores[:i] + scores[i + 1 :]) for i, score in enumerate(scores)]
    for level in {*p_values, 0.01, 0.05, 0.5}:
        assert sum(p <= level for p in p_values) <= level * len(scores) + 1e-9


@pytest.mark.parametrize("p_value", [lower_p_value, upper_p_value])
@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_has_no_p_value(p_value, score):
    with pytest.raises(InvalidSettingError, match="no p-value"):
        p_value(score, [1.0, 2.0])


@given(st.integers(1, 300), st.data())
def test_rate_interval_equals_clopper_and_pearsons_beta_quantiles(total, data):
    count = data.draw(st.integers(0, total))
    low, high = rate_interval(count, total)
    assert low == pytest.approx(stats.beta.ppf(0.025, count, total - count + 1) if count else 0.0, abs=1e-9)
    assert high == pytest.approx(stats.beta.ppf(0.975, count + 1, total - count) if count < total else 1.0, abs=1e-9)


def test_rate_interval_matches_a_published_value_and_knows_nothing_without_trials():
    assert rate_interval(0, 10) == pytest.approx((0.0, 0.3085), abs=1e-4)
    assert rate_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("total", "rate"), [(12, 0.03), (40, 0.2)])
def test_rate_interval_covers_the_true_rate_at_least_as_often_as_promised(total, rate):
    covered = 0.0
    for count in range(total + 1):
        low, high = rate_interval(count, total)
        covered += stats.binom.pmf(count, total, rate) * (low <= rate <= high)
    assert covered >= 0.95


# --- rates of one calibration -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "rank", "bound"), [(70, 1, 0.0419), (99, 1, 0.0298), (299, 3, 0.0209), (500, 5, 0.0182)])
def test_the_bound_of_one_calibration_is_what_the_field_reports(n, rank, bound):
    assert accepted_rank(n, 0.01) == rank
    assert rate_bound(rank, n) == pytest.approx(bound, abs=1e-4)


@given(st.integers(1, 400), st.floats(0.001, 0.49))
def test_the_bound_is_clopper_and_pearsons_and_the_rank_the_largest_that_keeps_the_rate(n, rate):
    rank = accepted_rank(n, rate)
    assert rank == 1 or rank / (n + 1) <= rate + 1e-9
    assert rank == n or (rank + 1) / (n + 1) > rate
    assert rate_bound(rank, n) == pytest.approx(stats.binomtest(rank - 1, n).proportion_ci(0.9, "exact").high, abs=1e-9)
    sure = accepted_rank(n, rate, 0.95)
    assert sure <= rank
    assert sure == 1 or rate_bound(sure, n) <= rate < rate_bound(sure + 1, n)


@pytest.mark.parametrize(
    ("rate", "guarantee", "needed"), [(0.01, None, 99), (0.05, None, 19), (0.01, 0.95, 299), (0.05, 0.95, 59)]
)
def test_so_many_pictures_and_not_one_fewer_support_a_rate(rate, guarantee, needed):
    assert pictures_needed(rate, guarantee) == needed

    def reached(n):
        rank = accepted_rank(n, rate, guarantee)
        return rank / (n + 1) if guarantee is None else rate_bound(rank, n, guarantee)

    assert reached(needed) <= rate + 1e-9 < reached(needed - 1)


@pytest.mark.parametrize(("n", "rate"), [(70, 0.01), (199, 0.05)])
def test_one_calibration_in_twenty_exceeds_its_bound(n, rate):
    rank = accepted_rank(n, rate)
    # Uniform scores: the true rate beyond the k-th lowest is that score itself.
    true = np.partition(np.random.default_rng(n).random((20_000, n)), rank - 1, axis=1)[:, rank - 1]
    low, high = rate_interval(int((true > rate_bound(rank, n)).sum()), len(true), 0.9999)
    assert low <= 0.05 <= high
    assert true.mean() == pytest.approx(rank / (n + 1), rel=0.05)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        *(
            (0.0141, "1.4 %"),
            (0.05, "5.0 %"),
            (1 / 6, "17 %"),
            (0.0033, "0.33 %"),
            (0.0999, "10 %"),
            (0.00001, "0.0010 %"),
        ),
        *((0.986, "98.6 %"), (0.5, "50 %"), (0.0, "0 %"), (1.0, "100 %"), (None, "not measured")),
    ],
)
def test_a_rate_is_shown_with_two_digits_of_what_is_rare(rate, words):
    assert shown_rate(rate) == words


def test_a_rate_is_shown_with_its_bound():
    assert shown_rate(1 / 71, rate_bound(1, 70)) == "1.4 % on average, with 95 % confidence at most 4.2 %"
