"""Each kind of answer in plain words: what a card says to somebody who has never read how it comes about.

A decoder without a grid is asked in test_decoder_grid.py.
"""

import dataclasses
import re

import pytest
import torch
from latent_tracer.core import load_autoencoder, verdict_from_profile, verdict_from_threshold
from latent_tracer.core.profiles import HANDED_OVER, Source, builtin_profile
from latent_tracer.core.reports.plain import plain_attribution, plain_verdict, reason_and_remedy, short_name
from latent_tracer.core.verdicts.doubt import History, doubt_about
from latent_tracer.core.verdicts.verdict import SEVERAL_DECODERS, verdict_from_default_profile

BASE = builtin_profile(load_autoencoder("demo-a").fingerprint)
MODEL = "sd/taesd.safetensors"


def check(plain, headline, certainty, advice):
    assert plain.headline == headline
    assert re.fullmatch(certainty, plain.certainty), plain.certainty
    assert re.fullmatch(advice, plain.advice), plain.advice
    assert not re.search(
        r"(?i)inconclusive|belonging|loss|candidate \d|loaded VAE", " ".join(dataclasses.astuple(plain)[1:])
    )


RATE = (
    r"Wrongly said of 1\.5 % of (unaltered )?pictures that it (did not make|made)"
    r" \(at most 4\.4 %, with 95 % confidence\)\."
)


def test_a_yes():
    check(plain_verdict(verdict_from_profile(-0.8, BASE), MODEL), "Made by taesd: yes", RATE, "Ask which models .*")


def test_a_no():
    plain = plain_verdict(verdict_from_profile(0.05, BASE), MODEL)
    check(plain, "No trace of taesd here", RATE, "If it was resized, .*; else try other VAEs.")


def test_altered():
    verdict = verdict_from_profile(0.05, BASE, history=History(jpeg_quality=60))
    check(
        plain_verdict(verdict, MODEL),
        "Cannot tell whether taesd made it",
        "The picture was once a JPEG file of about quality 60, .*",
        r"Calibrate for jpeg-30 \(latent-tracer calibrate --condition jpeg-30, .*",
    )


def test_too_small():
    plain = plain_verdict(verdict_from_profile(-0.8, BASE, shortest_side=64), MODEL)
    check(plain, "Cannot tell whether taesd made it", "Its shortest side is 64 pixels, .*", "Calibrate on images of .*")


def test_nobody_calibrated():
    judged = verdict_from_default_profile(-0.3, BASE, "", is_recognised=False, check="3 of 6 pictures it made")
    check(plain_verdict(judged, MODEL), "Cannot tell whether taesd made it", "Nobody calibrated .*", "Calibrate it .*")


def test_a_yes_by_the_default_profile():
    judged = verdict_from_default_profile(-0.8, BASE, "", is_recognised=True, check="")
    plain = plain_verdict(judged, MODEL)
    check(plain, "Made by taesd: yes", RATE + r" Measured on \d+ other decoders, not on taesd\.", "Calibrate taesd .*")


def test_a_calibration_that_was_handed_over_is_named_with_the_answer():
    plain = plain_verdict(dataclasses.replace(verdict_from_profile(-0.8, BASE), calibration=HANDED_OVER), MODEL)
    assert plain.certainty.endswith("The calibration was handed over: it is as true as whoever made it.")


def test_without_a_measured_rate_none_is_claimed():
    for loss in (1e-6, 1e-3):
        plain = plain_verdict(verdict_from_threshold(loss, 1e-5), MODEL)
        assert plain.certainty == "How often this answer is wrong was not measured." and "Calibrate" in plain.advice


def test_a_no_under_a_condition_does_not_speak_of_unaltered_pictures():
    verdict = dataclasses.replace(verdict_from_profile(0.05, BASE), condition="jpeg-75")
    assert "pictures that it made (condition jpeg-75)" in plain_verdict(verdict, MODEL).certainty
    assert "unaltered" not in plain_verdict(verdict, MODEL).certainty


def known(belonging, others):
    sources = {"belonging": (Source("decoded", belonging),), "others": (Source("photograph", others),)}
    return dataclasses.replace(BASE, **sources)


@pytest.mark.parametrize(
    ("scores", "headline", "certainty"),
    [
        ((0.1, 5.0), "Made by taesd", r"Wrongly said of at most .* % of pictures that none of these 2 VAEs made\."),
        ((0.1, 0.1), "A tie: taesd or other", "Both explain the picture equally well."),
        ((5.0, 5.0), "No trace of any of them here", "Wrongly said of .* of unaltered pictures that one of them made."),
        ((0.5, 5.0), "Cannot tell which made it", "Not ruled out: taesd. .*"),
    ],
)
def test_an_attribution(decide_by_scores, scores, headline, certainty):
    belonging, others = (tuple(torch.linspace(*ends, 99).tolist()) for ends in ((0, 0.2), (1, 9)))
    profile = known(belonging, others)
    result = decide_by_scores([(MODEL, scores[0], profile), ("other.pt", scores[1], profile)])
    check(plain_attribution(result), headline, certainty, ".+")


def test_an_attributions_no_names_the_conditions_that_its_rate_is_of(decide_by_scores):
    belonging, others = (tuple(torch.linspace(*ends, 99).tolist()) for ends in ((0, 0.2), (1, 9)))
    clean = known(belonging, others)
    rough = dataclasses.replace(clean, condition="jpeg-75")
    result = decide_by_scores([(MODEL, 5.0, clean), ("other.pt", 5.0, rough)])
    certainty = plain_attribution(result).certainty
    assert certainty.endswith("of pictures that one of them made (condition jpeg-75).")


def test_one_candidate_alone_is_spoken_of_as_one(decide_by_scores):
    belonging, others = (tuple(torch.linspace(*ends, 99).tolist()) for ends in ((0, 0.2), (1, 9)))
    plain = plain_attribution(decide_by_scores([(MODEL, 5.0, known(belonging, others))]))
    assert plain.headline == "No trace of it here" and "that it made" in plain.certainty


@pytest.mark.parametrize(
    ("basis", "halves"),
    [
        ("it is flat: trace one with more detail.", ("It is flat.", "Trace one with more detail.")),
        ("it has 4 pixels, use a larger picture.", ("It has 4 pixels.", "Use a larger picture.")),
        ("of 12 blocks: 3 differ, too few.", ("Of 12 blocks: 3 differ, too few.", "")),
        ("a: trace it (x: y): trace the first.", ("A: trace it (x: y).", "Trace the first.")),
        ("", ("", "")),
    ],
)
def test_a_reason_is_parted_from_its_remedy(basis, halves):
    assert reason_and_remedy(basis) == halves


def test_every_doubt_reads_as_a_sentence():
    histories = (
        ("non-belonging", History(was_lossy=True)),
        ("non-belonging", History(colours=12)),
        ("belonging", History(grid=9.0)),
        ("belonging", History(jpeg_quality=5)),
        ("belonging", History(different_blocks=2, telling_blocks=400)),
    )
    for answer, history in histories:
        reason, advice = reason_and_remedy(doubt_about(answer, history, BASE))
        assert reason[0].isupper() and reason.endswith(".") and (not advice or advice[0].isupper())


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("taesd", "taesd"),
        ("sdxl/vae-v1.5.safetensors", "vae-v1.5"),
        ("C:\\models\\x.ckpt", "x"),
        ("folder/", "this VAE"),
        ("", "this VAE"),
        ("a\u202eb.pt", "a\\u202eb"),
    ],
)
def test_a_model_is_called_what_the_user_chose(model, name):
    assert short_name(model) == name


def test_a_yes_at_another_placement_says_how_the_picture_was_taken():
    yes = dataclasses.replace(
        verdict_from_profile(-0.8, BASE),
        fpr_basis=SEVERAL_DECODERS,
        calibration="5 decoders together",
        state=("mirrored left to right since it was made",),
    )
    said = r" It shows where the picture is taken as mirrored left to right; measured on 5 decoders together\."
    check(plain_verdict(yes, MODEL), "Made by taesd: yes", RATE + said, "Ask which models .*")
    borrowed = dataclasses.replace(yes, calibration="5 other decoders together")
    said = said.replace(r"5 decoders together\.", r"5 other decoders together, not on taesd\.")
    check(plain_verdict(borrowed, MODEL), "Made by taesd: yes", RATE + said, "Ask which models .*")
