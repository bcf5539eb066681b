"""The one road from a picture to an answer: the verdict first, an explanation on demand, and never more than is known.

A picture that holds nothing to judge by is inconclusive, never an error that stops the others, never a yes.
"""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
import torch
from latent_tracer.core import (
    InvalidImageError,
    InvalidProfileError,
    InvalidSettingError,
    ModuleAutoencoder,
    Picture,
    Tracer,
    alter,
    attribute,
    builtin_profile,
    invert,
    load_autoencoder,
    quantise,
    synthetic_photograph,
)
from latent_tracer.core.images.conditions import LOSSY
from latent_tracer.core.profiles import Grid, default_profile
from latent_tracer.core.reports.pictures import trace_picture, verdict_card
from latent_tracer.core.reports.pictures.trace_panel import _tiles
from latent_tracer.core.reports.words import trace_report
from latent_tracer.core.scores.decoder_grid import grid_of
from latent_tracer.core.scores.own_check import OwnCheck, own_check
from latent_tracer.core.verdicts.uncalibrated import default_bound
from PIL import Image

FLAT = torch.ones(1, 3, 160, 160)
SMALL = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def demo():
    autoencoder = load_autoencoder("demo-a")
    profile = builtin_profile(autoencoder.fingerprint)
    assert profile is not None
    return autoencoder, profile


@pytest.fixture(scope="module")
def photograph():
    return synthetic_photograph(77, 160)


@pytest.fixture(scope="module")
@torch.no_grad()
def own(demo, photograph):
    return quantise(demo[0].decode(demo[0].encode(photograph)))


class CancelledError(Exception):
    """What a host raises where its user cancels."""


# --- the answer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("image", "reason"), [(torch.full((1, 3, 160, 160), 0.5), "flat"), (SMALL, "at least 40")])
def test_a_picture_without_evidence_is_inconclusive_with_the_reason(demo, judge, image, reason):
    verdict = judge(*demo[:1], image, demo[1])
    assert verdict.answer == "inconclusive" and reason in verdict.basis
    assert math.isnan(verdict.score) and verdict.p_value is None and verdict.fpr is None


def test_own_pictures_belong_and_photographs_do_not(demo, judge, own, photograph):
    autoencoder, profile = demo
    assert judge(autoencoder, own, profile).answer == "belonging"
    assert judge(autoencoder, photograph, profile).answer == "non-belonging"


def test_a_lossy_file_may_get_a_yes_but_never_a_no(demo, judge, own, photograph):
    autoencoder, profile = demo
    stored = alter(own, "jpeg-90")
    assert judge(autoencoder, stored, profile, lossy=True).answer == "belonging"
    for other in (photograph, alter(photograph, "jpeg-75")):
        verdict = judge(autoencoder, other, profile, lossy=True)
        assert verdict.answer == "inconclusive" and "lossy" in verdict.basis
    # Without lossy pictures among the others nobody knows how often they pass.
    blind = dataclasses.replace(
        profile, others=tuple(source for source in profile.others if source.history not in LOSSY)
    )
    assert judge(autoencoder, stored, blind, lossy=True).answer == "inconclusive"


@pytest.fixture(scope="module")
def untaught(demo):
    """Answers of a decoder that nobody calibrated, about a picture of its own and a photograph of 192²."""
    photograph = synthetic_photograph(77, 192)
    with torch.no_grad():
        own = quantise(demo[0].decode(demo[0].encode(photograph)))
    return [Tracer(demo[0], ()).trace(Picture.of(image)) for image in (own, photograph)]


def test_a_decoder_that_nobody_calibrated_answers_with_rates_of_other_decoders(untaught):
    yes, no = (traced.verdict for traced in untaught)
    assert (yes.answer, no.answer) == ("belonging", "non-belonging")
    for verdict in (yes, no):
        assert verdict.fpr_basis == "other decoders" and verdict.sentence.endswith(
            "; measured on 5 other decoders, not on this one)."
        )
    assert yes.fpr == default_profile().stated_fpr and "false-positive rate 1.4 % on average" in yes.sentence
    assert no.fnr == default_profile().stated_fnr and "false-negative rate 1.4 % on average" in no.sentence
    assert builtin_profile("no decoder") is None


def test_it_says_how_to_get_rates_of_its_own_and_how_long_that_takes_here(untaught):
    for traced in untaught:
        assert re.search(r"Calibrate it on 99 photographs or more .* take about \d+ min here\)", traced.notes[0])


def test_one_that_does_not_recognise_its_own_work_gives_no_answer(demo, untaught, monkeypatch):
    check = OwnCheck((-0.5, -0.5, -0.5, -0.5, 0.1, math.nan), 4)
    monkeypatch.setattr("latent_tracer.core.tracing.tracer.own_check", lambda *_: check)
    verdict = Tracer(demo[0], ()).trace(untaught[0].picture).verdict
    assert verdict.answer == "inconclusive" and verdict.fpr is None and verdict.fpr_basis == ""
    assert "recognises 4 of 6 pictures it made for this check, too few" in verdict.basis


def test_a_rough_decoders_own_grid_is_no_ground_to_doubt_its_own_work(demo, untaught, monkeypatch):
    """It is one for a picture with such a grid that scores less like the decoder's own than all made for the check."""
    own = untaught[0]
    score = own.verdict.score
    strong = dataclasses.replace(own.history, grid=0.6)
    monkeypatch.setattr("latent_tracer.core.tracing.tracer.History.of", lambda _: strong)

    def answer(weakest: float, grids: tuple[float, ...]) -> str:
        check = OwnCheck((weakest,) * 6, 6, grids=grids)
        monkeypatch.setattr("latent_tracer.core.tracing.tracer.own_check", lambda *_: check)
        return Tracer(demo[0], ()).trace(own.picture).verdict.answer

    assert answer(score + 0.01, (0.4, 0.5)) == "belonging"
    assert answer(score - 0.01, (0.4, 0.5)) == "inconclusive"
    assert answer(score + 0.01, (0.1, 0.2)) == "inconclusive"


@torch.no_grad()
def test_what_a_rough_decoder_sees_in_anothers_work_is_no_yes(demo):
    """The embedded ones are rougher than those of the default profile, whose threshold their pictures of each other
    pass."""
    other, photograph = load_autoencoder("demo-b"), synthetic_photograph(77, 192)
    for model, maker in ((demo[0], other), (other, demo[0])):
        picture = Picture.of(quantise(maker.decode(maker.encode(photograph))))
        verdict = Tracer(model, ()).trace(picture, checks_refusal=False).verdict
        assert verdict.answer != "belonging"
        own = Tracer(model, ()).trace(Picture.of(quantise(model.decode(model.encode(photograph))))).verdict
        assert own.answer == "belonging" and own.score < default_bound(default_profile(), -0.8) < -0.3


def test_the_check_is_made_once(demo, untaught, monkeypatch):
    monkeypatch.setattr(demo[0], "_decode", lambda _: pytest.fail("decoded again"))
    check = own_check(demo[0], default_profile())
    assert check.passed and check.weakest == max(check.scores)
    assert len(check.grids) == len(check.scores) and all(0 <= grid < 1 for grid in check.grids)


def test_sides_beyond_the_last_whole_cell_are_not_looked_at_and_said(demo, own):
    tracer = Tracer(*demo)
    whole, wider = (tracer.trace(Picture.of(image)) for image in (own, torch.nn.functional.pad(own, (0, 3, 0, 5))))
    assert wider.verdict.score == whole.verdict.score and whole.notes == ()
    assert wider.notes == (
        "3 columns and 5 rows of pixels, right and below, fill no latent cell and were not looked at",
    )


def test_pixels_that_are_no_picture_are_inconclusive_with_the_reason(demo, own):
    broken = own.clone()
    broken[0, 0, 3, 3] = math.nan
    traced = Tracer(*demo).trace(Picture.of(broken))
    assert traced.verdict.answer == "inconclusive" and "NaN" in traced.verdict.basis and traced.scored is None


def test_a_profile_made_on_another_grid_is_refused(demo, own):
    autoencoder, profile = demo
    other = dataclasses.replace(profile, grid=Grid(16))
    with pytest.raises(InvalidProfileError, match="calibrated on a grid of 16 pixels from 0 on.*has 8 from 0 on"):
        Tracer(autoencoder, other).trace(Picture.of(own))
    unknown = dataclasses.replace(profile, grid=None)
    assert Tracer(autoencoder, unknown).trace(Picture.of(own)).verdict.answer == "belonging"


def test_what_a_tracer_cannot_be_made_of_is_refused_at_once(demo):
    autoencoder, profile = demo
    with pytest.raises(InvalidSettingError, match="either a profile or a threshold"):
        Tracer(autoencoder, profile, threshold=0.1)
    for threshold in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(InvalidSettingError, match="threshold must be a positive number"):
            Tracer(autoencoder, threshold=threshold)
    with pytest.raises(InvalidProfileError, match="one profile for each condition"):
        Tracer(autoencoder, [profile, profile])
    with pytest.raises(InvalidProfileError, match="calibrated for demo-a"):
        Tracer(load_autoencoder("demo-b"), profile)
    with pytest.raises(InvalidProfileError, match="calibrate again"):
        Tracer(autoencoder, dataclasses.replace(profile, score_settings={"clearly_not": 0.5}))


def test_the_profile_that_ships_is_used_where_none_is_given(demo, own):
    given, shipped, none = Tracer(*demo), Tracer(demo[0]), Tracer(demo[0], ())
    assert shipped.is_builtin and not given.is_builtin and not none.is_builtin
    assert shipped.profiles == given.profiles == (demo[1],) and none.profiles == ()
    assert shipped.trace(Picture.of(own)).verdict == given.trace(Picture.of(own)).verdict


# --- first the verdict ------------------------------------------------------------------------------------------------


def test_an_answer_costs_the_passes_of_its_score_and_shows_what_they_made(demo, own):
    traced = Tracer(*demo).trace(Picture.of(own))
    assert traced.inversion is None and traced.profile == demo[1]
    assert (traced.passes.encoder, traced.passes.decoder, traced.passes.backward) == (2, 2, 0)
    assert traced.seconds > 0 and traced.peak_bytes > own.numel() * 4
    shown = traced.scored.shown
    with torch.no_grad():
        made = demo[0].decode(demo[0].encode(shown.original)).clamp(0, 1)
    assert torch.equal(shown.original, own[..., shown.top :, shown.left :][..., : 160 - 8, : 160 - 8])
    assert torch.allclose(shown.reconstruction, made, atol=1e-5)


def test_a_row_without_explanation_says_so_and_one_with_it_has_its_figures(demo, own):
    tracer = Tracer(*demo)
    traced = tracer.trace(Picture.of(own, "own.png"))
    row = tracer.row(traced).to_json("own.png", "demo-a")
    assert row["explained"] is False and (row["encoder_passes"], row["decoder_passes"]) == (2, 2)
    assert [row[name] for name in ("loss", "initial_loss", "crop", "quantiser", "solver")] == [None] * 5
    assert row["basis"] == traced.verdict.basis and row["peak_bytes"] == traced.peak_bytes
    explained = tracer.explained(traced, steps=3)
    after = tracer.row(explained).to_json("own.png", "demo-a")
    assert after["explained"] is True and after["loss"] <= after["initial_loss"]
    assert after["decoder_passes"] > row["decoder_passes"] and after["seconds"] >= row["seconds"]
    assert after["peak_bytes"] > row["peak_bytes"]
    # The answer is the same.
    asked = ("verdict", "score", "p_value", "basis", "stage", "fpr", "fnr", "condition", "calibration")
    assert [row[name] for name in asked] == [after[name] for name in asked]
    inversion = invert(demo[0], own, steps=3)
    assert after["loss"] == pytest.approx(float(inversion.loss[0]), rel=1e-6)
    assert tracer.explained(explained, steps=3) is explained
    assert explained.passes.backward == inversion.passes[0].backward > 0


@pytest.mark.parametrize("error", [MemoryError("no room"), RuntimeError("no kernel"), InvalidImageError("no reason.")])
def test_an_explanation_that_fails_leaves_the_answer_with_a_note(demo, own, monkeypatch, error):
    tracer = Tracer(*demo)
    traced = tracer.trace(Picture.of(own))

    def fail(step):
        raise error

    explained = tracer.explained(traced, 3, fail)
    assert explained.verdict is traced.verdict and explained.inversion is None
    assert len(explained.notes) == 1 and explained.notes[0].startswith("there is no explanation, the inversion failed:")
    assert explained.notes[0] in trace_report(explained)


def test_a_cancelled_explanation_is_no_failed_one(demo, own):
    tracer = Tracer(*demo)
    traced = tracer.trace(Picture.of(own))
    steps = []

    def cancel(step):
        steps.append(step.step)
        if len(steps) == 2:
            raise CancelledError

    with pytest.raises(CancelledError):
        tracer.explained(traced, 50, cancel)
    assert len(steps) == 2 and traced.verdict.answer == "belonging"


def test_every_pass_is_told_and_telling_cancels(demo, own):
    tracer = Tracer(*demo)
    told = []
    traced = tracer.trace(Picture.of(own), lambda done, expected: told.append((done, expected)))
    assert [done for done, _ in told] == [1, 2, 3, 4]
    assert all(done <= expected for done, expected in told)
    assert traced.verdict == tracer.trace(Picture.of(own)).verdict
    told.clear()

    def cancel(done, expected):
        told.append(done)
        if done == 2:
            raise CancelledError

    with pytest.raises(CancelledError):
        tracer.trace(Picture.of(own), cancel)
    assert told == [1, 2]


def test_a_threshold_asks_the_inverted_loss_and_tells_its_steps(demo, own):
    told = []
    tracer = Tracer(demo[0], threshold=0.5, steps=3)
    traced = tracer.trace(Picture.of(own), lambda done, expected: told.append((done, expected)))
    assert traced.verdict.answer == "belonging" and traced.verdict.fpr is None
    assert traced.verdict.score == float(traced.inversion.loss[0]) and tracer.row(traced).explained
    assert told and all(done <= expected == 3 for done, expected in told)
    assert Tracer(demo[0], threshold=1e-12, steps=3).trace(Picture.of(own)).verdict.answer == "non-belonging"

    def cancel(done, expected):
        raise CancelledError

    with pytest.raises(CancelledError):
        tracer.trace(Picture.of(own), cancel)


# --- what is shown ----------------------------------------------------------------------------------------------------


def red_corner(drawn: Image.Image, below: int, tiles: int) -> tuple[float, float]:
    """Where in the first of so many ``tiles`` under a card of height ``below`` the red is, as shares of its sides."""
    side = drawn.width // tiles
    pixels = torch.frombuffer(bytearray(drawn.convert("RGB").tobytes()), dtype=torch.uint8)
    pixels = pixels.reshape(drawn.height, drawn.width, 3).int()[below : below + side, :side]
    inked = (pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)
    rows, columns = inked.nonzero(as_tuple=True)
    assert len(rows) > 50
    return float(columns.float().mean()) / side, float(rows.float().mean()) / side


@pytest.mark.parametrize("steps", [None, 2], ids=["first reconstruction", "inversion"])
@pytest.mark.parametrize(
    ("turn", "right", "low"), [(1, False, False), (6, True, False), (3, True, True), (8, False, True)]
)
def test_a_turned_picture_is_judged_as_stored_and_shown_upright(demo, own, steps, turn, right, low):
    pixels = own.clone()
    pixels[..., 8:40, 8:40] = torch.tensor([1.0, 0.0, 0.0])[:, None, None]  # near the corner where storage begins
    picture = Picture.of(pixels)
    picture = dataclasses.replace(picture, facts=dataclasses.replace(picture.facts, orientation=turn))
    tracer = Tracer(*demo)
    traced = tracer.trace(picture)
    assert traced.verdict == tracer.trace(Picture.of(pixels)).verdict
    if steps is not None:
        traced = tracer.explained(traced, steps)
    cost = {} if steps is None else {"inversion": f"loss {traced.inversion.loss[0]:.3g}"}
    below = verdict_card(traced.verdict, traced.model, traced.profile, cost).height
    x, y = red_corner(trace_picture(traced), below, 3)
    assert (x > 0.5, y > 0.5) == (right, low)


def test_a_part_of_a_long_picture_is_named_as_a_part(demo):
    tall = quantise(torch.rand(1, 3, 2048, 328, generator=torch.Generator().manual_seed(1)))
    titles = [title for title, _ in _tiles(Tracer(*demo).trace(Picture.of(tall), checks_refusal=False))]
    assert titles[0].startswith("original, part at (") and titles[1] == "first reconstruction D(E(x))"


# --- several models ---------------------------------------------------------------------------------------------------


def test_the_candidate_that_made_it_is_named_by_what_each_tracer_says(demo, own):
    tracers = [Tracer(load_autoencoder(name), name=name) for name in ("demo-b", "demo-a")]
    told = []
    result = attribute(tracers, Picture.of(own), lambda done, expected: told.append((done, expected)))
    assert result.vae == "demo-a"
    alone = {tracer.name: tracer.trace(Picture.of(own), checks_refusal=False).verdict for tracer in tracers}
    assert {candidate.name: candidate.verdict for candidate in result.candidates} == alone
    assert [done for done, _ in told] == list(range(1, len(told) + 1)) and len(told) >= 8
    assert all(done <= expected for done, expected in told) and told[-1][0] == told[-1][1]
    with pytest.raises(InvalidSettingError, match="at least one candidate"):
        attribute([], Picture.of(own))


def test_a_candidate_without_a_profile_is_refused_by_name(demo, own):
    with pytest.raises(InvalidProfileError, match=r"No profile fits mine \(78edaa83\).*calibrate it first"):
        attribute([Tracer(demo[0], (), name="mine")], Picture.of(own))


def broken_copy(autoencoder: ModuleAutoencoder) -> ModuleAutoencoder:
    """The same model by its digest and shape, which decodes nothing but NaN."""
    return ModuleAutoencoder(
        "broken", autoencoder.module, autoencoder.encode, lambda latents: autoencoder.decode(latents) * math.nan
    )


def test_a_candidate_that_could_not_score_the_picture_is_not_ruled_out(demo, own, photograph):
    assert grid_of(demo[0]) == Grid(8)  # measured on the sound one: both have the same digest
    sound = Tracer(load_autoencoder("demo-b"), name="demo-b")
    broken = Tracer(broken_copy(demo[0]), demo[1], name="broken")
    refused = broken.trace(Picture.of(photograph)).verdict
    assert refused.answer == "inconclusive" and "NaN" in refused.basis and math.isnan(refused.score)
    result = attribute([sound, broken], Picture.of(photograph))
    assert result.vae is None and result.tied == ()
    # As nobody is recognised, every no is looked into.
    powers = {candidate.name: candidate.verdict.power for candidate in result.candidates}
    assert powers["demo-b"] is not None and powers["broken"] is None
    assert result.reason == "no candidate is certain, and not all can be ruled out"
    record = {candidate.name: candidate.record() for candidate in result.candidates}["broken"]
    assert record["score"] is None and record["standing"] is None and record["basis"] == refused.basis


@pytest.mark.parametrize(("pixels", "reason"), [(FLAT, "flat"), (SMALL, "at least 40")])
def test_nothing_to_judge_by_is_the_same_reason_from_every_candidate(demo, pixels, reason):
    tracers = [Tracer(load_autoencoder(name), name=name) for name in ("demo-a", "demo-b")]
    result = attribute(tracers, Picture.of(pixels))
    assert result.vae is None and result.reason == "no candidate is certain, and not all can be ruled out"
    bases = {candidate.verdict.basis for candidate in result.candidates}
    assert len(bases) == 1 and reason in bases.pop()
