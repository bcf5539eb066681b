"""A picture that holds nothing to judge by is inconclusive, never an error that stops the others, never a yes."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys

import pytest
import torch
from latent_tracer.core import (
    alter,
    builtin_profile,
    judge,
    load_autoencoder,
    quantise,
    synthetic_photograph,
    to_picture,
)
from latent_tracer.core.conditions import LOSSY


@pytest.fixture(scope="module")
def demo():
    autoencoder = load_autoencoder("demo-a")
    profile = builtin_profile(autoencoder.fingerprint)
    assert profile is not None
    return autoencoder, profile


@pytest.mark.parametrize(
    ("image", "reason"), [(torch.full((1, 3, 160, 160), 0.5), "flat"), (torch.rand(1, 3, 32, 32), "at least 40")]
)
def test_a_picture_without_evidence_is_inconclusive_with_the_reason(demo, image, reason):
    verdict = judge(*demo[:1], image, demo[1])
    assert verdict.answer == "inconclusive" and reason in verdict.basis
    assert math.isnan(verdict.score) and verdict.p_value is None and verdict.fpr is None


def test_own_pictures_belong_and_photographs_do_not(demo):
    autoencoder, profile = demo
    photograph = synthetic_photograph(77, 160)
    with torch.no_grad():
        own = quantise(autoencoder.decode(autoencoder.encode(photograph)))
    assert judge(autoencoder, own, profile).answer == "belonging"
    assert judge(autoencoder, photograph, profile).answer == "non-belonging"


def test_a_lossy_file_may_get_a_yes_but_never_a_no(demo):
    autoencoder, profile = demo
    photograph = synthetic_photograph(77, 160)
    with torch.no_grad():
        own = alter(quantise(autoencoder.decode(autoencoder.encode(photograph))), "jpeg-90")
    assert judge(autoencoder, own, profile, lossy=True).answer == "belonging"
    for other in (photograph, alter(photograph, "jpeg-75")):
        verdict = judge(autoencoder, other, profile, lossy=True)
        assert verdict.answer == "inconclusive" and "lossy" in verdict.basis
    # Without lossy pictures among the others nobody knows how often they pass.
    blind = dataclasses.replace(
        profile, others=tuple(source for source in profile.others if source.history not in LOSSY)
    )
    assert judge(autoencoder, own, blind, lossy=True).answer == "inconclusive"


def test_without_a_profile_there_is_a_p_value_under_other_decoders_and_never_an_answer():
    autoencoder = load_autoencoder("demo-a")
    photograph = synthetic_photograph(77, 192)
    with torch.no_grad():
        own = quantise(autoencoder.decode(autoencoder.encode(photograph)))
    first, second = judge(autoencoder, own, None), judge(autoencoder, photograph, None)
    assert first.answer == second.answer == "inconclusive"
    assert first.fpr is None and second.fpr is None
    assert first.p_value is not None and second.p_value is not None and first.p_value < second.p_value
    assert "no calibration for this decoder" in first.sentence and "a sign that it belongs" in first.sentence
    assert "no sign that it belongs" in second.sentence
    assert builtin_profile("no decoder") is None


def test_the_command_line_reports_a_flat_picture_without_a_score_and_as_valid_json(tmp_path):
    to_picture(torch.full((1, 3, 64, 64), 0.5)).save(tmp_path / "flat.png")
    arguments = [
        "trace",
        str(tmp_path / "flat.png"),
        "--vae",
        "demo-a",
        "--steps",
        "2",
        "--json",
        "--picture",
        str(tmp_path),
    ]
    command = [sys.executable, "-c", "from latent_tracer.cli import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout, parse_constant=pytest.fail)
    assert record["verdict"] == "inconclusive" and record["score"] is None
    assert (tmp_path / "flat_trace.png").is_file()
