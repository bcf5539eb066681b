"""A resize is undone before the grid contrast is taken, and only where the condition says so."""

import pytest
import torch
from latent_tracer.core import InvalidImageError, alter, calibrate, load_autoencoder, quantise, synthetic_photograph
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.scores import DEFAULT_SCORE, Scored, default_score, make_score
from latent_tracer.core.scores.resized import Resized, enlarge


@pytest.fixture(scope="module")
def decoder():
    return load_autoencoder("demo-a")


@pytest.fixture(scope="module")
def photographs():
    return [synthetic_photograph(seed, 96) for seed in range(5)]


@torch.no_grad()
def versions(decoder, photographs):
    return [quantise(decoder.decode(decoder.encode(photograph))) for photograph in photographs]


@pytest.mark.parametrize("condition", ["resize-0.75", "resize-0.5"])
def test_pictures_made_smaller_are_told_apart_again(decoder, photographs, condition):
    score = make_score(default_score(condition))
    belonging = [score(decoder, alter(image, condition)).value for image in versions(decoder, photographs)]
    others = [score(decoder, alter(image, condition)).value for image in photographs]
    assert max(belonging) < min(others)


def test_the_score_that_does_not_enlarge_is_blind_to_them(decoder, photographs):
    score = make_score(DEFAULT_SCORE)
    belonging = [score(decoder, alter(image, "resize-0.75")).value for image in versions(decoder, photographs)]
    others = [score(decoder, alter(image, "resize-0.75")).value for image in photographs]
    assert max(belonging) > min(others)


def test_enlarging_gives_back_the_size_and_nearly_the_picture():
    smooth = torch.linspace(0.2, 0.8, 96).expand(1, 3, 64, 96)
    for factor, condition in ((0.75, "resize-0.75"), (0.5, "resize-0.5")):
        back = enlarge(alter(smooth, condition), factor)
        assert back.shape == smooth.shape
        assert float((back - smooth).abs().max()) < 3 / 255


def test_resizes_and_strong_jpeg_have_a_score_of_their_own():
    assert default_score("clean") == default_score("jpeg-90") == default_score("flip") == DEFAULT_SCORE
    assert default_score("jpeg-75") == default_score("jpeg-30") == "grid-contrast-and-ratio"
    for condition, factor in (("resize-0.75", 0.75), ("resize-0.5", 0.5)):
        score = make_score(default_score(condition))
        assert score.name == default_score(condition) and score.settings["factor"] == factor


def test_a_profile_of_resized_pictures_refuses_no_version_of_its_own_and_states_its_rate(decoder, photographs):
    condition = "resize-0.75"
    profile = calibrate(decoder, make_score(default_score(condition)), photographs, condition=condition, fpr=0.2)
    assert profile.score == "grid-contrast-resized-0.75" and profile.condition == condition
    assert max(profile.belonging_scores) < min(profile.non_belonging_scores)
    # 96 pixels made 72: the profile holds for the sizes that pictures have when they are traced.
    assert profile.image_sizes == (72, 72)


def test_a_lossy_history_comes_before_the_resize(decoder, photographs):
    class Recorder:
        name, settings = "recorder", {}
        sides = set()

        def __call__(self, autoencoder, image, window=None):
            self.sides.add(tuple(image.shape[-2:]))
            return Scored(float(image.mean()), Passes(), "recorder")

    calibrate(decoder, Recorder(), photographs, condition="resize-0.75", fpr=0.2)
    assert Recorder.sides == {(72, 72)}


def test_a_picture_too_small_even_when_enlarged_is_refused(decoder):
    with pytest.raises(InvalidImageError, match="needs at least 40"):
        Resized(0.5)(decoder, torch.rand(1, 3, 16, 16))


def test_a_size_that_the_resize_took_off_the_cells_is_not_cut_before_it_is_enlarged(decoder, judge):
    # 88 = 11 cells; three quarters of it are 66 pixels, which cells of 8 would cut at both sides.
    photographs = [synthetic_photograph(seed, 88) for seed in range(6)]
    condition = "resize-0.75"
    profile = calibrate(decoder, make_score(default_score(condition)), photographs[:5], condition=condition, fpr=0.2)
    assert profile.image_sizes == (66, 66)
    assert max(profile.belonging_scores) < min(profile.non_belonging_scores)
    made = versions(decoder, photographs[5:])[0]
    belonging, photograph = (alter(picture, condition) for picture in (made, photographs[5]))
    assert judge(decoder, belonging, profile).answer == "belonging"
    assert judge(decoder, photograph, profile).answer != "belonging"


def test_pixels_cut_off_right_and_below_do_not_move_the_cells(decoder, photographs):
    score = Resized(0.75)
    belonging = alter(versions(decoder, photographs[:1])[0], "resize-0.75")
    # 72 pixels become 96, 69 become 92: four more than eleven cells.
    assert score(decoder, belonging[..., :69, :69]).value < 0.5 * score(decoder, belonging).value < 0
