"""A no is given only where a yes could have been seen: control, placements, lossy pasts, palettes, contradictions."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re

import pytest
import torch
from latent_tracer.cli.demo import photographs
from latent_tracer.core import (
    Picture,
    Tracer,
    builtin_profile,
    load_autoencoder,
    quantise,
    synthetic_photograph,
    to_picture,
    to_tensor,
)
from latent_tracer.core.files.claims_of_graphs import claims_of_prompt
from latent_tracer.core.files.provenance import Claims, read_claims
from latent_tracer.core.images.canvas import content_box
from latent_tracer.core.images.conditions import stored_as_jpeg
from latent_tracer.core.images.lossy_past import few_colours, was_lossy
from latent_tracer.core.images.noise import with_noise
from latent_tracer.core.images.part import Part
from latent_tracer.core.images.quantiser import ROUNDING_FLOOR
from latent_tracer.core.images.regularity import repeated_pattern
from latent_tracer.core.inversion.floor_blocks import FloorBlocks
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.scores import make_score
from latent_tracer.core.scores.contrast_map import Windowed
from latent_tracer.core.scores.control import regenerated_control
from latent_tracer.core.scores.found import SIGN_EVIDENCE, SIGN_SHARE, Found
from latent_tracer.core.scores.placement import ROUND, Placement, made_sizes, resampled, roundness, turned_placements
from latent_tracer.core.scores.search import _Search, search_placements, seen_if_reduced
from latent_tracer.core.tracing.questions import (
    CELL_PATTERN,
    EXPLAINED_BLOCKS,
    SMOOTHER,
    VISIBLE,
    WEAK_LEVEL,
    Checked,
    ask_chance,
    ask_fills_cells,
    ask_map,
    ask_smoothness,
    contradicted,
)
from latent_tracer.core.tracing.refusal import _control
from latent_tracer.core.verdicts.doubt import History, doubt_about
from latent_tracer.core.verdicts.verdict import verdict_from_threshold
from PIL import Image, ImageFilter, PngImagePlugin
from torch.nn import functional as F

SIDE = 192
TURNS = {"mirrored": Image.Transpose.FLIP_LEFT_RIGHT, "turned by 90°": Image.Transpose.ROTATE_90}


@pytest.fixture(scope="module")
def demo():
    return load_autoencoder("demo-a")


@pytest.fixture(scope="module")
def photograph():
    return synthetic_photograph(77, SIDE)


@pytest.fixture(scope="module")
@torch.no_grad()
def own(demo, photograph):
    return quantise(demo.decode(demo.encode(photograph)))


@pytest.fixture(scope="module")
def refused(demo, photograph):
    return Tracer(demo).trace(Picture.of(photograph))


def delivered(image, how):
    picture = to_picture(image)
    if how in TURNS:
        picture = picture.transpose(TURNS[how])
    elif how == "cut":
        picture = picture.crop((3, 5, picture.width, picture.height))
    elif how == "canvas":
        canvas = Image.new("RGB", (picture.width + 80, picture.height + 70), "#ddd")
        canvas.paste(picture, (37, 51))
        picture = canvas
    else:
        picture = picture.transpose(TURNS["mirrored"]) if how.startswith("mirrored") else picture
        factor = float(how.removeprefix("mirrored ").removeprefix("×"))
        picture = picture.resize([round(side * factor) for side in picture.size], Image.Resampling.LANCZOS)
    return to_tensor(picture)


@pytest.mark.parametrize(
    ("how", "placement"),
    [
        ("turned by 90°", Placement(turns=1)),
        ("mirrored", Placement(mirrored=True)),
        ("cut", Placement(top=3, left=5)),
        ("canvas", Placement(box=Part(51, 37, SIDE, SIDE))),
        ("×0.75", Placement(size=(SIDE, SIDE))),
        ("×1.5", Placement(size=(SIDE, SIDE))),
        ("×2.5", Placement(size=(SIDE, SIDE))),
        ("×4", Placement(size=(SIDE, SIDE))),
        ("mirrored ×0.75", Placement(mirrored=True, size=(SIDE, SIDE))),
    ],
)
@torch.no_grad()
def test_what_happened_to_an_own_picture_is_found(demo, own, how, placement):
    found = search_placements(demo, delivered(own, how))
    assert found is not None and found.is_sign and found.score < 2 * SIGN_SHARE * found.control
    assert found.placement == placement


@pytest.mark.parametrize(
    ("how", "placement"), [("mirrored", Placement(mirrored=True)), ("×0.75", Placement(size=(SIDE, SIDE)))]
)
@torch.no_grad()
def test_a_pictures_own_plain_ground_hides_nothing(demo, photograph, how, placement):
    ground = torch.full_like(photograph, 0.97)
    ground[..., 21:165, 13:157] = photograph[..., :144, :144]
    own = quantise(demo.decode(demo.encode(ground)))
    # Decoders leave a little texture on the ground; another hand may even it out.
    own[..., :16, :] = own[..., 172:, :] = own[..., :, :8] = own[..., :, 164:] = 247 / 255
    changed = delivered(own, how)
    assert content_box(changed) is not None
    found = search_placements(demo, changed)
    assert found is not None and found.is_sign and dataclasses.replace(found.placement, box=None) == placement


def blurred(image, deviation):
    return to_tensor(to_picture(image).filter(ImageFilter.GaussianBlur(deviation)))


def grainy(image, levels):
    return quantise(with_noise(image, torch.eye(3).double() * (levels / 255) ** 2))


@torch.no_grad()
def test_what_is_smoother_than_the_decoder_writes_gets_no_no(demo, own, photograph, refused):
    score = make_score(refused.profile.score)

    def smoother(image):
        return regenerated_control(score, demo, image).smoother

    assert max(smoother(own), smoother(photograph)) < SMOOTHER / 2 and smoother(blurred(own, 1)) > 2 * SMOOTHER
    no = refused.verdict
    assert ask_smoothness(no, smoother(own)).verdict is no
    withheld = ask_smoothness(no, smoother(blurred(own, 2))).verdict
    assert withheld.answer == "inconclusive" and withheld.state == ("smoother than this decoder writes",)
    assert "as after blurring, denoising or enlarging" in withheld.basis


@torch.no_grad()
def test_a_blurred_picture_of_its_own_is_not_denied(demo, own):
    verdict = Tracer(demo).trace(Picture.of(blurred(own, 2))).verdict
    assert verdict.answer == "inconclusive" and verdict.power is not None


@torch.no_grad()
def test_noise_that_would_hide_a_trace_is_part_of_the_control(demo, own, photograph, refused):
    """And its own picture under such noise is not denied because the decoder could write one without it."""
    profile, score = refused.profile, make_score(refused.profile.score)
    for image in (own, photograph):
        levels = [regenerated_control(score, demo, grainy(image, one)) for one in (0, 40)]
        assert profile.accepts(levels[0].value) and not profile.accepts(levels[1].value)
        assert 255 * levels[1].noise == pytest.approx(40, rel=0.3)
    assert not profile.accepts(score(demo, grainy(own, 40)).value)
    verdict = Tracer(demo).trace(Picture.of(grainy(photograph, 40))).verdict
    assert (
        verdict.answer == "inconclusive" and "with its noise, is hardly recognised" in verdict.basis and verdict.state
    )


@torch.no_grad()
def test_a_trace_too_weak_for_a_yes_withholds_a_no(demo, own, photograph, refused):
    no = refused.verdict
    assert ask_map(no, demo, photograph, None).verdict is no
    weak = ask_map(no, demo, grainy(own, 12), None).verdict
    assert weak.answer == "inconclusive" and weak.state == ("perhaps a weak trace of this decoder",)


def test_a_weak_trace_beside_a_score_that_is_no_contrast_counts_whatever_its_share(demo, own, refused):
    no = dataclasses.replace(refused.verdict, power=0.3)
    weak = ask_map(no, demo, grainy(own, 12), None, None, False).verdict
    assert weak.answer == "inconclusive" and "%" not in weak.basis
    assert ask_map(no, demo, grainy(own, 12), None, 90, False).verdict is no


def test_under_a_score_that_is_no_contrast_noise_withholds_a_no_and_a_placement_needs_a_contrasts_bound(
    demo, photograph, monkeypatch
):
    bounds = []
    clean = builtin_profile(demo.fingerprint)
    other = make_score("grid-contrast-and-ratio")
    rough = dataclasses.replace(clean, score=other.name, score_settings=dict(other.settings), condition="jpeg-75")

    def found(*arguments):
        bounds.append(arguments[6])
        return Checked(arguments[0], Passes())

    with monkeypatch.context() as patch:
        patch.setattr("latent_tracer.core.tracing.tracer.checked", found)
        patch.setattr("latent_tracer.core.tracing.tracer.looks_further", lambda *_: True)
        for profiles in ((clean, rough), (rough,)):
            Tracer(demo, profiles).trace(Picture.of(stored_as_jpeg(photograph, 75)))
    assert bounds == [clean.acceptance_threshold, -math.inf]
    no = dataclasses.replace(Tracer(demo).trace(Picture.of(photograph), checks_refusal=False).verdict, score=9.0)
    taken = dataclasses.replace(rough, others=tuple(
        dataclasses.replace(one, scores=tuple(value + 9 for value in one.scores)) for one in rough.others
    ))  # fmt: skip
    for noise, is_held in ((0, False), (20, True)):
        picture = grainy(photograph, noise) if noise else photograph
        control, _ = _control(no, taken, other, demo, picture, None, None, math.inf)
        assert (control.verdict.answer == "inconclusive") is is_held


def test_a_score_that_few_others_have_withholds_a_no(refused):
    profile, no = refused.profile, refused.verdict
    score = profile.acceptance_threshold + 1e-6
    low = dataclasses.replace(no, score=score, p_value=profile.p_value(score))
    assert low.p_value <= WEAK_LEVEL < no.p_value
    assert ask_chance(no).verdict is no
    assert re.search(r"only \d\.\d% of other pictures score as low", ask_chance(low).verdict.basis)


def test_a_photograph_gets_its_no_and_the_no_says_what_was_looked_at(refused, photograph):
    verdict = refused.verdict
    assert verdict.answer == "non-belonging"
    assert verdict.power is not None and verdict.power < -0.4 and verdict.state == ()
    looks = re.search(
        r"under (\d+) other placements none shows a trace \(one change at a time, or mirrored and resized; one reduced"
        r" to a third would show none\)$",
        verdict.basis,
    )
    assert looks is not None and 70 < int(looks[1]) < 130
    assert refused.passes.encoder > 80


def test_without_the_check_a_no_costs_a_look(demo, photograph):
    traced = Tracer(demo).trace(Picture.of(photograph), checks_refusal=False)
    assert traced.verdict.answer == "non-belonging" and traced.passes.encoder <= 4 and traced.verdict.power is None


@pytest.mark.parametrize(("score", "evidence"), [(-0.3, 0.0), (-0.01, -50.0)], ids=["few pixels left", "JPEG there"])
def test_a_sign_that_cannot_carry_a_yes_takes_back_the_no_and_says_why(demo, photograph, monkeypatch, score, evidence):
    unseen = -0.8 if evidence else 0.0
    figures = {"unseen": unseen, "strength": 20 * score, "control": -0.4}
    found = Found(Placement(mirrored=True), score, 90, Passes(), evidence, **figures)
    monkeypatch.setattr("latent_tracer.core.tracing.refusal.search_placements", lambda *_: found)
    if evidence:
        monkeypatch.setattr("latent_tracer.core.tracing.refusal.History.of", lambda _: History(jpeg_quality=50))
    verdict = Tracer(demo).trace(Picture.of(photograph), history=History()).verdict
    assert verdict.answer == "inconclusive" and "taken as mirrored" in verdict.basis
    assert verdict.state == ("a trace may show where the picture is taken as mirrored",)


@torch.no_grad()
def test_another_decoders_picture_is_no_yes_at_a_placement_that_keeps_its_grid(demo, photograph):
    """Turned and mirrored on whole cells, its grid lies where this one's does: a rough decoder sees something there."""
    other = load_autoencoder("demo-b")
    for model, maker in ((demo, other), (other, demo)):
        picture = Picture.of(quantise(maker.decode(maker.encode(photograph))))
        assert Tracer(model).trace(picture).verdict.answer == "non-belonging"


@pytest.mark.parametrize("seed", range(3))
@torch.no_grad()
def test_what_a_smooth_latent_leaves_is_never_refused(demo, seed):
    noise = torch.randn(1, demo.latent_channels, 4, 4, generator=torch.Generator().manual_seed(seed))
    latents = demo.latent_spread * F.interpolate(noise, (SIDE // 8, SIDE // 8), mode="bicubic")
    picture = quantise(demo.decode(latents))
    assert repeated_pattern(picture, 8) > CELL_PATTERN
    assert Tracer(demo).trace(Picture.of(picture)).verdict.answer != "non-belonging"


@pytest.mark.parametrize("seed", range(3))
def test_photographs_repeat_no_pattern(seed):
    assert abs(repeated_pattern(synthetic_photograph(seed, SIDE), 8)) < CELL_PATTERN / 2


@torch.no_grad()
def test_pictures_too_empty_for_a_trace_are_never_refused(demo):
    down, across = torch.meshgrid(torch.linspace(0, 1, SIDE), torch.linspace(0, 1, SIDE), indexing="ij")
    ramp = torch.stack([0.3 + 0.3 * down, 0.3 + 0.2 * across, 0.5 - 0.2 * down])[None]
    latents = demo.encode(ramp)
    pictures = [quantise(demo.decode(torch.zeros_like(latents))), quantise(demo.decode(latents))]
    answers = {Tracer(demo).trace(Picture.of(picture)).verdict.answer for picture in pictures}
    assert answers <= {"belonging", "inconclusive"}


@pytest.mark.parametrize(
    ("file_format", "settings"),
    [("WEBP", {"quality": 80}), ("WEBP", {"quality": 60}), ("AVIF", {"quality": 75}), ("AVIF", {"quality": 60})],
)
@torch.no_grad()
def test_a_lossy_past_shows_in_the_pixels(demo, file_format, settings):
    if file_format == "AVIF" and ".avif" not in Image.registered_extensions():
        pytest.skip("this Pillow writes no AVIF")
    # A photograph: the chroma of drawn ones is too strong for AVIF to take away.
    coffee = photographs()["coffee"]
    own = quantise(demo.decode(demo.encode(coffee)))
    for image in (own, coffee):
        assert not was_lossy(image)
        stored = io.BytesIO()
        to_picture(image).save(stored, file_format, **settings)
        assert was_lossy(to_tensor(Image.open(stored).convert("RGB")))


def test_a_grey_picture_tells_nothing_of_its_past(photograph):
    grey = to_tensor(to_picture(photograph).convert("L").convert("RGB"))
    assert not was_lossy(grey) and few_colours(grey) is None


@pytest.mark.parametrize(
    ("sides", "box"),
    [((51, 37, 59, 43), Part(51, 37, SIDE, SIDE)), ((40, 0, 40, 0), Part(40, 0, SIDE, SIDE)), ((0, 0, 0, 0), None)],
    ids=["a page", "bars", "none"],
)
def test_what_lies_on_a_canvas_is_found(photograph, sides, box):
    top, left, bottom, right = sides
    canvas = torch.full((1, 3, top + SIDE + bottom, left + SIDE + right), 0.2)
    canvas[..., top : top + SIDE, left : left + SIDE] = photograph
    assert content_box(canvas) == box
    if top and left:  # another one around it
        around = torch.full((1, 3, canvas.shape[-2] + 20, canvas.shape[-1] + 20), 0.9)
        around[..., 10:-10, 10:-10] = canvas
        assert content_box(around) == Part(top + 10, left + 10, SIDE, SIDE)


def test_an_empty_picture_has_no_canvas():
    assert content_box(torch.full((1, 3, 64, 64), 0.5)) is None


@pytest.mark.parametrize("colours", [256, 64, 16])
def test_palettes_show(photograph, colours):
    reduced = to_tensor(to_picture(photograph).quantize(colours).convert("RGB"))
    assert few_colours(photograph) is None and few_colours(reduced) in range(2, colours + 1)


def test_lossy_pasts_and_palettes_withhold_a_no_and_no_yes(demo):
    profile = builtin_profile(demo.fingerprint)
    for history, word in ((History(was_lossy=True), "lossy file"), (History(colours=64), "64 colours")):
        assert word in doubt_about("non-belonging", history, profile)
        assert doubt_about("belonging", history, profile) is None
        assert any(word in one for one in history.findings)
    rough = dataclasses.replace(profile, condition="webp-90")
    assert doubt_about("non-belonging", History(was_lossy=True), rough) is None


def test_an_inversion_that_explains_the_picture_takes_back_a_no_and_nothing_else(refused):
    no = refused.verdict
    nothing = torch.zeros(10, 10, dtype=torch.bool)
    assert contradicted(no, 61 * ROUNDING_FLOOR, FloorBlocks(nothing, nothing)) == no
    taken_back = contradicted(no, 9 * ROUNDING_FLOOR, FloorBlocks(nothing, nothing))
    assert taken_back.answer == "inconclusive" and "9.0 times the 8-bit floor" in taken_back.basis
    assert "the picture is smooth" in taken_back.basis
    # Of a picture with detail the mean says too little: regular photographs come near the floor too.
    detailed = nothing.clone()
    detailed[:5] = True
    assert contradicted(no, 9 * ROUNDING_FLOOR, FloorBlocks(nothing, detailed)) == no
    # Of a large picture three blocks are no more than chance may leave.
    many = torch.ones(40, 40, dtype=torch.bool)
    few = torch.zeros_like(many)
    few[0, :15] = True
    assert contradicted(no, 1.0, FloorBlocks(few, many)) == no
    few[0, 15] = True
    assert contradicted(no, 1.0, FloorBlocks(few, many)).answer == "inconclusive"
    blocks = torch.zeros(4, 4, dtype=torch.bool)
    blocks[0, :EXPLAINED_BLOCKS] = True
    by_blocks = contradicted(no, 1.0, FloorBlocks(blocks, torch.ones_like(blocks)))
    assert by_blocks.answer == "inconclusive" and f"{EXPLAINED_BLOCKS} blocks with detail" in by_blocks.basis
    blocks[0, 0] = False
    assert contradicted(no, 1.0, FloorBlocks(blocks, torch.ones_like(blocks))) == no
    yes = dataclasses.replace(no, answer="belonging")
    assert contradicted(yes, 0.0) == yes
    by_hand = verdict_from_threshold(2e-5, 1e-5)
    assert contradicted(by_hand, 2e-5 * 0) == by_hand


def test_the_control_is_told_in_the_row(demo, refused):
    record = Tracer(demo).row(refused).to_record()
    assert record["power"] == refused.verdict.power and record["state"] == [] and record["fpr_basis"] == "this decoder"


def test_undoing_a_placement_gives_the_picture_back(photograph):
    for placement in turned_placements():
        done = photograph.flip(-1) if placement.mirrored else photograph
        done = torch.rot90(done, placement.turns, (-2, -1))
        assert torch.equal(placement.undo(done), photograph)
    assert len(set(turned_placements())) == 7


def test_sizes_are_those_whose_resize_gives_the_delivered_one():
    assert (512, 384) in made_sizes(384, 288, 8)[:4]
    for delivered_size in ((384, 288), (361, 240), (500, 500)):
        for height, width in made_sizes(*delivered_size, 8):
            factor = delivered_size[1] / width
            assert height % 8 == width % 8 == 0 and (height, width) != delivered_size
            assert abs(height * factor - delivered_size[0]) <= 1.5 and (
                0.33 < factor < 2.56 or round(factor, 1) in (3, 4)
            )


def test_likely_sizes_are_among_those_tried_however_large_the_picture():
    for delivered_size, made in (
        ((1280, 1280), (512, 512)),
        ((540, 960), (1080, 1920)),
        ((1620, 1080), (1536, 1024)),
        ((2048, 2048), (1024, 1024)),
        ((720, 720), (1440, 1440)),
        ((4096, 2304), (1024, 576)),
        ((2048, 2048), (512, 512)),
        ((1536, 1536), (512, 512)),
    ):
        assert made in made_sizes(*delivered_size, 8)
    assert made_sizes(1, 500, 8) == made_sizes(500, 1, 8) == made_sizes(1, 1, 8) == []
    assert (
        roundness(256, 256, (320, 320)) == ROUND == roundness(540, 960, (720, 1280)) > roundness(256, 256, (264, 264))
    )


def test_what_was_larger_than_memory_should_hold_is_cut_out_of_the_delivered_picture(demo, photograph, monkeypatch):
    placement = Placement(True, size=(2 * SIDE, 2 * SIDE))
    whole = placement.undo(photograph)
    monkeypatch.setattr("latent_tracer.core.scores.search.WHOLE_PIXELS", SIDE * SIDE)
    placed = _Search(demo, photograph, 96).placed(placement)
    assert isinstance(placed, Windowed) and len(placed.windows) > 1
    for part in placed.windows:
        assert part.top % 8 == part.left % 8 == part.height % 8 == part.width % 8 == 0
        assert part.top + part.height <= 2 * SIDE and part.left + part.width <= 2 * SIDE
        assert (placed.cut(part) - part.cut(whole)).abs().max() < 1e-3
    assert torch.equal(_Search(demo, photograph, None).placed(Placement(turns=2)), Placement(turns=2).undo(photograph))


def test_only_a_size_that_was_reduced_since_has_its_larger_window(demo, photograph):
    search = _Search(demo, photograph, None)
    assert search.was_reduced(Placement(size=(2 * SIDE, 2 * SIDE))) and not search.was_reduced(Placement(turns=1))
    assert not search.was_reduced(Placement(size=(SIDE // 2, SIDE // 2)))


def test_a_sign_is_a_share_of_what_the_decoders_own_version_would_show():
    found = Found(Placement(), -0.1, 1, Passes(), strength=2 * SIGN_EVIDENCE, control=-0.2)
    assert found.is_sign
    assert not dataclasses.replace(found, control=-0.11 / SIGN_SHARE).is_sign
    assert dataclasses.replace(found, control=-0.11 / SIGN_SHARE, scale=0.5).is_sign
    assert not dataclasses.replace(found, strength=SIGN_EVIDENCE / 2).is_sign
    assert not dataclasses.replace(found, control=0.02).is_sign


@pytest.mark.parametrize("how", ["×0.75", "×1.5", "turned by 90°", "mirrored ×0.75"])
@torch.no_grad()
def test_the_control_of_a_placement_is_near_what_an_own_picture_shows_there(demo, own, photograph, how):
    """And that of another picture as near, whatever its own score."""
    changed = delivered(own, how)
    search = _Search(demo, changed, None)
    placement = Placement(
        how.startswith("mirrored"), 1 if how.startswith("turned") else 0, (SIDE, SIDE) if "×" in how else None
    )
    search.score(placement)
    control = search.control(placement).contrast()
    assert 0.4 * control > search.scores[placement] > 1.5 * control
    other = _Search(demo, delivered(photograph, how), None)
    other.score(placement)
    assert other.control(placement).contrast() == pytest.approx(control, rel=0.4)
    assert other.scores[placement] > SIGN_SHARE * control


def test_the_control_goes_through_jpeg_where_the_picture_did(demo, own):
    stored = stored_as_jpeg(own, 60)
    placement = Placement(size=(SIDE + 32, SIDE + 32))
    with torch.no_grad():
        weaker, clean = (_Search(demo, one, None) for one in (stored, own))
        weaker.jpeg_quality, clean.jpeg_quality = 60, None
        assert weaker.control(placement).contrast() > clean.control(placement).contrast()


def test_what_fills_no_whole_cells_gets_no_no(demo, photograph, monkeypatch):
    monkeypatch.setattr("latent_tracer.core.tracing.refusal.search_placements", lambda *_: None)
    for picture, answer in (
        (photograph[..., :-3, :], "inconclusive"),
        (photograph[..., :-1], "inconclusive"),
        (photograph, "non-belonging"),
        # The canvas has the odd sides, what lies on it has not.
        (F.pad(photograph, (5, 8, 3, 0), value=0.8), "non-belonging"),
        (F.pad(photograph[..., :-3], (4, 3, 3, 0), value=0.8), "inconclusive"),
    ):
        verdict = Tracer(demo).trace(Picture.of(picture)).verdict
        assert verdict.answer == answer
        if answer == "inconclusive":
            assert "fill no whole cells of 8" in verdict.basis and "fill no whole cells of 8" in verdict.state[-1]


def test_a_part_is_resampled_as_the_whole(photograph):
    whole = resampled(photograph, (128, 160), (0, 0), (128, 160))
    part = resampled(photograph, (128, 160), (16, 40), (64, 48))
    assert part.shape == (1, 3, 64, 48)
    assert (part - whole[..., 16:80, 40:88]).abs().max() < 1e-3
    assert math.isclose(float(whole.mean()), float(photograph.mean()), abs_tol=2e-3)


def graph(*between):
    """A prompt that decodes, passes the picture through nodes of the classes ``between``, and saves it."""
    nodes = {
        "1": {"class_type": "VAELoader", "inputs": {"vae_name": "a.safetensors"}},
        "2": {"class_type": "LatentUpscale", "inputs": {}},
        "3": {"class_type": "VAEDecode", "inputs": {"samples": ["2", 0], "vae": ["1", 0]}},
        "4": {"class_type": "UpscaleModelLoader", "inputs": {}},
    }
    for number, kind in enumerate(between, start=5):
        source = "3" if number == 5 else str(number - 1)
        nodes[str(number)] = {"class_type": kind, "inputs": {"image": [source, 0], "model": ["4", 0]}}
    last = str(4 + len(between)) if between else "3"
    return {**nodes, "99": {"class_type": "SaveImage", "inputs": {"images": [last, 0]}}}


@pytest.mark.parametrize(
    ("between", "alterations"),
    [
        ((), ()),
        (("ImageInvert",), ()),
        (("ImageScale",), ("ImageScale",)),
        (("ImageUpscaleWithModel", "ImageCrop"), ("ImageCrop", "ImageUpscaleWithModel")),
        (("ImageFlip",), ("ImageFlip",)),
        (("ImageCompositeMasked",), ("ImageCompositeMasked",)),
        (("ImageCropByMask",), ("ImageCropByMask",)),
        (("ImagePadForOutpaint",), ("ImagePadForOutpaint",)),
        (("GrowMask", "ThresholdMask"), ()),
    ],
)
def test_the_graph_tells_what_happened_after_decoding(between, alterations):
    assert claims_of_prompt(graph(*between)).alterations == alterations


def test_what_was_done_is_told_by_a_graph_that_names_no_model(photograph):
    """Core's own way to enlarge a picture: it is loaded, enlarged and saved."""
    nodes = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "x4.pth"}},
        "3": {"class_type": "ImageUpscaleWithModel", "inputs": {"image": ["1", 0], "upscale_model": ["2", 0]}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
    }
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", json.dumps(nodes))
    stored = io.BytesIO()
    to_picture(photograph).save(stored, "PNG", pnginfo=text)
    claims = read_claims(stored.getvalue())
    assert claims.alterations == ("ImageUpscaleWithModel",) and not claims
    assert claims.sentence.startswith("the file claims nothing")


def test_of_two_decoders_in_a_row_the_last_one_made_the_picture():
    nodes = graph()
    nodes |= {
        "5": {"class_type": "VAEEncode", "inputs": {"pixels": ["3", 0], "vae": ["1", 0]}},
        "6": {"class_type": "KSampler", "inputs": {"latent_image": ["5", 0]}},
        "7": {"class_type": "VAELoader", "inputs": {"vae_name": "b.safetensors"}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["6", 0], "vae": ["7", 0]}},
        "99": {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}},
    }
    assert claims_of_prompt(nodes).vaes == ("b.safetensors",)
    # What is put together of two decoded pictures is both's.
    nodes["9"] = {"class_type": "ImageBlend", "inputs": {"image1": ["8", 0], "image2": ["3", 0]}}
    nodes["99"]["inputs"]["images"] = ["9", 0]
    assert set(claims_of_prompt(nodes).vaes) == {"a.safetensors", "b.safetensors"}


def test_bars_beside_a_picture_excuse_no_sides_that_fill_no_cells(refused, photograph):
    inside = photograph[..., :107, :]
    bars = torch.zeros(1, 3, SIDE, SIDE)
    bars[..., 40:147, :] = inside
    for pixels, withholds in ((inside, True), (bars, True), (photograph, False)):
        assert (ask_fills_cells(refused.verdict, pixels, 8).verdict.answer == "inconclusive") == withholds
    bars[..., 40:144, :], bars[..., 144:, :] = photograph[..., :104, :], 0
    assert ask_fills_cells(refused.verdict, bars, 8).verdict.answer == "non-belonging"


def test_sizes_that_models_are_made_for_are_tried():
    for delivered, made in (((1080, 1080), (1328, 1328)), ((960, 1280), (1104, 1472)), ((1080, 720), (1584, 1056))):
        assert made in made_sizes(*delivered, 8)


@pytest.mark.parametrize(("evidence", "answer"), [(VISIBLE - 0.1, "non-belonging"), (VISIBLE, "inconclusive")])
def test_a_jpeg_file_gets_its_no_only_where_a_resize_before_would_have_shown(
    demo, photograph, monkeypatch, evidence, answer
):
    clean = builtin_profile(demo.fingerprint)
    asked = []

    def seen(autoencoder, image, factor, quality, window):
        asked.append((image.shape, factor, quality))
        return evidence, Passes(encoder=2, decoder=2)

    monkeypatch.setattr("latent_tracer.core.tracing.refusal.search_placements", lambda *_: None)
    monkeypatch.setattr("latent_tracer.core.tracing.questions.seen_if_reduced", seen)
    tracer = Tracer(demo, dataclasses.replace(clean, condition="jpeg-90"))
    verdict = tracer.trace(Picture.of(stored_as_jpeg(photograph, 90))).verdict
    assert verdict.answer == answer and asked == [(photograph.shape, 2 / 3, 90)]
    if answer == "inconclusive":
        assert "had it been reduced to two thirds before, even this decoder's own version of it would" in verdict.basis
        assert verdict.basis.endswith(": trace it as it was before.")
    # A lossy file whose quality does not show counts as one of the condition, as what only was one does.
    asked.clear()
    picture = Picture.of(photograph)
    lossy = dataclasses.replace(picture, facts=dataclasses.replace(picture.facts, format="JPEG", lossy=True))
    verdict = tracer.trace(lossy).verdict
    assert verdict.answer == answer and asked == [(photograph.shape, 2 / 3, 90)]
    if answer == "inconclusive":
        assert "is out of a lossy file, perhaps of quality 90" in verdict.basis
    asked.clear()
    assert tracer.trace(lossy, history=History(was_lossy=True)).verdict.answer == answer and asked
    # Of what was lossy in another way nothing of this is known.
    asked.clear()
    verdict = tracer.trace(picture, history=History(was_lossy=True)).verdict
    assert verdict.answer == "inconclusive" and not asked and "holds for jpeg-90 images" in verdict.basis
    # What never was a JPEG file is not asked.
    asked.clear()
    assert Tracer(demo).trace(Picture.of(photograph)).verdict.answer == "non-belonging" and not asked


@torch.no_grad()
def test_what_a_resize_before_jpeg_leaves_is_measured_on_the_decoders_own_version(demo, photograph):
    """Much at a high quality, less of a rough file, of which a decoder with a strong trace still shows some."""
    (fine, passes), (rough, _) = (seen_if_reduced(demo, photograph, 2 / 3, one) for one in (95, 30))
    assert fine < rough < 0 and fine < VISIBLE and passes.encoder == passes.decoder == 5


def test_an_alteration_in_the_files_graph_withholds_a_no(demo, photograph, monkeypatch):
    monkeypatch.setattr("latent_tracer.core.tracing.refusal.search_placements", lambda *_: None)
    picture = Picture.of(photograph)
    claims = Claims(vaes=("a.safetensors",), alterations=("ImageScale",))
    picture = dataclasses.replace(picture, facts=dataclasses.replace(picture.facts, claims=claims))
    verdict = Tracer(demo).trace(picture).verdict
    assert verdict.answer == "inconclusive" and "went through ImageScale after it was decoded" in verdict.basis
    assert verdict.state == ("the file's own graph says: ImageScale after decoding",)


def test_a_decoder_that_cannot_be_inverted_still_answers(demo, photograph, monkeypatch):
    def no_gradient(*_, **__):
        raise RuntimeError("element 0 of tensors does not require grad")

    monkeypatch.setattr("latent_tracer.core.tracing.questions.invert", no_gradient)
    monkeypatch.setattr("latent_tracer.core.tracing.refusal.search_placements", lambda *_: None)
    assert Tracer(demo).trace(Picture.of(photograph)).verdict.answer == "non-belonging"
