"""Pictures with a grid or repeats of their own, and the answers that then cannot stand."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from latent_tracer.core import builtin_profile, load_autoencoder, quantise, synthetic_photograph, to_picture, to_tensor
from latent_tracer.core.errors import InvalidSettingError
from latent_tracer.core.images.regularity import different_blocks, grid_strength
from latent_tracer.core.images.tensors import telling_part
from latent_tracer.core.profiles import Limits, Profile, Source
from latent_tracer.core.verdicts.doubt import (
    STRONG_GRID,
    History,
    condition_for,
    doubt_about,
    fit_grid,
    profile_for,
    roughest_jpeg,
    strongest_grid,
)
from latent_tracer.core.verdicts.verdict import verdict_from_default_profile, verdict_from_profile
from PIL import Image

ORDINARY = History(None, 0.05, 500, 500)


@pytest.fixture(scope="module")
def demo():
    autoencoder = load_autoencoder("demo-a")
    return autoencoder, builtin_profile(autoencoder.fingerprint)


def jpeg(image, quality):
    buffer = io.BytesIO()
    to_picture(image).save(buffer, "JPEG", quality=quality)
    return to_tensor(Image.open(buffer).convert("RGB"))


def mosaic(image, side):
    picture = to_picture(image)
    small = picture.resize((picture.width // side, picture.height // side), Image.Resampling.BOX)
    return to_tensor(small.resize(picture.size, Image.Resampling.NEAREST))


def ruled(image, side):
    lined = image.clone()
    lined[..., ::side, :] = 0.1
    lined[..., ::side] = 0.1
    return lined


def enlarged(image):
    picture = to_picture(image)
    small = picture.resize((picture.width // 8, picture.height // 8), Image.Resampling.BOX)
    return to_tensor(small.resize(picture.size, Image.Resampling.BILINEAR))


def tiled(image, side):
    return image[..., :side, :side].repeat(1, 1, image.shape[-2] // side, image.shape[-1] // side)


def test_ordinary_pictures_have_no_grid_of_their_own(demo):
    autoencoder, profile = demo
    for seed in range(6):
        photograph = quantise(synthetic_photograph(seed, 192))
        with torch.no_grad():
            own = quantise(autoencoder.decode(autoencoder.encode(photograph)))
        assert grid_strength(photograph) < STRONG_GRID
        # This small decoder leaves edges along its cells, and its profile knows how strong.
        assert grid_strength(own) < strongest_grid(profile)


@pytest.mark.parametrize(
    "regular",
    [lambda x: jpeg(x, 8), lambda x: mosaic(x, 4), lambda x: ruled(x, 8), lambda x: ruled(x, 16), enlarged],
    ids=["jpeg", "mosaic", "ruled", "ruled-16", "enlarged"],
)
@pytest.mark.parametrize("shift", [(0, 0), (3, 5)])
def test_a_grid_of_eight_pixels_is_seen_wherever_it_begins(regular, shift):
    for seed in (1, 2, 3):
        image = regular(synthetic_photograph(seed, 192))[..., shift[0] :, shift[1] :]
        assert grid_strength(image) > STRONG_GRID


def test_of_a_large_picture_the_middle_is_looked_at():
    image = torch.rand(1, 3, 1300, 1111, generator=torch.Generator().manual_seed(1))
    part = telling_part(image, 1024, 8)
    assert part.shape == (1, 3, 1024, 1024)
    assert torch.equal(part, image[..., 136:1160, 40:1064])
    assert History.of(image).telling_blocks == 128 * 128
    assert telling_part(image[..., :50, :70], 1024, 8).shape == (1, 3, 50, 70)
    for side in (1, 5, 8, 9):
        for narrow in (torch.rand(1, 3, 2000, side), torch.rand(1, 3, side, 2000)):
            assert sorted(telling_part(narrow, 1024, 8).shape[-2:]) == [side, 1024]
            History.of(narrow)
    ruled_photograph = ruled(synthetic_photograph(8, 1200), 8)
    assert grid_strength(ruled_photograph) > STRONG_GRID


def test_one_strong_edge_is_no_grid():
    image = synthetic_photograph(4, 160)
    image[..., 80:] = 1 - image[..., 80:]
    image[..., 88:90] = 0
    assert grid_strength(quantise(image)) < STRONG_GRID


def test_grid_strength_is_that_of_its_definition():
    # Every eighth column is 10 levels above the rest: second differences of 20 on it, 10 beside it and 0 elsewhere.
    image = torch.zeros(1, 3, 64, 64)
    image[..., ::8] = 10 / 255
    assert grid_strength(image) == pytest.approx(np.log(20.5 / 0.5), rel=1e-6)
    assert grid_strength(image[..., :24]) == pytest.approx(0, abs=1e-9)


def test_repeated_blocks_are_counted_once():
    image = quantise(synthetic_photograph(9, 128))
    different, telling = different_blocks(tiled(image, 16))
    assert different <= 4 and telling == 64 * different
    assert different_blocks(torch.full((1, 3, 64, 64), 0.5)) == (0, 0)
    noise = quantise(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert different_blocks(noise) == (64, 64)


@pytest.mark.parametrize("over", ["noise", "vignette", "grain"])
@pytest.mark.parametrize("side", [16, 32])
def test_a_texture_that_repeats_does_so_under_noise_and_shade(over, side):
    """No two blocks of it are equal to the last bit."""
    tile = synthetic_photograph(3, 256)[..., 64 : 64 + side, 96 : 96 + side]
    tile = (tile - tile.mean()) * (0.15 / tile.std()) + 0.5
    picture = tile.repeat(1, 1, 512 // side, 512 // side).clamp(0, 1)
    generator = torch.Generator().manual_seed(1)
    if over == "noise":
        picture = picture + torch.randint(-1, 2, picture.shape, generator=generator) / 255
    elif over == "grain":
        picture = picture + 2 / 255 * torch.randn(picture.shape, generator=generator)
    else:
        picture = picture * torch.linspace(0.6, 1, 512)
    different, telling = different_blocks(quantise(picture.clamp(0, 1)))
    assert telling > 3000 and different < 10 * (side // 8) ** 2


def test_ordinary_textures_do_not_repeat(demo):
    for seed in (1, 2, 3):
        picture = synthetic_photograph(seed, 256)
        for one in (picture, quantise(demo[0].decode(demo[0].encode(picture)).clamp(0, 1).detach())):
            different, telling = different_blocks(one)
            assert different > 0.9 * telling


def test_the_part_with_most_detail_is_looked_at_and_the_middle_where_all_have_as_much():
    ground = torch.full((1, 3, 1400, 2400), 0.5)
    assert telling_part(ground, 1024, 8).shape[-2:] == (1024, 1024)
    ground[..., 200:840, 1600:2240] = synthetic_photograph(4, 640)
    part = telling_part(ground, 1024, 8)
    assert float((part != 0.5).sum()) > 0.95 * float((ground != 0.5).sum())
    everywhere = torch.rand(1, 3, 1400, 2400, generator=torch.Generator().manual_seed(0))
    middle = telling_part(everywhere, 1024, 8)
    places = [(top, left) for top in range(160, 216, 8) for left in range(656, 720, 8)
              if torch.equal(everywhere[0, 0, top, left : left + 100], middle[0, 0, 0, :100])]  # fmt: skip
    assert len(places) == 1 and abs(places[0][0] - 188) <= 8 and abs(places[0][1] - 688) <= 8


def test_a_grid_on_a_patch_of_a_plain_picture_is_seen():
    ground = torch.full((1, 3, 512, 512), 0.9)
    mosaic = synthetic_photograph(6, 24)[..., :20, :20].repeat_interleave(8, 2).repeat_interleave(8, 3)
    ground[..., 96:256, 64:224] = mosaic
    assert grid_strength(ground) > 0.7 and grid_strength(torch.full((1, 3, 64, 64), 0.5)) == 0


def test_a_yes_falls_where_the_calibration_saw_nothing_like_the_picture(demo):
    _, profile = demo
    assert roughest_jpeg(profile) == 30
    assert doubt_about("belonging", ORDINARY, profile) is None
    assert doubt_about("belonging", dataclasses.replace(ORDINARY, jpeg_quality=30), profile) is None
    assert "quality 12" in doubt_about("belonging", dataclasses.replace(ORDINARY, jpeg_quality=12), profile)
    assert "grid of its own" in doubt_about("belonging", dataclasses.replace(ORDINARY, grid=0.9), profile)
    # JPEG has such a grid, and the calibration saw JPEG.
    assert doubt_about("belonging", dataclasses.replace(ORDINARY, jpeg_quality=50, grid=0.9), profile) is None
    assert "repeats" in doubt_about("belonging", History(None, 0.0, 9, 500), profile)
    # Few details are not the same as repeated ones: the score's own scatter covers them.
    assert doubt_about("belonging", History(None, 0.0, 9, 10), profile) is None


def test_a_no_falls_where_jpeg_weakened_the_trace_more_than_in_the_calibration(demo):
    _, profile = demo
    assert doubt_about("non-belonging", ORDINARY, profile) is None
    rough = dataclasses.replace(ORDINARY, jpeg_quality=75)
    assert "calibrate for JPEG files" in doubt_about("non-belonging", rough, profile)
    assert [condition_for(quality) for quality in (96, 92, 60, 5)] == ["jpeg-95", "jpeg-90", "jpeg-30", "jpeg-30"]
    for_jpeg = dataclasses.replace(profile, condition="jpeg-75")
    assert doubt_about("non-belonging", rough, for_jpeg) is None
    assert "calibrate" in doubt_about("non-belonging", dataclasses.replace(ORDINARY, jpeg_quality=40), for_jpeg)
    # A grid cannot hide a trace.
    assert doubt_about("non-belonging", dataclasses.replace(ORDINARY, grid=2.0), profile) is None


def test_without_jpeg_among_the_others_no_jpeg_gets_a_yes(demo):
    _, profile = demo
    blind = dataclasses.replace(profile, others=tuple(dataclasses.replace(s, history="clean") for s in profile.others))
    assert "no JPEG files" in doubt_about("belonging", dataclasses.replace(ORDINARY, jpeg_quality=90), blind)


def test_the_profile_is_chosen_by_what_the_pixels_show(demo):
    _, clean = demo
    by_quality = {q: dataclasses.replace(clean, condition=f"jpeg-{q}") for q in (30, 75, 95)}
    blurred = dataclasses.replace(clean, condition="blur-0.5")
    profiles = [blurred, *by_quality.values(), clean]

    def chosen(quality):
        return profile_for(dataclasses.replace(ORDINARY, jpeg_quality=quality), profiles).condition

    assert chosen(None) == "clean"
    assert [chosen(q) for q in (95, 92, 85, 76, 73)] == ["jpeg-95", "jpeg-95", "jpeg-75", "jpeg-75", "jpeg-75"]
    assert [chosen(q) for q in (60, 31, 12)] == ["jpeg-30", "jpeg-30", "jpeg-30"]
    assert profile_for(ORDINARY, [by_quality[30]]) is by_quality[30]
    with pytest.raises(InvalidSettingError, match="calibrate first"):
        profile_for(ORDINARY, [])


def test_a_profile_for_jpeg_files_compares_with_images_out_of_like_files():
    sources = (
        Source("photograph", (0.5, 0.6), history="jpeg-75"),
        Source("decoder", (0.4, 0.7), history="jpeg-75", decoders=("b, jpeg-30",) * 2),
        Source("photograph", (-1.0, 0.5), history="clean"),
        Source("photograph", (0.0, 0.3), history="jpeg-30"),
    )
    own = Source("decoded", (-2.0, -3.0), history="jpeg-75")
    profile = Profile("f", "a", "score", {}, "jpeg-75", (64, 64), "tests", (own,), sources)

    def kept(jpeg):
        return [sources.index(source) for source in profile.like(jpeg).others]

    assert kept(None) == [0, 1, 2, 3]
    assert kept(75) == kept(74) == kept(77) == [0, 1]
    # What other decoders made counts as it was calibrated: of rougher files nothing nearer is known.
    assert kept(50) == [0, 1, 3]
    assert kept(88) == [0, 1, 2]
    assert kept(30) == kept(10) == [1, 3]
    # What shows no JPEG may be a picture as it was made; what shows it is none.
    assert profile.p_value(-0.5) == pytest.approx(2 / 3)
    assert verdict_from_profile(-0.5, profile, history=ORDINARY).p_value == pytest.approx(2 / 3)
    seen = dataclasses.replace(ORDINARY, jpeg_quality=75)
    assert verdict_from_profile(-0.5, profile, history=seen).p_value == pytest.approx(1 / 3)
    assert verdict_from_profile(-0.5, profile, history=dataclasses.replace(seen, jpeg_quality=9)).answer != "belonging"
    # A profile that is not for JPEG files has no images like such a picture: all stay, the rough ones among them.
    clean = dataclasses.replace(profile, condition="clean")
    assert clean.like(75) is clean


def test_a_decoder_that_leaves_a_grid_itself_is_allowed_what_calibration_saw(demo):
    _, profile = demo
    own = dataclasses.replace(profile, limits=Limits(own_grid=fit_grid([0.1, 0.5])))
    assert doubt_about("belonging", dataclasses.replace(ORDINARY, grid=0.7), own) is None
    assert doubt_about("belonging", dataclasses.replace(ORDINARY, grid=0.8), own) is not None
    assert fit_grid([]) is None
    for little in (Limits(), Limits(own_grid=fit_grid([0.01]))):
        plain = dataclasses.replace(profile, limits=little)
        assert strongest_grid(plain) == STRONG_GRID
        assert doubt_about("belonging", dataclasses.replace(ORDINARY, grid=0.4), plain) is not None


def test_doubt_reaches_every_face_of_the_verdict(demo, decide_by_scores):
    _, profile = demo
    lowest, highest = min(profile.belonging_scores) - 1, max(profile.non_belonging_scores) + 1
    doubtful = dataclasses.replace(ORDINARY, jpeg_quality=10)
    assert verdict_from_profile(lowest, profile, history=ORDINARY).answer == "belonging"
    yes = verdict_from_profile(lowest, profile, history=doubtful)
    assert yes.answer == "inconclusive" and yes.jpeg_quality == 10 and "JPEG" in yes.sentence
    assert verdict_from_profile(highest, profile, history=doubtful).answer == "inconclusive"
    assert decide_by_scores([("one", lowest, profile)], history=ORDINARY).vae == "one"
    assert decide_by_scores([("one", lowest, profile)], history=doubtful).vae is None
    untaught = verdict_from_default_profile(
        lowest, profile, "x", is_recognised=True, check="6 of 6 pictures", history=doubtful
    )
    assert untaught.answer == "inconclusive" and "quality 10" in untaught.basis


def test_rough_jpegs_of_photographs_get_no_yes_and_own_pictures_keep_theirs(demo, judge):
    autoencoder, profile = demo
    photograph = quantise(synthetic_photograph(11, 160))
    verdict = judge(autoencoder, jpeg(photograph, 6), profile)
    assert verdict.answer == "inconclusive" and verdict.jpeg_quality == 6
    with torch.no_grad():
        own = quantise(autoencoder.decode(autoencoder.encode(photograph)))
    verdict = judge(autoencoder, own, profile)
    assert verdict.answer == "belonging" and verdict.jpeg_quality is None
