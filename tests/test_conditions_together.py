"""A profile of several conditions: made in one go, kept in one file, taken up again where it was stopped."""

import dataclasses
import json

import pytest
import torch
from latent_tracer.core import (
    InvalidProfileError,
    InvalidSettingError,
    Tracer,
    calibrate,
    calibrate_conditions,
    load_profile,
    load_profiles,
    synthetic_photograph,
)
from latent_tracer.core.calibration.estimate import samples_of_a_photograph
from latent_tracer.core.calibration.kept import SUFFIX, KeptScores
from latent_tracer.core.calibration.scores import Sample
from latent_tracer.core.calibration.under import Measured, Under
from latent_tracer.core.images.conditions import USUAL
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.profiles import save_profile, save_profiles
from latent_tracer.core.profiles.profile import digest_of
from latent_tracer.core.scores import Scored


class Counted:
    """A score that counts what it is asked."""

    name = "counted"

    def __init__(self, stops_at=None):
        self.settings = {"kept": True}
        self.asked = 0
        self.stops_at = stops_at

    def __call__(self, autoencoder, image, window=None):
        if self.asked == self.stops_at:
            raise KeyboardInterrupt
        self.asked += 1
        return Scored(float(image.double().mean() + image.double().std()), Passes(), "counted")


@pytest.fixture(scope="module")
def pictures():
    return [synthetic_photograph(seed, 24, leaves=30) for seed in range(6)]


def test_conditions_together_are_what_each_is_alone_and_share_what_they_have_in_common(convolutional, pictures):
    score = Counted()
    together = calibrate_conditions(convolutional(), dict.fromkeys(USUAL, score), pictures)
    shared = score.asked
    alone = tuple(calibrate(convolutional(), score, pictures, condition=condition) for condition in USUAL)
    assert together == alone and [profile.condition for profile in together] == list(USUAL)
    assert shared == len(pictures) * samples_of_a_photograph(dict.fromkeys(USUAL, "counted"), 0)
    assert shared == 6 * 10 and score.asked - shared == 6 * (5 + 6 + 5)


def test_really_generated_pictures_count_under_every_condition(convolutional, pictures):
    made = [synthetic_photograph(seed, 24, leaves=30) for seed in range(100, 105)]
    steps = []
    profiles = calibrate_conditions(
        convolutional(), dict.fromkeys(USUAL, Counted()), pictures, generated=made, on_image=steps.append
    )
    for profile in profiles:
        assert [len(one.scores) for one in profile.belonging if one.kind == "generated"] == [5]
    assert steps[-1].done == steps[-1].total == len(steps)


@pytest.fixture
def profiles(convolutional, pictures):
    return calibrate_conditions(convolutional(), dict.fromkeys(USUAL, Counted()), pictures, fpr=0.2, fnr=0.2)


def test_one_file_holds_them_all_and_one_alone_is_written_as_before(profiles, tmp_path):
    path = tmp_path / "several.json"
    save_profiles(profiles, path)
    record = json.loads(path.read_text(encoding="utf-8"))
    assert (record["version"], len(record["profiles"])) == (3, 3) and "fingerprint" not in record
    assert load_profiles(path) == profiles
    assert {profile.calibration for profile in load_profiles(path)} == {"made on this machine"}
    with pytest.raises(
        InvalidProfileError, match=r"holds several conditions \(clean, jpeg-90, jpeg-75\): name a profile"
    ):
        load_profile(path)
    save_profiles(profiles[1:2], path)
    assert json.loads(path.read_text(encoding="utf-8"))["version"] == 2 and load_profile(path) == profiles[1]
    save_profile(profiles[0], path)
    assert load_profiles(path) == profiles[:1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda parts: parts[:1], "impossible value (profiles)"),
        (lambda parts: parts[:2] + parts[:1], "holds one condition twice"),
        (lambda parts: [parts[0], {**parts[1], "fingerprint": "f" * 40}], "holds profiles of different decoders"),
        (lambda parts: [parts[0], {**parts[1], "more": 1}], "adds fields (profiles[1].more)"),
        (lambda parts: [parts[0], {**parts[1], "fpr": 2}], "impossible value (profiles[1].fpr)"),
        (lambda parts: parts * 10, "impossible value (profiles)"),
        (lambda parts: {"0": parts[0]}, "impossible value (profiles)"),
    ],
)
def test_a_file_of_several_is_read_as_strictly_as_one_of_one(profiles, tmp_path, change, reason):
    path = tmp_path / "several.json"
    save_profiles(profiles, path)
    record = json.loads(path.read_text(encoding="utf-8"))
    record["profiles"] = change(record["profiles"])
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InvalidProfileError, match="was changed or damaged"):
        load_profiles(path)
    record["digest"] = digest_of(record)
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InvalidProfileError) as raised:
        load_profiles(path)
    assert reason in str(raised.value) and "calibrate again" in str(raised.value)


def test_a_tracer_takes_the_profiles_of_one_file(profiles, convolutional, monkeypatch):
    monkeypatch.setattr("latent_tracer.core.tracing.tracer.make_score", lambda name: Counted())
    assert [profile.condition for profile in Tracer(convolutional(), profiles).profiles] == list(USUAL)


@pytest.mark.parametrize("stop", [1, 17, 59])
def test_a_calibration_goes_on_where_it_was_stopped(convolutional, pictures, tmp_path, stop):
    path, autoencoder = tmp_path / "p.json", convolutional()
    expected = calibrate_conditions(autoencoder, dict.fromkeys(USUAL, Counted()), pictures)
    stopped = Counted(stops_at=stop)
    with pytest.raises(KeyboardInterrupt), KeptScores(path, autoencoder, "1") as kept:
        calibrate_conditions(autoencoder, dict.fromkeys(USUAL, stopped), pictures, kept=kept)
    kept_file = tmp_path / f"p.json{SUFFIX}"
    with kept_file.open("ab") as file:
        file.write(kept_file.read_bytes().splitlines()[0][:40])  # killed in the middle of a line
    again = Counted()
    with KeptScores(path, autoencoder, "1") as kept:
        assert kept.taken_up == stop
        assert calibrate_conditions(autoencoder, dict.fromkeys(USUAL, again), pictures, kept=kept) == expected
        assert again.asked == 60 - stop
        with pytest.raises(InvalidSettingError), KeptScores(path, autoencoder, "1"):
            pass  # another one is at it
        kept.done()
    assert not kept_file.exists()


def test_a_calibration_that_measured_nothing_leaves_nothing(convolutional, pictures, tmp_path):
    with pytest.raises(InvalidSettingError), KeptScores(tmp_path / "p.json", convolutional(), "1") as kept:
        calibrate_conditions(convolutional(), {"clean": Counted()}, pictures[:2], kept=kept)
    assert not list(tmp_path.iterdir())


def test_what_was_measured_of_another_decoder_or_by_another_release_is_not_taken_up(convolutional, linear, tmp_path):
    path, autoencoder = tmp_path / "p.json", convolutional()
    measured = Measured(0.5, (8, 16), 0.25, None, 1.5)
    with KeptScores(path, autoencoder, "1") as kept:
        kept.add("a", measured)
        kept.add("b", Measured())
    with (tmp_path / f"p.json{SUFFIX}").open("a") as file:
        file.write('[1]\n{"format": 3}\nnull\n{"format": "latent-tracer-calibration"}\n')
        for wrong in ({"sides": [1]}, {"sides": "ab"}, {"sides": [1, 2], "value": "1"}, None):
            said = {"format": "latent-tracer-calibration", "version": 1, "settings": kept.settings}
            file.write(json.dumps({**said, "sample": "c", "measured": wrong}) + "\n")
    with KeptScores(path, autoencoder, "1") as kept:
        assert kept.get("a") == measured and kept.get("c") is None
        nothing = kept.get("b")
        assert nothing is not None and nothing.value != nothing.value
    before = (tmp_path / f"p.json{SUFFIX}").read_bytes()
    for other, release in ((linear([1.0, 2.0, 3.0]), "1"), (autoencoder, "2")):
        with KeptScores(path, other, release) as kept:
            assert kept.found == {} and kept.get("a") is None
    assert (tmp_path / f"p.json{SUFFIX}").read_bytes() == before  # nor thrown away


def test_the_same_pixels_of_another_kind_are_measured_for_themselves():
    image = torch.zeros(1, 3, 24, 24)
    under = Under("clean", score=Counted())
    jpeg = dataclasses.replace(under, condition="jpeg-75")
    photograph, own = Sample("photograph", False, 0, image), Sample("decoded", True, 0, image)
    once_jpeg = Sample("photograph", False, 0, image, "jpeg-75")
    assert under.key(photograph) != under.key(own)
    assert under.key(once_jpeg) == jpeg.key(photograph) == jpeg.key(once_jpeg) != under.key(photograph)
    assert under.key(photograph) != under.key(dataclasses.replace(photograph, pixels=image[..., :16]))
