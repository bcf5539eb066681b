"""Low precision decides a verdict only where exactness could not change it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from latent_tracer.core import (
    InvalidImageError,
    builtin_profile,
    calibrate,
    load_autoencoder,
    make_score,
    quantise,
    synthetic_photograph,
)
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.profiles import Limit, Limits
from latent_tracer.core.scores import Scored
from latent_tracer.core.scores import rough_score as module
from latent_tracer.core.scores.grid_contrast import GridContrast
from latent_tracer.core.scores.protocol import Rough
from latent_tracer.core.scores.resized import Resized, enlarge
from latent_tracer.core.scores.rough_score import fit_roughness, is_decided, roughness_of, score_as_exact_as_needed


@pytest.fixture(scope="module")
def decoder():
    return load_autoencoder("demo-a")


@pytest.fixture(scope="module")
def profile(decoder):
    found = builtin_profile(decoder.fingerprint)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def photograph():
    return synthetic_photograph(77, 160)


def with_distance(profile, distance):
    return replace(profile, limits=Limits(low_precision=Limit(distance, 20)))


class Two:
    """A score that says ``exact``, and roughly ``rough``; counts how often it was asked exactly."""

    name, settings, needs_grid = "two", {}, False
    failure: Exception = InvalidImageError("NaN in bfloat16")

    def __init__(self, exact: float, rough: tuple[float, ...]) -> None:
        self.exact, self.candidates, self.asked = exact, rough, 0

    def __call__(self, autoencoder, image, window=None):
        self.asked += 1
        return Scored(self.exact, Passes(2, 2), "exact")

    def rough(self, autoencoder, image, window=None):
        if not self.candidates:
            raise self.failure
        return Rough(Scored(self.candidates[-1], Passes(2, 2), "rough"), self.candidates)


@pytest.fixture
def paid(monkeypatch):
    monkeypatch.setattr(module, "bfloat16_pays", lambda device: True)


def test_a_clear_rough_score_decides(paid, decoder, profile, photograph):
    lowest = min(profile.belonging_scores)
    score = Two(lowest, (lowest,))
    scored = score_as_exact_as_needed(with_distance(profile, 0.01), score, decoder, photograph)
    assert (scored.stage, score.asked, scored.passes.encoder) == ("rough", 0, 2)


@pytest.mark.parametrize("rough", [(-0.33,), (0.05, -0.5), ()])
def test_near_a_threshold_between_two_stages_or_after_a_failure_the_exact_score_counts(
    paid, decoder, profile, photograph, rough
):
    threshold = sorted(profile.non_belonging_scores)[0]
    score = Two(0.1, tuple(threshold if value == -0.33 else value for value in rough))
    scored = score_as_exact_as_needed(with_distance(profile, 0.01), score, decoder, photograph)
    assert scored.value == 0.1 and score.asked == 1
    assert scored.passes.encoder == (4 if rough else 2)  # both are paid for


def test_an_operation_that_bfloat16_does_not_have_leaves_the_exact_score(paid, decoder, profile, photograph):
    score = Two(0.1, ())
    score.failure = RuntimeError("not implemented for 'BFloat16'")
    assert score_as_exact_as_needed(with_distance(profile, 0.01), score, decoder, photograph).value == 0.1
    assert roughness_of(score, decoder, photograph, 0.1) is None


def test_without_measured_distance_or_matrix_units_nothing_is_rough(monkeypatch, decoder, profile, photograph):
    known = with_distance(profile, 0.01)
    for pays, held in ((True, replace(profile, limits=Limits())), (False, known)):
        monkeypatch.setattr(module, "bfloat16_pays", lambda device, pays=pays: pays)
        score = Two(0.3, (0.3,))
        assert score_as_exact_as_needed(held, score, decoder, photograph).stage == "exact" and score.asked == 1


@given(
    rough=st.floats(-1, 0.5), offset=st.floats(-1, 1), distance=st.floats(0, 0.2), second=st.floats(-1, 0.5) | st.none()
)
def test_a_decided_verdict_is_that_of_every_score_within_the_distance(profile, rough, offset, distance, second):
    candidates = (rough,) if second is None else (rough, second)
    if not is_decided(profile, candidates, distance):
        return

    def answer(value):
        return (
            profile.p_value(value) <= profile.stated_fpr,
            profile.belonging_p_value(value) <= profile.stated_fnr,
        )  # what accepts and refuses come to where all sources are of one size

    answers = {answer(candidate + offset * distance) for candidate in candidates}
    assert answers == {answer(rough)}


def test_the_distance_is_twice_the_largest_and_needs_twenty_samples():
    assert fit_roughness([0.01] * 19) is None
    held = fit_roughness([0.01] * 19 + [0.03])
    assert held == Limit(0.06, 20)


@torch.no_grad()
def own_version(decoder, photograph):
    return quantise(decoder.decode(decoder.encode(photograph)))


def test_the_rough_grid_contrast_lies_near_the_exact_one(paid, decoder, photograph):
    for image in (photograph, own_version(decoder, photograph)):
        for score in (GridContrast(), GridContrast(clearly_belonging=-9.0, clearly_not=9.0)):
            exact = score(decoder, image).value
            difference = roughness_of(score, decoder, image, exact)
            assert difference is not None and 0 < difference < 0.05
        small = Resized(0.5)
        assert enlarge(image, 0.5).shape[-1] == 320
        rough = small.rough(decoder, image)
        assert min(abs(candidate - small(decoder, image).value) for candidate in rough.candidates) < 0.05
        assert "bfloat16" in rough.scored.stage and "enlarging" in rough.scored.stage


def test_a_rough_look_near_a_bound_names_both_stages(decoder, photograph):
    first = GridContrast(clearly_belonging=-9.0, clearly_not=-8.0).rough(decoder, photograph)
    assert len(first.candidates) == 1  # one look decides
    bound = first.candidates[0]
    near = GridContrast(clearly_belonging=-9.0, clearly_not=bound).rough(decoder, photograph)
    assert near.candidates[0] == bound and len(near.candidates) == 2
    assert near.scored.value == near.candidates[1] and near.scored.passes.encoder == 4


def test_calibration_measures_the_distance_and_verdicts_stay_the_same(monkeypatch, decoder, judge):
    photographs = [synthetic_photograph(seed, 80) for seed in range(5)]
    profiles = []
    for pays in (False, True):
        monkeypatch.setattr(module, "bfloat16_pays", lambda device, pays=pays: pays)
        profiles.append(calibrate(decoder, make_score(), photographs, fpr=0.2))
    exact, rough = profiles
    assert exact.limits.low_precision is None
    assert rough.limits.low_precision is not None and rough.limits.low_precision.n == 5 * 5
    # All that counts is exact either way.
    assert replace(exact, limits=Limits()) == replace(rough, limits=Limits())
    for seed in (90, 91):
        picture = synthetic_photograph(seed, 80)
        for image in (picture, own_version(decoder, picture)):
            first, second = (judge(decoder, image, known) for known in profiles)
            assert first.answer == second.answer and abs(first.score - second.score) < 0.1
