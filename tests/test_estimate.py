"""How long a calibration will take is told after its first photograph, by what that took, and is about right."""

import re
import time

import pytest
from latent_tracer.core import calibrate_conditions, load_autoencoder, make_score, synthetic_photograph
from latent_tracer.core.calibration.estimate import TimeLeft, samples_of_a_photograph, shown_time, work_words
from latent_tracer.core.calibration.kept import KeptScores
from latent_tracer.core.calibration.scores import CalibrationStep
from latent_tracer.core.calibration.under import histories_of
from latent_tracer.core.images.conditions import HISTORIES, USUAL
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.scores import Scored, default_score


class Slow:
    """A score that takes its time."""

    name = "slow"
    needs_grid = False

    def __init__(self):
        self.settings = {}

    def __call__(self, autoencoder, image, window=None):
        time.sleep(0.01)
        return Scored(float(image.double().mean() + image.double().std()), Passes(), "slow")


EACH = samples_of_a_photograph(dict.fromkeys(USUAL, Slow.name), 0)


@pytest.fixture(scope="module")
def photographs():
    return [synthetic_photograph(seed, 24, leaves=30) for seed in range(6)]


def calibrated(autoencoder, photographs, on_image, kept=None):
    return calibrate_conditions(
        autoencoder, dict.fromkeys(USUAL, Slow()), photographs, fpr=0.2, fnr=0.2, on_image=on_image, kept=kept
    )


def told(autoencoder, photographs, kept=None):
    """(what was said, seconds that then passed) and every step of a calibration for the usual conditions."""
    said, steps, left = [], [], TimeLeft()

    def advance(step):
        steps.append(step)
        words = left.after(step)
        if words:
            said.append((words, time.perf_counter()))

    calibrated(autoencoder, photographs, advance, kept)
    ended = time.perf_counter()
    return [(words, ended - when) for words, when in said], steps


def test_what_is_told_after_a_photograph_is_right_to_a_factor_of_four(convolutional, photographs):
    said, steps = told(convolutional(), photographs)
    assert [words.split(" for ")[1] for words, _ in said] == [
        *(f"{left} more photographs" for left in (5, 4, 3, 2)), "1 more photograph"
    ]  # fmt: skip
    for words, took in said:
        (seconds,) = re.fullmatch(r"about (\d+) s for \d more photographs?", words).groups()
        assert took / 4 - 1 <= int(seconds) <= 4 * took + 1
    assert steps[-1].measured == 6 * EACH and steps[-1].kept == 0
    assert (steps[-1].photographs, steps[-1].expected) == (6, 6) and steps[-1].done == steps[-1].total


def test_a_calibration_that_goes_on_counts_only_what_is_left(convolutional, photographs, tmp_path):
    def stop(step):
        if step.measured == 3 * EACH + 4:
            raise KeyboardInterrupt

    autoencoder = convolutional()
    with pytest.raises(KeyboardInterrupt), KeptScores(tmp_path / "p.json", autoencoder, "1") as kept:
        calibrated(autoencoder, photographs, stop, kept)
    with KeptScores(tmp_path / "p.json", autoencoder, "1") as kept:
        said, steps = told(autoencoder, photographs, kept)
    assert steps[-1].kept == 3 * EACH + 4 and steps[-1].measured == 3 * EACH - 4
    # Three were there and a fourth was begun: the fifth is the first that can tell.
    assert [words.split(" for ")[1] for words, _ in said] == ["1 more photograph"]


def clocked(*steps):
    """What is said after each step, which comes at the time it names first."""
    now = iter([0.0, *(when for when, *_ in steps)])
    left = TimeLeft(lambda: next(now))
    return [
        left.after(CalibrationStep(0, None, "", kind, photographs, 10, measured, kept))
        for _, kind, photographs, measured, kept in steps
    ]


def test_only_whole_photographs_that_were_measured_tell():
    assert clocked((7, "photograph", 0, 5, 0), (20, "decoder", 1, 9, 0)) == ["", "about 3 min for 9 more photographs"]
    # The first one warms up and does not count once there is another.
    assert clocked((20, "decoder", 1, 9, 0), (22, "decoder", 2, 18, 0))[1] == "about 16 s for 8 more photographs"
    # Really generated pictures come before and are no photographs.
    assert clocked((50, "generated", 0, 9, 0), (55, "decoder", 1, 18, 0)) == ["", "about 45 s for 9 more photographs"]
    # A copy was passed over, one was partly there: neither says how long one takes.
    assert clocked((1, "left out", 1, 0, 0), (3, "decoder", 2, 5, 4), (9, "decoder", 3, 14, 4)) == [
        "", "", "about 42 s for 7 more photographs"
    ]  # fmt: skip
    assert clocked((1, "decoder", 10, 9, 0)) == [""]


def test_the_work_is_told_beforehand():
    autoencoder, others = load_autoencoder("demo-a"), [load_autoencoder("demo-a"), load_autoencoder("demo-b")]
    scores = {one: make_score(default_score(one)) for one in USUAL}
    assert work_words(autoencoder, scores, 99, others) == (
        "for clean, jpeg-90 and jpeg-75: 16 scores of each of 99 photographs; the first one will tell how long that"
        " takes"
    )


def test_the_samples_are_those_of_calibration():
    assert histories_of("clean") == [one for one in HISTORIES if one != "clean"]
    assert histories_of("jpeg-90")[0] == "clean" and "jpeg-90" not in histories_of("jpeg-90")
    assert "clean" not in histories_of("resize-0.5", [])


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (91, "2 min"), (5399, "90 min"), (5400, "1.5 h")]
)
def test_times(seconds, words):
    assert shown_time(seconds) == words
