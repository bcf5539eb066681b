"""A bare ``calibrate``: one profile for clean pictures and JPEG files, which share passes; it can be stopped."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
import torch
from commands import run
from latent_tracer.core import (
    ModuleAutoencoder,
    calibrate,
    calibrate_conditions,
    load_autoencoder,
    load_profiles,
    make_score,
    quantise,
    synthetic_photograph,
    to_picture,
)
from latent_tracer.core.calibration.kept import SUFFIX
from latent_tracer.core.calibration.shared_passes import SharedPasses
from latent_tracer.core.calibration.under import Under
from latent_tracer.core.images.conditions import USUAL
from latent_tracer.core.scores.decoder_grid import NoGridError, grid_of

PHOTOGRAPHS, SIDE = 5, 64
# One other decoder is embedded beside the one that is calibrated.
EACH = 16


def counted(monkeypatch):
    """How many passes were run, by network."""
    asked = {"encode": 0, "decode": 0}
    for name in asked:
        network = getattr(ModuleAutoencoder, name)

        def counting(self, given, network=network, name=name):
            asked[name] += 1
            return network(self, given)

        monkeypatch.setattr(ModuleAutoencoder, name, counting)
    return asked


def test_a_pass_through_the_same_pixels_is_made_once(convolutional, monkeypatch):
    autoencoder, picture = convolutional(), synthetic_photograph(1, 32)
    expected = autoencoder.decode(autoencoder.encode(picture))
    shared, asked = SharedPasses(autoencoder), counted(monkeypatch)
    with torch.no_grad():
        for _ in range(3):
            assert torch.equal(shared.decode(shared.encode(picture.clone())), expected)
        assert asked == {"encode": 1, "decode": 1} and (shared.made, shared.spared) == (2, 4)
        # A value apart, another layout of memory or another precision is another pass.
        shared.encode(picture + 1e-7)
        shared.encode(torch.stack(list(picture.unbind(1)), 1))
        with torch.autocast("cpu", torch.bfloat16):
            shared.encode(picture)
        assert asked["encode"] == 4
        shared.forget()
        shared.encode(picture)
        assert asked["encode"] == 5
    # What needs a gradient is computed for whoever needs it.
    with torch.enable_grad():
        latents = shared.encode(picture).requires_grad_()
        assert shared.decode(latents).requires_grad and shared.decode(latents).requires_grad
    assert asked == {"encode": 6, "decode": 3}
    assert shared.spatial_ratio == 8 and shared.fingerprint == autoencoder.fingerprint


def test_conditions_share_passes_and_score_as_each_does_alone(convolutional, monkeypatch):
    autoencoder = convolutional()
    with contextlib.suppress(NoGridError):
        grid_of(autoencoder)  # asked for once
    photographs = [synthetic_photograph(seed, 32, leaves=30) for seed in range(5)]
    scores = {"clean": make_score("reconstruction"), "jpeg-90": make_score("double-reconstruction")}
    asked = counted(monkeypatch)
    together = calibrate_conditions(autoencoder, scores, photographs)
    shared = dict(asked)
    alone = tuple(calibrate(autoencoder, score, photographs, condition=one) for one, score in scores.items())
    assert together == alone
    # The photograph out of two JPEG files is looked at under both conditions; as it is, one more of each network makes
    # its versions and is what both conditions see first.
    separately = {name: asked[name] - shared[name] for name in asked}
    assert separately["encode"] - shared["encode"] == 5 * 3


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """What demo-a made and a photograph, each as PNG and as JPEG files."""
    folder = tmp_path_factory.mktemp("delivered")
    demo = load_autoencoder("demo-a")
    with torch.no_grad():
        made = quantise(demo.decode(demo.encode(synthetic_photograph(5, SIDE))))
    # Of a busier one so small all texture would count as noise, and the no would be withheld.
    photograph = synthetic_photograph(5, SIDE, leaves=30)
    for name, pixels in (("made", made), ("photograph", photograph)):
        to_picture(pixels).save(folder / f"{name}.png")
        for quality in (98, 90, 75):
            to_picture(pixels).save(folder / f"{name}-{quality}.jpg", quality=quality)
    return folder


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """The profile, and what the commands said: stopped while the fourth photograph was scored, and given again."""
    folder = tmp_path_factory.mktemp("calibrated")
    (folder / "photographs").mkdir()
    for seed in range(PHOTOGRAPHS):
        to_picture(synthetic_photograph(100 + seed, SIDE)).save(folder / "photographs" / f"{seed}.png")
    profile = folder / "usual.json"
    command = ["calibrate", "--vae", "demo-a", "--images", folder / "photographs", "--fpr", 0.2, "--fnr", 0.2]
    measure, left = Under.measure, iter(range(3 * EACH + 2))

    def stopping(*arguments):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return measure(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Under, "measure", stopping)
        stopped = run(*command, "-o", profile)
    kept = profile.with_name(profile.name + SUFFIX)
    lines = len(kept.read_text(encoding="utf-8").splitlines()) if kept.exists() else 0
    return profile, stopped, lines, run(*command, "-o", profile)


def test_a_stopped_one_goes_on_and_says_how_long_what_is_left_takes(calibrated):
    profile, stopped, lines, done = calibrated
    assert stopped.returncode == 130 and lines == 3 * EACH + 2
    for said in (stopped.stderr, done.stderr):
        assert f"calibrating for clean, jpeg-90 and jpeg-75: {EACH} scores of each of 5 photographs" in said
    assert re.search(r"^about \d+ (s|min) for 4 more photographs on this device$", stopped.stderr, re.MULTILINE)
    assert done.returncode == 0, done.stderr
    assert f"{lines} scores had been measured before." in done.stderr
    # The fourth was half there; after the fifth nothing is left to be told.
    assert "more photograph" not in done.stderr
    assert not profile.with_name(profile.name + SUFFIX).exists()
    assert [done.stdout.count(f"condition {one}, false-positive rate") for one in USUAL] == [1, 1, 1]
    assert not any(word in stopped.stdout + done.stdout for word in ("about", "measured before"))


def test_the_profile_holds_the_usual_conditions_and_says_so(calibrated):
    profile = calibrated[0]
    assert [one.condition for one in load_profiles(profile)] == list(USUAL)
    shown = run("profile", "show", profile)
    assert (
        f"{profile} holds 3 conditions: clean, jpeg-90 and jpeg-75; a picture's pixels tell which one" in shown.stdout
    )
    told = [json.loads(line) for line in run("profile", "show", profile, "--json").stdout.splitlines()]
    assert [one["condition"] for one in told] == list(USUAL)


def test_pictures_and_their_jpeg_copies_are_judged_without_a_condition_being_named(calibrated, pictures, tmp_path):
    report = tmp_path / "report"
    command = ["trace", pictures, "--vae", "demo-a", "--profile", calibrated[0], "--report", report]
    done = run(*command)
    assert done.returncode == 0, done.stderr
    record = json.loads((report / "report.json").read_text())
    rows = {row["name"]: row for row in record["rows"]}
    conditions = {".png": "clean", "-98.jpg": "jpeg-90", "-90.jpg": "jpeg-90", "-75.jpg": "jpeg-75"}
    for end, condition in conditions.items():
        own, other = rows[f"made{end}"], rows[f"photograph{end}"]
        assert own["verdict"] == "belonging" and own["fpr"] <= 0.2, own["basis"]
        assert other["verdict"] != "belonging" and other["fnr"] <= 0.2
        assert own["condition"] == other["condition"] == condition
        assert "calibrate for" not in other["basis"]
    assert rows["photograph.png"]["verdict"] == "non-belonging", rows["photograph.png"]["basis"]
    assert record["settings"]["condition"] == "clean, jpeg-90, jpeg-75"
    assert record["settings"]["judged as"] == "jpeg-90 4, clean 2, jpeg-75 2"
    assert "judged as jpeg-75" in (report / "report.html").read_text(encoding="utf-8")


def test_one_condition_alone_stays_possible(tmp_path):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for seed in range(PHOTOGRAPHS):
        to_picture(synthetic_photograph(100 + seed, 48)).save(photographs / f"{seed}.png")
    done = run(
        *("calibrate", "--vae", "demo-a", "--images", photographs, "--condition", "clean", "--fpr", 0.2, "-o"),
        tmp_path / "clean.json",
    )
    assert done.returncode == 0 and "calibrating for clean: 6 scores of each of 5 photographs" in done.stderr
    (profile,) = load_profiles(tmp_path / "clean.json")
    assert profile.condition == "clean" and json.loads((tmp_path / "clean.json").read_text())["version"] == 2


def test_a_picture_rougher_than_the_profile_is_told_the_command_that_helps(calibrated, tmp_path):
    to_picture(synthetic_photograph(5, SIDE)).save(tmp_path / "rough.jpg", quality=40)
    done = run("trace", tmp_path / "rough.jpg", "--vae", "demo-a", "--profile", calibrated[0], "--json")
    row = json.loads(done.stdout)
    assert row["verdict"] == "inconclusive"
    assert "latent-tracer calibrate --condition jpeg-30" in row["basis"]
    # The one that ships holds for clean pictures.
    to_picture(synthetic_photograph(5, 160)).save(tmp_path / "photograph.jpg", quality=75)
    row = json.loads(run("trace", tmp_path / "photograph.jpg", "--vae", "demo-a", "--json").stdout)
    assert row["verdict"] == "inconclusive" and "latent-tracer calibrate does for JPEG" in row["basis"]
