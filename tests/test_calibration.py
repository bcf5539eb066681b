"""Calibration: which samples are made, that nothing is left to chance or lost, and rates that hold on new pictures."""

import gc
import json
import math
import subprocess
import sys
import weakref

import pytest
import torch
from latent_tracer.core import (
    InvalidSettingError,
    ModuleAutoencoder,
    Profile,
    alter,
    calibrate,
    calibrate_conditions,
    load_autoencoder,
    make_score,
    quantise,
    synthetic_photograph,
    verdict_from_profile,
)
from latent_tracer.core.calibration.scores import CalibrationStep
from latent_tracer.core.images.quantiser import is_eight_bit
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.profiles import Grid, parse_profile
from latent_tracer.core.profiles.thresholds import rate_interval
from latent_tracer.core.scores import Scored
from latent_tracer.core.scores.inversion import InversionLoss
from scipy import stats


class Recorder:
    """A score that keeps what it was given and returns the picture's mean, or what ``answer`` says."""

    name = "recorder"

    def __init__(self, answer=None):
        self.settings = {"kept": True}
        self.seen = []
        self.answer = answer or (lambda image: float(image.double().mean()))

    def __call__(self, autoencoder, image, window=None):
        self.seen.append(image.clone())
        return Scored(self.answer(image), Passes(), "recorder")


@pytest.fixture
def pictures():
    return [synthetic_photograph(seed, 24, leaves=30) for seed in range(6)]


def test_every_photograph_gives_two_belonging_samples_and_one_other_per_source(convolutional, linear, pictures):
    inspected, other, score = convolutional(), linear([3.0, 2.0, 1.0]), Recorder()
    steps = []
    profile = calibrate(
        inspected, score, pictures, others=[other, inspected], histories=(), seed=3, on_image=steps.append
    )
    assert len(profile.belonging_scores) == 12
    assert [(source.kind, set(source.decoders)) for source in profile.others] == [
        ("photograph", set()),
        ("decoder", {"LinearPatches"}),
    ]
    assert [source.kind for source in profile.belonging] == ["decoded", "perturbed"]
    assert all(source.pictures == tuple(range(6)) for source in (*profile.others, *profile.belonging))
    assert len(profile.non_belonging_scores) == 12
    assert len(score.seen) == 24 and all(bool(is_eight_bit(image)) for image in score.seen)
    with torch.no_grad():
        decoded = inspected.decode(inspected.encode(pictures[0]))
        foreign = other.decode(other.encode(pictures[1]))
    assert torch.equal(score.seen[0], quantise(decoded, "round"))
    assert not torch.equal(score.seen[1], score.seen[0])
    assert torch.equal(score.seen[2], pictures[0])
    assert torch.equal(score.seen[7], quantise(foreign, "floor"))
    assert [step.done for step in steps] == list(range(1, 25))
    assert {step.total for step in steps} == {24}
    assert steps[2] == CalibrationStep(3, 24, "photograph", "photograph", expected=6, measured=3)
    assert (profile.pictures_given, profile.pictures_counted) == (6, 6) and profile.grid == Grid(8)


def test_the_profile_describes_what_was_measured_and_can_be_read_again(convolutional, pictures):
    answers = iter(range(1000))
    autoencoder = convolutional()
    # Two of six samples of each photograph belong: they score lower.
    score = Recorder(lambda image: next(answers) % 6 / 10 + float(image.mean()) / 100)
    profile = calibrate(autoencoder, score, pictures, condition="jpeg-90", fpr=0.2, fnr=0.1, calibrated_on="six leaves")
    profile.check(autoencoder.fingerprint, "recorder", {"kept": True})
    assert (profile.condition, profile.fpr, profile.fnr, profile.calibrated_on) == ("jpeg-90", 0.2, 0.1, "six leaves")
    assert profile.image_sizes == (24, 24)
    assert profile.limits.own_grid is not None and profile.limits.own_grid.n == 12
    assert profile.limits.localisation is None
    assert {source.history for source in (*profile.belonging, *profile.others)} == {
        *("jpeg-90", "clean", "jpeg-75", "jpeg-30")
    }
    assert profile.calibration == "made on this machine"
    assert parse_profile(json.loads(profile.to_json()), "memory") == profile


def test_a_few_small_pictures_among_large_ones_admit_no_others_like_them(convolutional):
    """Scores scatter the more the smaller the picture: a threshold from large ones says nothing of those."""
    pictures = [synthetic_photograph(seed, 64) for seed in range(19)] + [synthetic_photograph(50, 64)[..., :24, :]]
    made = calibrate(convolutional(), Recorder(lambda image: float(image.mean())), pictures, fpr=0.2, fnr=0.2)
    assert made.image_sizes == (64, 64)
    many = [*pictures[:9], *[one[..., :24, :] for one in pictures[9:18]]]
    made = calibrate(convolutional(), Recorder(lambda image: float(image.mean())), many, fpr=0.2, fnr=0.2)
    assert made.image_sizes == (24, 64)


def test_the_seed_decides_everything(convolutional, pictures):
    autoencoder = convolutional()
    first, again, other = (
        calibrate(autoencoder, make_score("double-reconstruction"), pictures, seed=seed) for seed in (5, 5, 6)
    )
    assert first == again
    assert first.belonging[0] == other.belonging[0]  # decoded without perturbation
    assert first.belonging[1] != other.belonging[1]
    assert first.others == other.others


def test_photographs_out_of_lossy_files_count_as_other_images_whatever_the_condition(convolutional, pictures):
    score, steps = Recorder(), []
    profile = calibrate(convolutional(), score, pictures, condition="flip", on_image=steps.append)
    histories = ("clean", "jpeg-75", "jpeg-30")
    assert [(source.kind, source.history) for source in profile.others] == [
        ("photograph", "flip"),
        *(("photograph", history) for history in histories),
    ]
    assert [len(source.scores) for source in profile.others] == [6, 6, 6, 6]
    # The history takes the condition's place: nothing says that such a picture went through both.
    assert torch.equal(score.seen[2], alter(pictures[0], "flip"))
    for number, history in enumerate(histories, start=3):
        assert torch.equal(score.seen[number], alter(quantise(pictures[0]), history))
    assert profile.covers_lossy_files
    assert not calibrate(convolutional(), Recorder(), pictures, histories=()).covers_lossy_files
    # A condition that is itself one of the histories is not counted twice.
    profile = calibrate(convolutional(), Recorder(), pictures, condition="jpeg-75")
    assert [source.history for source in profile.others] == ["jpeg-75", "clean", "jpeg-30"]


@pytest.mark.parametrize("condition", ["jpeg-75", "flip", "resize-0.75", "off-grid-crop"])
def test_every_sample_goes_through_the_condition_and_then_to_the_grid(convolutional, pictures, condition):
    clean, altered = Recorder(), Recorder()
    calibrate(convolutional(), clean, pictures, histories=())
    profile = calibrate(convolutional(), altered, pictures, condition=condition, histories=())
    for before, after in zip(clean.seen, altered.seen, strict=True):
        expected = alter(before, condition)
        height, width = (side // 8 * 8 for side in expected.shape[-2:])
        # At the corner, where the cells begin.
        assert torch.equal(after, expected[..., :height, :width])
    assert profile.image_sizes == tuple(sorted(altered.seen[0].shape[-2:]))


def test_really_generated_pictures_count_as_belonging_as_they_are(convolutional, pictures):
    score = Recorder()
    generated = [quantise(torch.rand(1, 3, 16, 24)) for _ in range(5)]
    steps = []
    profile = calibrate(convolutional(), score, pictures, generated=generated, histories=(), on_image=steps.append)
    assert [(source.kind, len(source.scores)) for source in profile.belonging] == [
        *(("generated", 5), ("decoded", 6), ("perturbed", 6))
    ]
    assert profile.stated_fnr == pytest.approx(1 / 6) and profile.pictures_counted == 11
    assert [step.source for step in steps[:6]] == ["really generated"] * 5 + ["decoded"]
    assert all(torch.equal(seen, given) for seen, given in zip(score.seen, generated, strict=False))
    assert steps[-1].done == steps[-1].total == 23
    few = calibrate(convolutional(), Recorder(), pictures, generated=generated[:4], histories=())
    assert len(few.belonging_scores) == 12 and any("fewer than 5" in note for note in few.notes)


@pytest.mark.parametrize(("height", "width"), [(520, 24), (16, 600), (512, 16), (530, 16)])
def test_large_generated_pictures_are_cut_along_their_latent_grid(convolutional, pictures, height, width):
    score = Recorder()
    ramp = torch.arange(height)[:, None] if height > width else torch.arange(width)[None]
    picture = (ramp % 256 / 255).expand(1, 3, height, width)
    calibrate(convolutional(), score, pictures, generated=[picture])
    seen = score.seen[0]
    assert seen.shape[-2:] == (min(512, height // 8 * 8), min(512, width // 8 * 8))
    offset = int(round(float(seen[0, 0, 0, 0]) * 255))
    assert offset % 8 == 0  # where tracing begins, too


def broken(kind):
    if kind == "nan":
        return torch.full((1, 3, 24, 24), math.nan)
    if kind == "out of range":
        return 255 * torch.rand(1, 3, 24, 24)
    return torch.rand(1, 3, 6, 24) if kind == "too small" else torch.zeros(1, 3, 0, 24)


@pytest.mark.parametrize("kind", ["nan", "out of range", "too small", "empty"])
def test_an_unusable_picture_is_left_out_and_noted_and_the_rest_is_as_without_it(convolutional, pictures, kind):
    steps = []
    expected = calibrate(convolutional(), Recorder(), pictures)
    profile = calibrate(
        convolutional(), Recorder(), [*pictures, broken(kind)], generated=[broken(kind)], on_image=steps.append
    )
    assert profile.belonging == expected.belonging
    assert profile.others == expected.others
    assert "2 pictures could not be used and were left out" in profile.notes
    assert (profile.pictures_given, profile.pictures_counted) == (8, 6)
    assert steps[-1].done == steps[-1].total == 36


def test_samples_whose_score_is_no_number_are_left_out_and_noted(convolutional, pictures):
    answers = iter([1.0, 2.0, math.nan, 4.0, math.inf, *range(100)])
    profile = calibrate(convolutional(), Recorder(lambda image: float(next(answers))), pictures)
    assert len(profile.belonging_scores) + len(profile.non_belonging_scores) == 28
    assert len(profile.non_belonging_scores) == 16
    assert "2 of 30 samples could not be scored and were left out" in profile.notes


def test_a_decoder_that_returns_nan_never_calibrates_not_even_through_jpeg(convolutional, pictures):
    good = convolutional()
    damaged = ModuleAutoencoder("damaged", good.module, good.module.encode, lambda z: good.module.decode(z) * math.nan)
    for condition in ("clean", "jpeg-90"):
        with pytest.raises(InvalidSettingError, match="Only 0 belonging and (18|24) other samples gave finite scores"):
            calibrate(damaged, Recorder(), pictures, condition=condition)


def test_a_condition_under_which_too_little_can_be_scored_costs_the_others_nothing(convolutional, pictures):
    scores = {"clean": Recorder(), "jpeg-75": Recorder(lambda image: math.nan)}
    (profile,) = calibrate_conditions(convolutional(), scores, pictures)
    assert profile.condition == "clean"
    assert "too few pictures could be scored under jpeg-75: no profile for that" in profile.notes
    nothing = {name: Recorder(lambda image: math.nan) for name in scores}
    with pytest.raises(InvalidSettingError, match="under clean"):
        calibrate_conditions(convolutional(), nothing, pictures)


def test_flat_photographs_are_left_out_of_the_default_score(convolutional):
    pictures = [synthetic_photograph(seed, 48, leaves=60) for seed in range(6)]
    flat = [torch.full((1, 3, 48, 48), value) for value in (0.0, 1.0)]
    profile = calibrate(convolutional(), make_score(), [*pictures, *flat])
    assert [len(source.scores) for source in profile.others] == [6, 6, 6]
    assert [source.history for source in profile.others] == ["clean", "jpeg-75", "jpeg-30"]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_photographs_are_refused(convolutional, pictures, count):
    with pytest.raises(InvalidSettingError, match=f"at least 5 readable photographs, got {count}"):
        calibrate(convolutional(), Recorder(), pictures[:count])


@pytest.mark.parametrize(
    "rates",
    [
        *({"fpr": 0}, {"fpr": 0.5}, {"fnr": -1}, {"fnr": math.nan}, {"fpr": math.nan}),
        *({"guarantee": 0.4}, {"guarantee": 1.0}, {"guarantee": math.nan}),
    ],
)
def test_impossible_rates_are_refused_before_any_work(convolutional, pictures, rates):
    score = Recorder()
    with pytest.raises(InvalidSettingError, match="between 0 and 0.5|confidence from 0.5"):
        calibrate(convolutional(), score, pictures, **rates)
    with pytest.raises(InvalidSettingError, match="'sepia'"):
        calibrate(convolutional(), score, pictures, condition="sepia")
    assert score.seen == []


def test_cancelling_ends_at_once_and_leaves_nothing_behind(convolutional, pictures):
    def cancel(step):
        if step.done == 4:
            raise KeyboardInterrupt

    autoencoder, score = convolutional(), Recorder()
    with pytest.raises(KeyboardInterrupt):
        calibrate(autoencoder, score, pictures, on_image=cancel)
    assert len(score.seen) == 4
    assert torch.is_grad_enabled()
    assert calibrate(autoencoder, Recorder(), pictures) == calibrate(autoencoder, Recorder(), pictures)


def test_the_score_and_the_callback_run_in_the_callers_own_gradient_mode(convolutional, pictures):
    modes = []
    score = Recorder(lambda image: modes.append(torch.is_grad_enabled()) or float(image.mean()))
    calibrate(convolutional(), score, pictures, on_image=lambda step: modes.append(torch.is_grad_enabled()))
    assert all(modes)


@pytest.mark.parametrize("score", [make_score("spectral-ratio"), InversionLoss(steps=2)])
def test_calibration_inside_inference_mode_gives_the_same_profile(convolutional, pictures, score):
    expected = calibrate(convolutional(), score, pictures[:5])
    autoencoder = convolutional()
    with torch.inference_mode():
        assert calibrate(autoencoder, score, [picture.clone() for picture in pictures[:5]]) == expected


def test_the_observed_false_positive_rate_on_new_pictures_agrees_with_the_stated_one(convolutional):
    autoencoder, score = convolutional(), make_score("spectral-ratio")
    photographs = [synthetic_photograph(seed, 16, leaves=30) for seed in range(420)]
    # One source only: the largest p-value over several is stricter than the stated rate, and not exact.
    profile = calibrate(autoencoder, score, photographs[:120], histories=(), fpr=0.1)
    assert profile.stated_fpr == 12 / 121
    scores = [score(autoencoder, image).value for image in photographs[120:]]
    accepted = sum(map(profile.accepts, scores))
    assert accepted == sum(profile.p_value(value) <= profile.stated_fpr for value in scores)
    # Exact for exchangeable pictures: 12 of the 121 ranks are accepted, and the calibration itself is a draw too.
    low, high = stats.betabinom.interval(0.99, len(scores), 12, 109)
    assert low <= accepted <= high
    assert sum(verdict_from_profile(value, profile).answer == "belonging" for value in scores) <= accepted


@pytest.fixture(scope="module")
def calibrated():
    inspected, other = load_autoencoder("demo-a"), load_autoencoder("demo-b")
    photographs = [synthetic_photograph(500 + seed, 64) for seed in range(10)]
    profile = calibrate(inspected, make_score(), photographs, others=[other], fpr=0.1, fnr=0.1)
    return inspected, other, profile


def test_an_embedded_decoder_calibrated_on_ten_pictures_judges_new_ones_as_stated(calibrated):
    inspected, other, profile = calibrated
    assert isinstance(profile, Profile) and len(profile.non_belonging_scores) == 40
    score, wrong, right = make_score(), 0, 0
    for seed in range(5):
        photograph = synthetic_photograph(900 + seed, 64)
        with torch.no_grad():
            own = quantise(inspected.decode(inspected.encode(photograph)), "floor")
            foreign = quantise(other.decode(other.encode(photograph)))
        for image in (photograph, foreign):
            verdict = verdict_from_profile(score(inspected, image).value, profile)
            wrong += verdict.answer == "belonging"
        right += profile.p_value(score(inspected, own).value) <= profile.stated_fpr
    low, high = rate_interval(wrong, 10)
    assert low <= profile.stated_fpr <= high
    assert right >= 4


# --- copies, and pictures read one by one -----------------------------------------------------------------------------


def test_copies_count_once_and_the_profile_says_how_many_were_given(convolutional, pictures):
    steps = []
    alone = calibrate(convolutional(), Recorder(), pictures)
    copies = [alter(picture, condition) for condition in ("jpeg-75", "brighter-10") for picture in pictures]
    mixed = [*pictures, *copies, pictures[0]]
    profile = calibrate(convolutional(), Recorder(), mixed, on_image=steps.append)
    assert (profile.belonging, profile.others) == (alone.belonging, alone.others)
    assert (profile.pictures_given, profile.pictures_counted) == (19, 6)
    assert "13 pictures repeat others and were left out" in profile.notes
    assert profile.stated_fpr == alone.stated_fpr == pytest.approx(1 / 7)
    assert steps[-1].done == steps[-1].total == 19 * 5


def test_five_photographs_in_many_copies_support_what_five_do(convolutional, pictures):
    copies = [alter(picture, "jpeg-90") for _ in range(4) for picture in pictures[:5]]
    profile = calibrate(convolutional(), Recorder(), [*pictures[:5], *copies], fpr=0.05)
    assert profile.stated_fpr == pytest.approx(1 / 6)
    assert profile.shortfall == (
        "5 independent pictures support a false-positive rate of 17 % on average, not 5.0 %: that takes 19."
    )
    with pytest.raises(InvalidSettingError, match=r"at least 5 readable photographs, got 4 \(and 4 that repeat them\)"):
        calibrate(convolutional(), Recorder(), [*pictures[:4], *copies[:4]])


def test_a_guarantee_is_kept_by_the_profile_and_says_what_it_takes(convolutional, pictures):
    profile = calibrate(convolutional(), Recorder(), pictures, fpr=0.4, fnr=0.4, guarantee=0.95)
    assert profile.guarantee == 0.95 and profile.fpr_bound == pytest.approx(1 - 0.05 ** (1 / 6))
    assert profile.fpr_bound <= 0.4
    assert profile.shortfall == ""
    short = calibrate(convolutional(), Recorder(), pictures, guarantee=0.95)
    assert short.shortfall.endswith("of 39 % with 95 % confidence, not 1.0 %: that takes 299.")


class Wrapped:
    def __init__(self, pixels):
        self.pixels = pixels


def test_a_generator_is_read_one_picture_at_a_time_and_gives_the_same_profile(convolutional, pictures):
    expected = calibrate(convolutional(), Recorder(), pictures)
    alive, most, steps = [], [], []

    def one_by_one():
        for picture in pictures:
            large = torch.nn.functional.pad(picture, (0, 0, 0, 0)).clone()
            alive.append(weakref.ref(large))
            yield large
            del large
            gc.collect()
            most.append(sum(ref() is not None for ref in alive))

    profile = calibrate(convolutional(), Recorder(), one_by_one(), on_image=steps.append)
    assert profile == expected and profile.calibrated_on == "6 photographs"
    assert max(most) == 0
    assert {step.total for step in steps} == {None} and steps[-1].done == 30
    assert calibrate(convolutional(), Recorder(), map(Wrapped, pictures)) == expected


def test_too_few_of_a_generator_are_refused_before_any_work(convolutional, pictures):
    score = Recorder()
    with pytest.raises(InvalidSettingError, match="got 4.*0.5 % needs 199"):
        calibrate(convolutional(), score, iter(pictures[:4]), fpr=0.005)
    assert score.seen == []


def test_two_decoders_of_one_name_stay_two_sources(convolutional, linear, pictures):
    first, second = linear([3.0, 2.0, 1.0]), linear([2.0, 2.0, 1.0])
    profile = calibrate(convolutional(), Recorder(), pictures, others=[first, second], histories=())
    names = [source.decoders[0] for source in profile.others if source.decoders]
    assert names == [f"LinearPatches ({one.fingerprint[:8]})" for one in (first, second)]


# The peak that ``getrusage`` tells is never less than that of the process which started this one.
MEMORY = """
import pathlib, torch
from latent_tracer.core import calibrate, load_autoencoder, make_score, synthetic_photograph

def photographs():
    for seed in range(5):
        small = synthetic_photograph(seed, 500, leaves=200)
        yield torch.nn.functional.interpolate(small, (4000, 6000))

profile = calibrate(load_autoencoder("demo-a"), make_score("reconstruction"), photographs(), histories=())
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(profile.pictures_counted, int(status["VmHWM"].split()[0]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux tells it")
def test_photographs_of_24_megapixels_cost_little_memory():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    counted, peak = map(int, done.stdout.split())
    assert counted == 5 and peak < 1500
