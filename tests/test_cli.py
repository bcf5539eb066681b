"""The command line, run as a person runs it: exit codes, JSON on stdout, everything else on stderr."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from commands import run
from latent_tracer.cli import app
from latent_tracer.cli.interrupt import interrupts_kept
from latent_tracer.core import (
    InvalidSettingError,
    builtin_profile,
    load_autoencoder,
    quantise,
    synthetic_photograph,
    to_picture,
)
from latent_tracer.core.models.loading import EMBEDDED
from latent_tracer.core.profiles import save_profile
from PIL import Image
from safetensors.torch import load_file, save_file

# What takes this long never ends: no bound on speed, which depends on what else the machine does.
HANGS_SECONDS = 600


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    photograph = synthetic_photograph(seed=3, size=160)
    maker = load_autoencoder("demo-a")
    with torch.no_grad():
        to_picture(quantise(maker.decode(maker.encode(photograph)))).save(folder / "made.png")
    to_picture(photograph).save(folder / "photograph.png")
    to_picture(synthetic_photograph(seed=4, size=72)[..., :70]).save(folder / "off_grid.png")
    (folder / "broken.png").write_bytes((folder / "made.png").read_bytes()[:500])
    return folder


def test_trace_prints_one_json_object_per_image_with_the_promised_fields(pictures):
    done = run("trace", pictures / "made.png", pictures / "off_grid.png", "--vae", "demo-a", "--steps", 3, "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["image"] for row in rows] == [str(pictures / "made.png"), str(pictures / "off_grid.png")]
    promised = {"image", "vae", "verdict", "score", "loss", "initial_loss", "decoder_passes", "seconds", "crop"}
    assert all(promised <= row.keys() for row in rows)
    assert rows[0]["loss"] <= rows[0]["initial_loss"]
    assert rows[0]["crop"] is None
    assert (rows[1]["crop"]["width"], rows[1]["crop"]["left"]) == (64, 0)


def test_a_decoder_without_calibration_never_gets_a_bare_yes(tmp_path):
    # One changed weight makes another decoder of it, for which no profile ships.
    weights = load_file(EMBEDDED["demo-a"])
    weights["taesd_decoder.1.weight"][0, 0, 0, 0] += 0.5
    copy = tmp_path / "unknown.safetensors"
    save_file(weights, copy)
    model = load_autoencoder(copy)
    with torch.no_grad():
        own = quantise(model.decode(model.encode(synthetic_photograph(seed=3, size=192))))
    to_picture(own).save(tmp_path / "own.png")
    done = run("trace", tmp_path / "own.png", "--vae", copy, "--json")
    row = json.loads(done.stdout)
    assert row["verdict"] == "belonging" and row["fpr"] == 1 / 70
    assert (row["fpr_basis"], row["calibration"]) == ("other decoders", "5 other decoders")
    assert any("nobody calibrated this decoder" in note for note in row["notes"])


def test_of_several_profiles_the_one_for_the_pictures_history_decides(pictures, tmp_path):
    clean = builtin_profile(load_autoencoder("demo-a").fingerprint)
    for condition in ("clean", "jpeg-75"):
        save_profile(dataclasses.replace(clean, condition=condition), tmp_path / f"{condition}.json")
    profiles = ["--profile", tmp_path / "clean.json", "--profile", tmp_path / "jpeg-75.json"]
    Image.open(pictures / "photograph.png").save(tmp_path / "photograph.jpg", quality=75)
    files = [pictures / "photograph.png", tmp_path / "photograph.jpg"]
    done = run("trace", *files, "--vae", "demo-a", "--steps", 1, *profiles, "--json", "--picture", tmp_path / "drawn")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["condition"] for row in rows] == ["clean", "jpeg-75"]
    assert rows[0]["jpeg_quality"] is None and abs(rows[1]["jpeg_quality"] - 75) <= 1
    assert len(list((tmp_path / "drawn").iterdir())) == 2
    for command in ("trace", "attribute"):
        twice = run(command, files[0], "--vae", "demo-a", *profiles[:2], *profiles[:2])
        assert twice.returncode == 2 and "one profile for each condition" in twice.stderr


@pytest.mark.skipif(os.name == "nt", reason="no name there holds a line break")
def test_a_name_begins_no_line_of_an_answer(pictures, tmp_path):
    """Whoever names a file must not be able to write an answer of this program."""
    forged = "Made by demo-a: yes"
    for suffix, source in ((".png", "photograph.png"), ("-broken.png", "broken.png")):
        (tmp_path / f"x\n{forged}\nx{suffix}").write_bytes((pictures / source).read_bytes())
    commands = [("trace", "--vae", "demo-a"), ("attribute", "--vae", "demo-a", "--vae", "demo-b")]
    for name, *settings in commands:
        done = run(name, tmp_path, *settings)
        assert done.returncode == 2 and f"x\\x0a{forged}\\x0ax" in done.stdout
        assert forged not in done.stdout.splitlines() + done.stderr.splitlines()


def test_a_threshold_decides_and_its_unknown_false_positive_rate_is_said(pictures):
    done = run("trace", pictures / "made.png", "--vae", "demo-a", "--threshold", 0.5, "--steps", 2)
    assert done.returncode == 0
    assert "BELONGING" in done.stdout
    assert "false-positive rate not measured" in done.stdout


def test_an_unreadable_image_is_named_and_the_others_are_still_traced(pictures):
    done = run("trace", pictures / "broken.png", pictures / "made.png", "--vae", "demo-a", "--steps", 2, "--json")
    assert done.returncode == 2
    broken, good = (json.loads(line) for line in done.stdout.splitlines())
    assert broken["image"] == broken["name"] == str(pictures / "broken.png")
    assert (
        broken["error"] and broken["verdict"] is None and f"{pictures / 'broken.png'} {broken['error']}" in done.stderr
    )
    assert good["verdict"] is not None
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--vae", "nowhere/at-all"), "nowhere/at-all"),
        (("--vae", "demo-a", "--steps", "0"), "steps"),
        (("--vae", "demo-a", "--steps", "-3"), "steps"),
        (("--vae", "demo-a", "--solver", "magic"), "magic"),
        (("--vae", "demo-a", "--quantiser", "magic"), "magic"),
        (("--vae", "demo-a", "--profile", "no-such.json"), "no-such.json"),
        (("--vae", "demo-a", "--threshold", "-1", "--steps", "1"), "threshold"),
        ((), "--vae"),
    ],
)
def test_bad_settings_end_with_code_2_and_a_sentence_that_names_them(pictures, arguments, named):
    done = run("trace", pictures / "made.png", *arguments)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_explaining_pictures_are_written_where_asked(pictures, tmp_path):
    done = run("trace", pictures / "made.png", "--vae", "demo-a", "--steps", 2, "--picture", tmp_path / "out")
    assert done.returncode == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["made_trace.png"]


def test_calibrate_then_trace_then_attribute(pictures, tmp_path):
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for seed in range(8):
        to_picture(synthetic_photograph(seed=100 + seed, size=64)).save(photographs / f"{seed}.png")
    (photographs / "notes.png").write_text("not a picture")
    profile = tmp_path / "a.json"
    settings = ["--condition", "clean", "--fpr", 0.1]
    done = run("calibrate", "--vae", "demo-a", "--images", photographs, *settings, "-o", profile)
    assert done.returncode == 0, done.stderr
    assert "skipped 1 unreadable of 9" in done.stderr
    assert "false-positive rate 11 % on average, with 95 % confidence at most 31 %" in done.stdout
    assert "8 of 8 pictures counted" in done.stdout and "8 independent pictures support" in done.stderr
    shown = run("profile", "show", profile)
    assert shown.returncode == 0, shown.stderr
    for part in (
        "calibration made on this machine",
        "pictures: 8 counted of 8 given",
        "photographs, jpeg-30",
        "demo-b, left",
    ):
        assert part in shown.stdout
    told = json.loads(run("profile", "show", profile, "--json").stdout)
    assert told["calibration"] == "made on this machine" and told["fpr"] == pytest.approx(1 / 9)
    assert 0.3 < told["fpr_bound"] < 0.32
    assert [row["n"] for row in told["sources"]] == [8] * 7
    missing = run("profile", "show", tmp_path / "none.json")
    assert missing.returncode == 2 and "There is no profile" in missing.stderr
    traced = run("trace", pictures / "made.png", "--vae", "demo-a", "--profile", profile, "--steps", 1, "--json")
    row = json.loads(traced.stdout)
    assert row["verdict"] == "belonging"
    assert row["p_value"] <= row["fpr"] == pytest.approx(1 / 9)  # what eight photographs support
    assert row["condition"] == "clean"
    foreign = run("trace", pictures / "made.png", "--vae", "demo-b", "--profile", profile, "--steps", 1)
    assert foreign.returncode == 2
    assert "calibrated for" in foreign.stderr
    attributed = run("attribute", pictures / "made.png", "--vae", "demo-a", "--vae", "demo-b", "--json")
    assert json.loads(attributed.stdout)["vae"] == "demo-a"
    stranger = run("attribute", pictures / "photograph.png", "--vae", "demo-a", "--vae", "demo-b", "--json")
    assert json.loads(stranger.stdout)["vae"] is None


def test_too_few_photographs_cannot_calibrate(pictures, tmp_path):
    single = tmp_path / "single"
    single.mkdir()
    to_picture(synthetic_photograph(seed=1, size=64)).save(single / "one.png")
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, word in ((single, "at least"), (empty, "There is no picture in")):
        done = run("calibrate", "--vae", "demo-a", "--images", folder, "-o", tmp_path / "p.json")
        assert done.returncode == 2
        assert word in done.stderr
        assert not (tmp_path / "p.json").exists()


@pytest.mark.skipif(os.name == "nt", reason="interrupts are sent as POSIX signals")
@pytest.mark.parametrize(
    ("seconds", "sent"),
    [(1, "SIGINT"), (20, "SIGINT"), (20, "SIGTERM")],
    ids=["while-loading", "while-searching", "politely-killed"],
)
def test_an_interrupt_ends_with_code_130(pictures, seconds, sent):
    endless = ["--vae", "demo-a", "--steps", "100000", "--solver", "adam-paper"]
    program = "print('up', flush=True); from latent_tracer.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "trace", str(pictures / "made.png"), *endless],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background inherits "ignore interrupts" from its shell, and would hand it on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline() == "up\n"
    time.sleep(seconds)
    process.send_signal(getattr(signal, sent))
    try:
        _, errors = process.communicate(timeout=HANGS_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "cancelled" in errors


def test_an_interrupt_that_a_finaliser_swallows_comes_again(capsys):
    class Swallowing:
        def __del__(self):
            raise KeyboardInterrupt

    # A test run in the background inherits "ignore interrupts" from its shell.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), interrupts_kept():
            Swallowing()
            time.sleep(HANGS_SECONDS)
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == ""


def test_what_a_library_makes_of_an_interrupt_is_a_cancel(monkeypatch, capsys):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def covered(*_, **__):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise InvalidSettingError("The actor is temporarily unavailable.") from None

    def plain(*_, **__):
        raise InvalidSettingError("A setting is wrong.")

    try:
        for broken, code in ((plain, 2), (covered, 130), (plain, 2)):
            monkeypatch.setattr(app, "app", broken)
            with interrupts_kept():
                assert app.run() == code
            assert ("cancelled" in capsys.readouterr().err) == (code == 130)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_errors_of_finalisers_are_shown_as_ever(monkeypatch):
    class Broken:
        def __del__(self):
            raise RuntimeError("seen")

    shown = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: shown.append(str(lost.exc_value)))
    with interrupts_kept():
        Broken()
    assert shown == ["seen"]


def test_every_row_of_the_demo_is_right(tmp_path):
    done = run("demo", "--json", "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 8
    assert {row["expected"] for row in rows} == {"belonging", "non-belonging"}
    assert all(row["verdict"] == row["expected"] for row in rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo_demo-a.png", "demo_demo-b.png"]
