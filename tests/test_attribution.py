"""Which of several decoders made an image: one, none, or a tie that is named; and how often that may be wrong."""

import numpy as np
import pytest
from latent_tracer.core import InvalidSettingError, Profile
from latent_tracer.core.profiles import Source, placement_profile
from latent_tracer.core.profiles.thresholds import rate_interval
from latent_tracer.core.verdicts.attribution import TIE_MARGIN, Judged, decide, standing
from latent_tracer.core.verdicts.verdict import Verdict


def profile(belonging, others, fpr=0.05, fnr=0.05):
    return Profile(
        fingerprint="f",
        autoencoder="a",
        score="s",
        score_settings={},
        condition="clean",
        image_sizes=(64, 64),
        calibrated_on="a test",
        belonging=(Source("decoded", tuple(map(float, belonging))),),
        others=(Source("photograph", tuple(map(float, others))),),
        fpr=fpr,
        fnr=fnr,
    )


# Belonging around 0 with deviation near 1, others 10 … 208.
CLEAR = profile(np.linspace(-2, 2, 41), range(10, 209))


def test_the_one_candidate_that_accepts_is_named_with_its_reason(decide_by_scores):
    result = decide_by_scores([("one", 50, CLEAR), ("two", 0.1, CLEAR), ("three", 90, CLEAR)])
    assert result.vae == "two"
    assert result.tied == ()
    assert "two explains it" in result.reason
    assert [candidate.name for candidate in result.candidates] == ["two", "one", "three"]


def test_an_image_that_every_candidate_rejects_belongs_to_none(decide_by_scores):
    result = decide_by_scores([("one", 50, CLEAR), ("two", 60, CLEAR)])
    assert result.vae is None and result.tied == ()
    assert result.reason == "none of the candidates made this image"


def test_being_the_best_of_bad_candidates_is_no_attribution(decide_by_scores):
    assert decide_by_scores([("one", 30, CLEAR), ("two", 3000, CLEAR)]).vae is None


def test_two_candidates_that_explain_it_equally_well_are_a_named_tie(decide_by_scores):
    result = decide_by_scores([("one", 0.5, CLEAR), ("two", 0.2, CLEAR), ("three", 50, CLEAR)])
    assert result.vae is None
    assert result.tied == ("two", "one")
    assert result.reason == "two and one explain it equally well"


def test_scores_below_the_belonging_median_are_equally_typical(decide_by_scores):
    assert decide_by_scores([("one", 0.1, CLEAR), ("two", -9, CLEAR)]).tied == ("two", "one")


def test_one_that_explains_it_far_better_than_another_that_accepts_is_named(decide_by_scores):
    wide = profile(np.linspace(-2, 9, 41), range(10, 209))
    result = decide_by_scores([("one", -0.5, CLEAR), ("two", 8.5, wide)])
    assert {c.name: c.verdict.answer for c in result.candidates} == {"one": "belonging", "two": "belonging"}
    assert result.vae == "one"


def test_a_candidate_that_cannot_be_ruled_out_and_fits_as_well_prevents_an_attribution(decide_by_scores):
    blind = profile(np.linspace(-2, 2, 41), np.linspace(-2, 2, 41))  # cannot tell its own images from others
    result = decide_by_scores([("one", 0.3, CLEAR), ("blind", 0.1, blind)])
    assert {c.name: c.verdict.answer for c in result.candidates}["blind"] == "inconclusive"
    assert result.vae is None
    assert set(result.tied) == {"one", "blind"}


def test_uncertain_candidates_alone_are_inconclusive_not_none(decide_by_scores):
    overlapping = profile(range(100), range(50, 150))
    result = decide_by_scores([("one", 70, overlapping), ("two", 1000, overlapping)])
    assert result.vae is None and result.tied == ()
    assert "no candidate is certain" in result.reason


def test_more_candidates_demand_a_smaller_p_value_of_each(decide_by_scores):
    # Nine others score lower than 19: p = 10/200 = 5 %, enough alone, too much among two.
    known = profile(np.linspace(10, 30, 41), range(10, 209))
    assert known.p_value(18.5) == 0.05
    assert decide_by_scores([("one", 18.5, known)]).vae == "one"
    among_two = decide_by_scores([("one", 18.5, known), ("two", 5000, CLEAR)])
    assert among_two.vae is None
    assert "no candidate is certain" in among_two.reason
    assert decide_by_scores([("one", 13.5, known), ("two", 5000, CLEAR)]).vae == "one"  # p = 2.5 %


def test_candidates_of_the_same_name_keep_their_own_profiles(decide_by_scores):
    # The p-value of one must not be taken for that of the other.
    lenient = profile(np.linspace(10, 30, 41), range(10, 209))
    result = decide_by_scores([("vae", 18.5, lenient), ("vae", 5000, CLEAR)])
    assert result.vae is None
    assert decide_by_scores([("vae", 0.0, CLEAR), ("vae", 0.0, CLEAR)]).tied == ("vae", "vae")


def test_a_score_means_what_its_own_profile_says(decide_by_scores):
    scaled = profile(np.linspace(-2e-6, 2e-6, 41), np.arange(10, 209) * 1e-6)
    assert decide_by_scores([("large", 50, CLEAR), ("small", 1e-7, scaled)]).vae == "small"
    assert standing(1e-6, scaled) == pytest.approx(standing(1.0, CLEAR), rel=1e-3)


def test_standing_counts_robust_deviations_above_the_median():
    known = profile([1, 2, 3, 4, 1000], [2000])
    assert standing(3, known) == 0
    assert standing(3 + 1.4826, known) == pytest.approx(1)
    assert standing(2, profile([1, 1, 1], [2])) > TIE_MARGIN


@pytest.mark.parametrize(("images", "candidates"), [(199, 3), (20, 4)])
def test_an_image_of_none_of_them_is_attributed_at_most_at_the_stated_rate(decide_by_scores, images, candidates):
    rng = np.random.default_rng(0)
    trials, named = 2000, 0
    for _ in range(trials):
        entries = []
        for number in range(candidates):
            others = rng.normal(size=images + 1)
            entries.append((str(number), others[-1], profile([-2.5, -2.2, -1.9, -1.5], others[:-1])))
        result = decide_by_scores(entries)
        named += result.vae is not None
    assert result.fpr == pytest.approx(max(0.05, candidates / (images + 1)))
    assert rate_interval(named, trials, 0.9999)[0] <= result.fpr


def test_nothing_to_choose_from_is_said(decide_by_scores):
    with pytest.raises(InvalidSettingError, match="at least one candidate"):
        decide_by_scores([])


def test_a_score_that_is_no_number_is_never_attributed(decide_by_scores):
    with pytest.raises(InvalidSettingError, match="nan"):
        decide_by_scores([("one", float("nan"), CLEAR), ("two", 0.0, CLEAR)])


def test_a_yes_at_another_placement_is_attributed_at_the_rate_of_all_searches():
    """Each candidate was looked for as the picture lies and at a placement: of four candidates eight tests."""
    others = placement_profile()
    yes = Verdict("belonging", -50.0, "mirrored", p_value=others.p_value(-50.0), fpr=0.03, fpr_basis="several decoders")
    no = Verdict("non-belonging", 50.0, "score", p_value=1.0, fpr=0.05)
    judged = [Judged("one", yes, others), *(Judged(name, no, CLEAR) for name in ("two", "three", "four"))]
    result = decide(judged)
    assert result.vae == "one" and "one explains it: mirrored" in result.reason
    plain = decide([Judged("one", no, CLEAR)] * 4)
    assert result.fpr == pytest.approx(
        3 * plain.fpr / 4 + max(others.stated_fpr / 4, others.smallest_p_value) + 4 * 0.03
    )
    # Evidence there and scores as the picture lies do not compare: who is not ruled out may be the relative it is from.
    for open_ in (Verdict("inconclusive", 9.0, "score", p_value=0.5, fpr=0.05),
                  Verdict("inconclusive", float("nan"), "not scored"),
                  Verdict("belonging", 0.0, "score", p_value=0.005, fpr=0.05)):  # fmt: skip
        tied = decide([Judged("one", yes, others), Judged("two", open_, CLEAR), *judged[2:]])
        assert tied.vae is None and set(tied.tied) == {"one", "two"}
