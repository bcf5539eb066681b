"""Which user a reading belongs to, and the bound that is stated with the name: against its own definition."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from latent_tracer.core.fingerprints import InvalidRegisterError, Key, Reading, Register, Secret, attribute_user
from latent_tracer.core.fingerprints.certainty import agreement_slope
from latent_tracer.core.fingerprints.codebook import PILOTS, free_codewords, key_codewords
from latent_tracer.core.fingerprints.evidence import log_tail, union
from latent_tracer.core.fingerprints.keys import LONGEST_NAME, user_name
from latent_tracer.core.fingerprints.placed import Look
from latent_tracer.core.fingerprints.read import WRONG_KEY_RATE, decode_readouts
from latent_tracer.core.fingerprints.register import FALSE_ATTRIBUTION_RATE, best_scores
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.reports.reading import found_words, reading_report
from latent_tracer.core.scores.placement import Placement

SECRET = Secret(b"a secret of more than sixteen characters")
REGISTER = Register.create(SECRET)


def registered(*names: str) -> Register:
    return REGISTER.add(list(names))


def reading_of(user: str, noise: float = 0.6, free: int = 0, trials: int = 1) -> Reading:
    """Read-outs of a picture with the key of ``user``, one of its 256 codewords and Gaussian noise."""
    codeword = key_codewords([SECRET.user_key(user)])[0] * free_codewords(64)[free]
    values = codeword + noise * torch.from_numpy(np.random.default_rng(1).normal(size=len(codeword))).float()
    return decode_readouts(values, 64, 1e-6, Passes(), trials=trials, bound=True)


def chernoff(values: np.ndarray, score: float) -> float:
    """log min over theta of exp(-theta·s)·prod cosh(theta·|y|), on a fine grid: what no valid bound goes below."""
    thetas = np.linspace(1e-3, 20, 4000)[:, None]
    return min(0.0, float((np.log(np.cosh(thetas * values)).sum(1) - thetas[:, 0] * score).min()))


def test_the_bound_is_that_of_its_definition():
    """256 settings of the free bits, one user, one reading: 256 times the tail of the best codeword."""
    reading = reading_of("a", noise=2.0, free=77)
    values = reading.readouts.double().numpy()
    codewords = (key_codewords([SECRET.user_key("a")])[0] * free_codewords(64)).double().numpy()
    score = max(codewords @ values)
    given = key_codewords([SECRET.user_key("a")])
    assert float(best_scores(reading.readouts, given, 64)[0]) == pytest.approx(score, rel=1e-6)
    found = attribute_user(reading, registered("a"), SECRET, rate=0.5)
    assert 1e-12 < found.p_value < 0.01
    assert math.log(found.p_value) == pytest.approx(math.log(256) + chernoff(values, score), abs=0.05)
    assert math.log(found.p_value) == pytest.approx(
        math.log(256) + float(log_tail(reading.readouts, torch.tensor([score]))[0]), abs=1e-4
    )


def test_every_user_and_every_further_attempt_costs_certainty():
    reading = reading_of("a", noise=1.8)
    alone = attribute_user(reading, registered("a"), SECRET, rate=0.5)
    among = attribute_user(reading, registered("a", *(f"user {k}" for k in range(6))), SECRET, rate=0.5)
    assert (alone.user, alone.users, among.user, among.users) == ("a", 1, "a", 7)
    assert among.p_value / alone.p_value == pytest.approx(7, rel=1e-3)
    again = attribute_user(dataclasses.replace(reading, trials=2), registered("a"), SECRET, rate=0.5)
    assert again.p_value / alone.p_value == pytest.approx(2, rel=1e-3)
    assert among.reason == f"false attribution among 7 users at most {among.p_value:.1e}"


def test_a_user_is_named_up_to_the_rate_and_not_beyond():
    reading, register = reading_of("b", noise=1.8), registered("a", "b", "c")
    bound = attribute_user(reading, register, SECRET, rate=0.999).p_value
    assert attribute_user(reading, register, SECRET, rate=bound * 1.000001).user == "b"
    refused = attribute_user(reading, register, SECRET, rate=bound * 0.999999)
    assert refused.user is None and refused.p_value == pytest.approx(bound)
    assert refused.users == 3
    assert refused.reason == (
        f"no registered key: an unmarked picture does as well with p <= {bound * 0.999999:.0e} or more"
    )
    assert FALSE_ATTRIBUTION_RATE == 1e-6
    default = attribute_user(reading, register, SECRET)
    assert (default.user is None) == (bound > 1e-6)
    assert attribute_user(reading_of("b"), register, SECRET).user == "b"


def test_a_picture_with_another_key_is_nobodys_here():
    """Evidence for the best registered user passes, but a different key was read with certainty."""
    reading, register = reading_of("a"), registered("z", "a")
    assert reading.key == SECRET.user_key("a") and attribute_user(reading, register, SECRET).user == "a"
    other = dataclasses.replace(reading, key=SECRET.user_key("somebody else"))
    found = attribute_user(other, register, SECRET)
    assert found.user is None and found.users == 2 and found.p_value < 1e-6
    assert found.reason == "another key was read, whose user is not registered"
    # Without a key of its own, the evidence for the user decides.
    assert attribute_user(dataclasses.replace(reading, key=None), register, SECRET).user == "a"


def test_a_stranger_with_a_registered_name_like_key_is_nobody():
    found = attribute_user(reading_of("stranger"), registered("a", "b"), SECRET)
    assert found.user is None and found.p_value > 1e-6


def test_a_union_of_events_is_no_more_than_certain():
    assert union(-5.0, 2.0) == -3.0
    assert union(-1.0, 2.0) == 0.0
    assert float(log_tail(torch.ones(10), torch.tensor([-3.0]))[0]) == 0.0


def test_the_bound_of_given_read_outs_is_the_number_it_always_was():
    """Any set of theta gives a valid bound, but the same picture is to keep its p-value."""
    magnitudes, scores = torch.arange(1, 41) / 10, torch.tensor([5.0, 20.0, 40.0, 70.0, 81.9])
    expected = [-0.0564299433, -0.9137487266, -3.8246804278, -14.0945913590, -26.7375336243]
    assert log_tail(magnitudes, scores).tolist() == pytest.approx(expected, rel=1e-6)
    assert log_tail(-magnitudes, scores).tolist() == log_tail(magnitudes, scores).tolist()


def test_names_that_can_be_registered_and_names_that_cannot():
    longest = "x" * LONGEST_NAME
    assert LONGEST_NAME == 200 and registered(longest, "a b", longest).users == (longest, "a b")
    for name in (longest + "x", "", " \u2003", "t\tab", "\u202e", "\ud800"):
        with pytest.raises(InvalidRegisterError, match=f"A user name of {len(name)} characters cannot be used"):
            registered("fine", name)


def test_a_name_is_one_name_however_it_is_typed():
    composed, taken_apart = "Jos\u00e9", " Jose\u0301\n"
    assert registered(composed, taken_apart).users == (composed,) == (user_name(taken_apart),)
    assert user_name("Jose") != user_name(composed)


def test_bits_that_are_the_same_for_every_key_speak_for_no_user():
    """Of somebody who is not registered, or has a key of another length: the secret is the same, all pilots agree."""
    length, generator = len(key_codewords([SECRET.user_key("a")])[0]), np.random.default_rng(2)
    register = registered("a", *(f"user {k}" for k in range(99)))
    signs = np.sign(generator.normal(size=(40, length)))
    for one in signs:
        values = torch.from_numpy(np.concatenate([one, np.full(PILOTS, 3.0)])).float()
        reading = decode_readouts(values, 64, 1e-6, Passes(), bound=True)
        alone = decode_readouts(values[:length], 64, 1e-6, Passes(), bound=True)
        found = attribute_user(dataclasses.replace(reading, key=None), register, SECRET, rate=0.5)
        assert found.p_value == attribute_user(dataclasses.replace(alone, key=None), register, SECRET, rate=0.5).p_value
        assert found.p_value > 1e-4


def test_the_look_that_speaks_for_a_user_counts_though_no_key_shows_in_it():
    """Far more keys than users are possible: what is too faint for a key may still be one user's."""
    strange = torch.from_numpy(np.random.default_rng(8).normal(size=len(reading_of("a").readouts))).float()
    faint = reading_of("a", noise=1.3, trials=56).readouts
    placed = Placement(mirrored=True)
    looks = (Look(None, strange, 2), Look(placed, faint, 56), Look(None, strange.flip(0), 8))
    first = decode_readouts(strange, 64, 1e-6, Passes(), trials=2, bound=True)
    assert first.log_p_value == decode_readouts(faint, 64, 1e-6, Passes(), trials=56, bound=True).log_p_value == 0
    reading = dataclasses.replace(first, looks=looks)
    found, alone = (attribute_user(one, registered("a", "b"), SECRET) for one in (reading, first))
    assert (found.user, alone.user) == ("a", None)
    assert found.reason.endswith("; taken as mirrored")
    dearer = dataclasses.replace(reading, looks=(looks[0], dataclasses.replace(looks[1], trials=560), looks[2]))
    assert attribute_user(dearer, registered("a", "b"), SECRET).p_value == pytest.approx(10 * found.p_value)


def test_a_key_that_was_read_without_a_secret_is_said_to_prove_nothing():
    reading = reading_of("a")
    assert "limits: a key proves that the secret was used" in reading_report(reading)
    assert "without a secret a key proves nothing" in reading_report(dataclasses.replace(reading, keyed=False))
    assert "3 further looks did not fit" in reading_report(dataclasses.replace(reading, left_out=3))


@pytest.mark.parametrize(("digits", "length"), [("0123456789abcdef", 64), ("abcdef012", 36)])
def test_bits_of_a_key_are_its_digits(digits, length):
    key = Key(digits)
    assert len(key) == length == len(key.bits)
    assert int("".join(map(str, key.bits)), 2) == int(digits, 16)
    assert Key.from_bits(key.bits) == key
    assert repr(key) == f"Key({length} bits, hidden)"


def test_a_key_is_named_only_where_all_its_bits_are_certain():
    """Near the least mark that shows at all, the likeliest key is often wrong in a bit: a mark is there, no name."""
    generator, named, unnamed = np.random.default_rng(5), 0, 0
    for trial in range(60):
        key = SECRET.user_key(f"user {trial}")
        codeword = key_codewords([key], PILOTS)[0]
        values = 1.1 * codeword + torch.from_numpy(generator.normal(size=len(codeword))).float()
        reading = decode_readouts(values, 64, 1e-6, Passes(), bound=True)
        doubt = sum(1 - confidence for confidence in reading.bit_confidence)
        assert (reading.key is not None) == (reading.is_marked and doubt <= WRONG_KEY_RATE)
        named += reading.key is not None
        unnamed += reading.is_marked and reading.key is None
        assert reading.key in (None, key)
    assert named > 5 and unnamed > 5


def test_who_is_registered_is_named_though_not_every_bit_of_the_key_is_certain():
    codeword = key_codewords([SECRET.user_key("a")], PILOTS)[0]
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=len(codeword))).float()
    readings = [
        decode_readouts(strength * codeword + noise, 64, 1e-6, Passes(), bound=True)
        for strength in np.arange(2.0, 0.7, -0.05)
    ]
    assert readings[0].key == SECRET.user_key("a") and readings[-1].key is None
    assert reading_report(readings[0]).startswith("A KEY of 64 bits: ")
    uncertain = [reading for reading in readings if reading.is_marked and reading.key is None]
    assert uncertain and attribute_user(uncertain[0], registered("a", "b"), SECRET).user == "a"
    assert found_words(uncertain[0]) == "a mark, but not all 64 bits of its key for certain"
    assert reading_report(uncertain[0]).startswith("A MARK, but not all 64 bits of its key for certain: an unmarked")


def test_the_slope_of_normal_readouts_is_that_of_their_likelihood_ratio():
    agreeing = np.random.default_rng(3).normal(1.5, 1.2, 20_000)
    assert agreement_slope(agreeing) == pytest.approx(2 * 1.5 / 1.2**2, rel=0.05)


def test_large_readouts_do_not_make_others_less_certain():
    """A mark moves read-outs at least to its margin; what lies beyond it is no scatter."""
    generator = np.random.default_rng(3)
    close = generator.normal(1.5, 0.7, 300)
    assert agreement_slope(np.append(close, generator.uniform(5, 20, 60))) == pytest.approx(
        agreement_slope(close), rel=0.1
    )
    assert agreement_slope(np.full(50, 2.0)) > 1 and agreement_slope(np.full(50, -2.0)) == 0
    assert agreement_slope(np.zeros(50)) == 0
    assert agreement_slope(10 * close) == pytest.approx(agreement_slope(close) / 10)
