"""A picture that holds nothing to judge by is inconclusive, never an error that stops the others, never a yes."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
import torch
from latent_tracer.core import builtin_profile, judge, load_autoencoder, quantise, synthetic_photograph, to_picture


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


def test_own_pictures_belong_photographs_do_not_and_lossy_files_stay_open(demo):
    autoencoder, profile = demo
    photograph = synthetic_photograph(77, 160)
    with torch.no_grad():
        own = quantise(autoencoder.decode(autoencoder.encode(photograph)))
    assert judge(autoencoder, own, profile).answer == "belonging"
    assert judge(autoencoder, photograph, profile).answer == "non-belonging"
    assert judge(autoencoder, own, profile, lossy=True).answer == "inconclusive"


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
