"""A yes for a picture that lies otherwise than it was made: by pixels that did not choose the placement, or none."""

from __future__ import annotations

import dataclasses
import io

import pytest
import torch
from latent_tracer.core import Picture, Tracer, load_autoencoder, quantise, synthetic_photograph, to_picture, to_tensor
from latent_tracer.core.images.part import Part
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.profiles import Grid, load_profile, placement_profile, was_measured_on
from latent_tracer.core.profiles.trust import EMBEDDED
from latent_tracer.core.scores.contrast_map import LEAST_BLOCKS, SYSTEMATIC, ContrastMap
from latent_tracer.core.verdicts.doubt import History
from latent_tracer.core.verdicts.own_part import OWN_PART, own_part
from latent_tracer.core.verdicts.placed import verdict_at_placement
from latent_tracer.core.verdicts.verdict import Verdict
from PIL import Image

SIDE = 256


def contrasts(contrast, weight=None, window=None):
    weight = torch.ones_like(contrast) if weight is None else weight
    height, width = (8 * side + 24 for side in contrast.shape)
    return ContrastMap(((contrast, weight),), (window or Part(0, 0, height, width),), 8, Grid(8, 0), Passes())


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def test_evidence_is_the_weighted_mean_over_what_it_scatters_by():
    values, weights = 0.1 * noise(20, 30) - 0.05, noise(20, 30).abs()
    found = contrasts(values, weights)
    flat, share = values.double().flatten(), (weights / weights.sum()).double().flatten()
    mean = (flat * share).sum()
    error = (share.square() * (flat - mean).square()).sum().sqrt()
    assert found.contrast() == pytest.approx(float(mean)) and found.statistics()[1] == pytest.approx(float(error))
    assert found.evidence() == pytest.approx(float(mean / (error.square() + SYSTEMATIC**2).sqrt()))


def test_of_many_blocks_chance_leaves_little_and_what_is_not_chance_stays():
    """The standard error is the scatter of the mean; a faint contrast is no evidence however large the picture."""
    values = noise(200, 100, 100)
    for side in (20, 100):
        ratios = torch.tensor([one[:2] for one in (contrasts(v[:side, :side].clone()).statistics() for v in values)])
        scatter = float((ratios[:, 0] / ratios[:, 1]).std())
        assert 0.85 < scatter < 1.15
    evidence = {(mean, side): contrasts(0.3 * values[0, :side, :side] + mean).evidence()
                for mean in (-0.03, -0.3) for side in (20, 100)}  # fmt: skip
    assert all(-2.5 < evidence[-0.03, side] < 0 for side in (20, 100))
    assert evidence[-0.3, 20] > -19 and evidence[-0.3, 100] < evidence[-0.3, 20] - 2


def test_what_chose_the_placement_is_no_evidence():
    """A window in which the contrast is low by choice, and nothing elsewhere: all of it is left out, and no more."""
    values = 0.1 * noise(40, 40)
    values[5:15, 10:25] -= 0.5
    found = contrasts(values)
    seen = Part(8 + 5 * 8, 8 + 10 * 8, 80, 120)
    assert found.evidence() < -2 and abs(found.evidence([seen])) < 0.5
    kept = torch.ones(40, 40, dtype=torch.bool)
    kept[5:15, 10:25] = False
    assert found.statistics([seen])[2] == int(kept.sum())
    # A pixel more touches the next blocks; parts beyond the picture touch none.
    assert found.statistics([dataclasses.replace(seen, top=seen.top - 1)])[2] == int(kept.sum()) - 15
    assert found.statistics([Part(-500, -500, 100, 100), Part(5000, 0, 10, 10)])[2] == 1600


def test_windows_have_their_own_place():
    window = Part(320, 640, 344, 344)
    found = contrasts(noise(40, 40), window=window)
    assert found.statistics([Part(0, 0, 300, 600)])[2] == 1600
    assert found.statistics([Part(328, 648, 320, 8)])[2] == 1560


def test_few_blocks_are_no_evidence():
    assert contrasts(noise(9, 11)).evidence() == 0 and contrasts(noise(10, 10) - 1).evidence() < 0 == LEAST_BLOCKS - 100
    assert contrasts(torch.zeros(0, 0)).evidence() == contrasts(torch.zeros(0, 0)).contrast() == 0


NO = Verdict("non-belonging", 0.01, "score", fpr=0.01, fpr_bound=0.04, fnr=0.01, fnr_bound=0.04)


@pytest.mark.parametrize("tests", [1, 2, 40])
def test_every_test_of_a_placement_is_paid_for(tests):
    profile = placement_profile()
    lowest = min(profile.non_belonging_scores) - 1
    verdict = verdict_at_placement(NO, lowest, tests, profile, History(), "mirrored")
    assert verdict is not None and verdict.answer == "belonging" and verdict.score == lowest
    assert verdict.p_value == min(1, tests * profile.p_value(lowest))
    assert verdict.fpr == min(1, 0.01 + tests * profile.stated_fpr)
    assert verdict.fpr_bound == min(1, 0.04 + tests * profile.fpr_bound)
    assert verdict.fnr is None and verdict.state == ("mirrored since it was made",)
    assert verdict.fpr_basis == "several decoders" and "measured on 5 decoders together" in verdict.sentence
    assert "not on this one" not in verdict.sentence and "taken as mirrored" in verdict.sentence
    assert verdict_at_placement(
        NO, lowest, tests, profile, History(), "mirrored", on_others=True
    ) == dataclasses.replace(verdict, calibration="5 other decoders together")


def test_a_yes_at_another_placement_says_whether_this_decoder_was_measured():
    profile = placement_profile()
    shipped = {path.name.split(".")[0]: load_profile(path).fingerprint for path in EMBEDDED.glob("*.profile.json")}
    among = {name for name, digest in shipped.items() if was_measured_on(profile, digest)}
    assert among == {"taesd", "taesdxl", "taesd3", "taef1", "taef2"}
    assert not was_measured_on(profile, "a user's own")
    lowest = min(profile.non_belonging_scores) - 1
    yes = verdict_at_placement(NO, lowest, 1, profile, History(), "mirrored", on_others=True)
    assert yes is not None and "; measured on 5 other decoders together, not on this one)." in yes.sentence
    assert yes.fpr_basis == "several decoders" and yes.is_borrowed


@pytest.mark.parametrize(
    "history",
    [
        History(jpeg_quality=90),
        History(grid=0.31),
        History(different_blocks=20, telling_blocks=900),
    ],
    ids=["JPEG blocks", "a grid", "repeats"],
)
def test_what_could_pass_for_a_trace_there_is_no_yes(history):
    profile = placement_profile()
    lowest = min(profile.non_belonging_scores) - 1
    assert verdict_at_placement(NO, lowest, 1, profile, History(), "mirrored") is not None
    assert verdict_at_placement(NO, lowest, 1, profile, history, "mirrored") is None


def test_ordinary_evidence_is_no_yes():
    profile = placement_profile()
    for evidence in (profile.acceptance_threshold, 0.0, 5.0):
        assert verdict_at_placement(NO, evidence, 1, profile, History(), "mirrored") is None


def test_the_shipped_evidence_tells_own_pictures_from_others():
    """Five kinds of others, each of which alone sets the rate; photographs out of JPEG where its blocks lay, too."""
    profile = placement_profile()
    assert {(one.kind, one.history) for one in profile.others} == {
        ("photograph", "clean"), ("photograph", "jpeg-30"), ("photograph", "jpeg-90"), ("decoder", "clean"),
    }  # fmt: skip
    assert all(len(one.lowest) > 60 for one in profile.others) and profile.stated_fpr < 0.02
    found = [score < profile.acceptance_threshold for score in profile.belonging_scores]
    assert sum(found) > 0.6 * len(found)


@pytest.fixture(scope="module")
def demo():
    return load_autoencoder("demo-a")


@pytest.fixture(scope="module")
def photograph():
    return synthetic_photograph(31, SIDE)


@pytest.fixture(scope="module")
@torch.no_grad()
def own(demo, photograph):
    return quantise(demo.decode(demo.encode(photograph)))


@pytest.mark.parametrize("how", ["mirrored", "cut", "×1.5, JPEG 90"])
def test_an_own_picture_that_lies_otherwise_is_a_yes(demo, own, how):
    picture = to_picture(own)
    if how == "mirrored":
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    elif how == "cut":
        picture = picture.crop((3, 5, SIDE, SIDE))
    else:
        picture = picture.resize((3 * SIDE // 2, 3 * SIDE // 2), Image.Resampling.LANCZOS)
        stored = io.BytesIO()
        picture.save(stored, "JPEG", quality=90)
        picture = Image.open(stored).convert("RGB")
    traced = Tracer(demo).trace(Picture.of(to_tensor(picture)))
    assert traced.verdict.answer == "belonging", traced.verdict.basis
    assert traced.verdict.fpr_basis == "several decoders"
    assert traced.verdict.calibration == "5 other decoders together"
    assert traced.placement is not None and traced.profile == placement_profile()
    assert traced.verdict.state[-1] == f"{traced.placement.words} since it was made"
    record = Tracer(demo).row(traced).to_record()
    assert record["fpr_basis"] == "several decoders" and record["state"] == list(traced.verdict.state)


# Minutes each: the whole search, which finds nothing.
@pytest.mark.parametrize("quality", [10, 75])
def test_blocks_of_jpeg_off_the_corner_are_no_trace(demo, photograph, quality):
    """The search finds where they lie: as good as a decoder's grid, were it not for what made them."""
    stored = io.BytesIO()
    side = 3 * SIDE // 4
    to_picture(photograph[..., :side, :side]).save(stored, "JPEG", quality=quality)
    cropped = Image.open(stored).convert("RGB").crop((3, 5, side, side))
    assert Tracer(demo).trace(Picture.of(to_tensor(cropped))).verdict.answer != "belonging"


def test_a_part_of_its_own_is_found_and_outlined():
    values = 0.3 * noise(60, 60)
    assert own_part(contrasts(values)).part is None
    values[20:36, 8:24] -= 0.3
    found = own_part(contrasts(values, window=Part(64, 128, 504, 504)))
    assert found.excess > OWN_PART and found.part is not None
    centre = found.part.top + found.part.height / 2, found.part.left + found.part.width / 2
    assert centre == pytest.approx((64 + 8 + 28 * 8, 128 + 8 + 16 * 8), abs=12)
    assert 90 < found.part.height < 160 and 90 < found.part.width < 160
    assert own_part(contrasts(torch.zeros(0, 0))).part is None


def test_no_no_for_a_photograph_with_a_part_that_the_decoder_made(demo, photograph, own, monkeypatch):
    """As inpainting leaves it; the photograph around it keeps the whole from looking like the decoder's work."""
    monkeypatch.setattr("latent_tracer.core.tracing.refusal.search_placements", lambda *_: None)
    mixed = photograph.clone()
    mixed[..., 96:192, 48:144] = own[..., 96:192, 48:144]
    verdicts = [Tracer(demo).trace(Picture.of(image)).verdict for image in (photograph, mixed)]
    assert verdicts[0].answer == "non-belonging" and verdicts[1].answer != "non-belonging"
    if verdicts[1].answer == "inconclusive":
        assert verdicts[1].state[-1].startswith("a part of about ")
