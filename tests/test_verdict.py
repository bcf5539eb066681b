"""From losses to an answer, and Grubbs' critical values behind it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from latent_tracer.core import (
    LIMITS,
    InvalidSettingError,
    grubbs_critical,
    grubbs_threshold,
    verdict_from_losses,
    verdict_from_threshold,
)


@pytest.mark.parametrize(
    ("n", "alpha", "expected"),
    [
        (100, 0.05, 3.210),  # as methods.md, recomputed from RONAN's result files
        (500, 0.05, 3.695),
        (3, 0.05, 1.153),  # Grubbs (1969), table 1
        (10, 0.05, 2.176),
        (30, 0.05, 2.745),
        (10, 0.01, 2.410),
    ],
)
def test_grubbs_critical_matches_published_tables(n, alpha, expected):
    assert grubbs_critical(n, alpha) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(("n", "alpha"), [(8, 0.05), (20, 0.2)])
def test_the_largest_of_n_normal_values_exceeds_it_with_probability_alpha(n, alpha):
    samples = np.random.default_rng(0).normal(3, 7, (100_000, n))
    statistic = (samples.max(1) - samples.mean(1)) / samples.std(1, ddof=1)
    rate = (statistic > grubbs_critical(n, alpha)).mean()
    assert rate == pytest.approx(alpha, abs=0.1 * alpha)


@given(n=st.integers(3, 2000), alpha=st.floats(1e-6, 0.5))
def test_grubbs_critical_is_finite_and_stricter_for_smaller_alpha(n, alpha):
    assert 0 < grubbs_critical(n, alpha) <= grubbs_critical(n, alpha / 2) <= (n - 1) / n**0.5


def test_grubbs_threshold_lies_g_deviations_above_the_mean():
    losses = [1.0, 2.0, 3.0, 4.0]
    assert grubbs_threshold(losses) == pytest.approx(2.5 + grubbs_critical(4) * np.std(losses, ddof=1))
    assert grubbs_threshold([1000 * v for v in losses]) == pytest.approx(1000 * grubbs_threshold(losses))
    assert grubbs_threshold([2e-6] * 5) == pytest.approx(2e-6)


@pytest.mark.parametrize(
    ("losses", "alpha", "message"),
    [
        ([], 0.05, "at least 3 belonging losses, got 0"),
        ([1.0, 2.0], 0.05, "at least 3 belonging losses, got 2"),
        ([1.0, 2.0, float("nan")], 0.05, "finite numbers"),
        ([[1.0, 2.0, 3.0]], 0.05, "flat list"),
        ([1.0, 2.0, 3.0], 0.0, "alpha must lie between 0 and 1, got 0"),
        ([1.0, 2.0, 3.0], 1.0, "alpha must lie between 0 and 1, got 1"),
        ([1.0, 2.0, 3.0], float("nan"), "alpha must lie between 0 and 1"),
    ],
)
def test_losses_that_calibrate_nothing_are_refused(losses, alpha, message):
    with pytest.raises(InvalidSettingError, match=message):
        verdict_from_losses(1.0, losses, alpha)


def test_belonging_lies_strictly_below_a_given_threshold():
    answers = [verdict_from_threshold(loss, 1e-5).answer for loss in (9.9e-6, 1e-5, 1.1e-5)]
    assert answers == ["belonging", "non-belonging", "non-belonging"]


def test_without_a_threshold_nothing_is_claimed_however_small_the_loss():
    verdict = verdict_from_threshold(1e-9, None)
    assert verdict.answer == "inconclusive"
    assert verdict.threshold is None
    assert verdict.sentence.startswith("Inconclusive: no calibration for this decoder")
    assert "belongs" not in verdict.sentence


def test_a_list_of_belonging_losses_decides_by_grubbs():
    losses = [1.2e-6, 1.3e-6, 1.25e-6, 1.4e-6, 1.35e-6, 1.28e-6]
    threshold = grubbs_threshold(losses)

    inlier, outlier = verdict_from_losses(1.41e-6, losses), verdict_from_losses(1e-4, losses)

    assert 1.41e-6 < threshold < 1e-4
    assert (inlier.answer, outlier.answer) == ("belonging", "non-belonging")
    assert inlier.threshold == outlier.threshold == threshold
    assert verdict_from_losses(1.41e-6, losses, alpha=0.5).threshold < threshold
    assert "6 belonging losses" in inlier.sentence


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_gives_no_verdict(loss):
    for decide in (
        lambda: verdict_from_threshold(loss, 1e-5),
        lambda: verdict_from_threshold(loss, None),
        lambda: verdict_from_losses(loss, [1.0, 2.0, 3.0]),
    ):
        with pytest.raises(InvalidSettingError, match="no verdict can rest on it"):
            decide()


@pytest.mark.parametrize("threshold", [0.0, -1e-5, float("nan"), float("inf")])
def test_a_threshold_that_is_no_loss_is_refused(threshold):
    with pytest.raises(InvalidSettingError, match="must be a positive number"):
        verdict_from_threshold(1e-5, threshold)


def test_a_false_positive_rate_is_never_claimed_where_none_was_measured():
    for verdict in (verdict_from_threshold(1e-6, 1e-5), verdict_from_losses(1.0, [1.0, 2.0, 3.0])):
        assert verdict.answer == "belonging"
        assert verdict.fpr is None
        assert verdict.p_value is None
        assert "false-positive rate not measured" in verdict.sentence
        assert "%" not in verdict.sentence
        measured = dataclasses.replace(verdict, fpr=0.01, fpr_bound=0.03)
        assert "false-positive rate 1.0 % on average, with 95 % confidence at most 3.0 %" in measured.sentence


def test_every_verdict_carries_the_limits_of_the_method():
    assert verdict_from_threshold(1e-6, 1e-5).limits == LIMITS
    assert "not the checkpoint" in LIMITS
