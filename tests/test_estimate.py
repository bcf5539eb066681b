"""How long a calibration will take is told before it starts, and is about right."""

import re
import time

import pytest
from latent_tracer.core import (
    UnsupportedAutoencoderError,
    calibrate,
    load_autoencoder,
    make_score,
    synthetic_photograph,
)
from latent_tracer.core.calibration.estimate import estimate_words, shown_time
from latent_tracer.core.calibration.under import histories_of
from latent_tracer.core.images.conditions import HISTORIES


def test_the_estimate_counts_what_calibration_scores_and_is_right_to_a_factor_of_four():
    autoencoder, score = load_autoencoder("demo-a"), make_score("grid-contrast")
    photographs = [synthetic_photograph(seed, 96) for seed in range(6)]
    said = estimate_words(autoencoder, {"clean": score}, len(photographs), (96, 96), 0)
    steps, began = [], time.perf_counter()
    calibrate(autoencoder, score, photographs, fpr=0.2, fnr=0.2, on_image=steps.append)
    took = time.perf_counter() - began
    seconds, samples = re.fullmatch(r"about (\d+) s: (\d+) scores of 6 photographs", said).groups()
    assert int(samples) == steps[-1].total == len(steps)
    assert took / 4 - 1 <= int(seconds) <= 4 * took + 1


def test_the_samples_are_those_of_calibration():
    assert histories_of("clean") == [one for one in HISTORIES if one != "clean"]
    assert histories_of("jpeg-90")[0] == "clean" and "jpeg-90" not in histories_of("jpeg-90")
    assert "clean" not in histories_of("resize-0.5", [])


def test_a_decoder_that_cannot_be_scored_is_left_to_the_calibration_to_refuse():
    def refuses(autoencoder, picture):
        raise UnsupportedAutoencoderError("No grid.")

    refuses.name = "refuses"
    said = estimate_words(load_autoencoder("demo-a"), {"clean": refuses}, 10, (96, 96), 2)
    assert "could not be measured" in said


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (89, "89 s"), (91, "2 min"), (5399, "90 min"), (5400, "1.5 h")]
)
def test_times(seconds, words):
    assert shown_time(seconds) == words
