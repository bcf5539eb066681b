"""Two decoders held against each other on the same blocks of one picture."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from latent_tracer.core import Tracer, builtin_profile, load_autoencoder, quantise, synthetic_photograph
from latent_tracer.core.files.picture import Picture
from latent_tracer.core.images.part import Part
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.profiles.grid import Grid
from latent_tracer.core.scores import make_score
from latent_tracer.core.scores.contrast_map import ContrastMap, contrast_map
from latent_tracer.core.tracing.attribute import attribute
from latent_tracer.core.verdicts.attribution import PAIR_MARGIN, decide
from latent_tracer.core.verdicts.paired import paired
from scipy import stats

BLOCKS = 32


def map_of(contrast, weight=None, grid=None):
    weight = torch.ones_like(contrast) if weight is None else weight
    window = Part(0, 0, *(8 * side + 24 for side in contrast.shape))
    return ContrastMap(((contrast, weight),), (window,), 8, grid or Grid(8, 0), Passes())


@pytest.fixture
def noise():
    return torch.randn(BLOCKS, BLOCKS, generator=torch.Generator().manual_seed(1))


def test_pairs_are_students_test_on_group_means(noise):
    found = paired(map_of(noise), map_of(torch.zeros_like(noise)))
    groups = noise.reshape(8, 4, 8, 4).mean((1, 3)).flatten().numpy()
    assert found is not None and found.groups == 64
    assert found.difference == pytest.approx(groups.mean(), abs=1e-6)
    assert found.p_value == pytest.approx(stats.ttest_1samp(groups, 0).pvalue, rel=1e-4)


def test_what_is_common_to_both_cancels(noise):
    lower = paired(map_of(noise - 0.2), map_of(noise + 0.01 * noise.flip(0)))
    assert lower is not None and lower.difference == pytest.approx(-0.2, abs=0.01) and lower.p_value < 1e-12
    higher = paired(map_of(noise + 0.01 * noise.flip(0)), map_of(noise - 0.2))
    assert higher is not None and higher.difference == pytest.approx(-lower.difference)
    same = paired(map_of(noise), map_of(noise))
    assert same is not None and (same.difference, same.p_value) == (0, 1)


def test_flat_parts_have_no_vote(noise):
    weight = torch.ones_like(noise)
    weight[: BLOCKS // 2] = 0.01
    shifted = noise.clone()
    shifted[: BLOCKS // 2] -= 9
    found = paired(map_of(shifted, weight), map_of(noise.flip(1), weight))
    assert found is not None and found.groups == 32 and abs(found.difference) < 1


@pytest.mark.parametrize(
    "other",
    [
        map_of(torch.zeros(BLOCKS, BLOCKS), grid=Grid(8, 4)),
        map_of(torch.zeros(BLOCKS, 16)),
        map_of(torch.zeros(BLOCKS, BLOCKS), torch.zeros(BLOCKS, BLOCKS)),
        dataclasses.replace(map_of(torch.zeros(BLOCKS, BLOCKS)), cell=16),
        dataclasses.replace(map_of(torch.zeros(BLOCKS, BLOCKS)), parts=()),
    ],
    ids=["grid", "shape", "flat", "cell", "windows"],
)
def test_what_cannot_be_compared_is_not(noise, other):
    assert paired(map_of(noise), other) is None


def test_few_groups_decide_nothing():
    assert paired(map_of(torch.zeros(8, 12)), map_of(torch.ones(8, 12))) is None


@pytest.fixture(scope="module")
def demo():
    return load_autoencoder("demo-a"), load_autoencoder("demo-b")


@pytest.fixture(scope="module")
@torch.no_grad()
def own(demo):
    photograph = synthetic_photograph(77, 192)
    return quantise(demo[0].decode(demo[0].encode(photograph)))


def test_the_map_shows_the_trace_where_the_score_does(demo, own):
    found = contrast_map(demo[0], own)
    contrast, weight = found.parts[0]
    score = make_score("grid-contrast")(demo[0], own)
    assert contrast.shape == weight.shape == (21, 21) and found.passes == Passes(4, 4)
    assert float((contrast * weight).sum() / weight.sum()) == pytest.approx(score.value, abs=0.05)
    assert score.value < -0.4


def test_a_flat_picture_has_an_empty_map(demo):
    found = contrast_map(demo[0], torch.full((1, 3, 96, 96), 0.5))
    assert all(weight.numel() == 0 for _, weight in found.parts)
    assert paired(found, found) is None


@pytest.fixture(scope="module")
def judged(demo, own):
    """The maker and a stranger, who is made to accept the picture as well."""
    profile = builtin_profile(demo[0].fingerprint)
    maker = Tracer(demo[0], profile, name="maker").judged(Picture.of(own), checks_refusal=False)
    stranger = dataclasses.replace(maker, name="stranger", contrasts=contrast_map(demo[1], own))
    return maker, stranger


def test_two_that_accept_are_told_apart_on_the_pixels(judged):
    for candidates in (judged, judged[::-1]):
        result = decide(candidates)
        assert result.vae == "maker" and not result.tied and "pairs of blocks, p = " in result.reason


def test_without_a_difference_they_tie(judged):
    twin = dataclasses.replace(judged[0], name="twin")
    unknown = dataclasses.replace(judged[1], contrasts=None)
    for other in (twin, unknown):
        result = decide((judged[0], other))
        assert result.vae is None and set(result.tied) == {"maker", other.name}


def test_a_small_difference_is_none_however_sure(judged):
    """A decoder that is better at everything shows a little more of a grid in its relative's pictures, too."""
    maker = judged[0]
    parts = tuple((contrast + PAIR_MARGIN * 0.9, weight) for contrast, weight in maker.contrasts.parts)
    near = dataclasses.replace(judged[1], contrasts=dataclasses.replace(maker.contrasts, parts=parts))
    assert decide((maker, near)).vae is None
    parts = tuple((contrast + PAIR_MARGIN * 1.1, weight) for contrast, weight in maker.contrasts.parts)
    far = dataclasses.replace(near, contrasts=dataclasses.replace(maker.contrasts, parts=parts))
    assert decide((far, maker)).vae == "maker"


def test_one_that_cannot_be_ruled_out_is_a_rival_too(judged):
    doubtful = dataclasses.replace(judged[1].verdict, answer="inconclusive")
    beaten = dataclasses.replace(judged[1], verdict=doubtful)
    assert decide((judged[0], beaten)).vae == "maker"
    unknown = decide((judged[0], dataclasses.replace(beaten, contrasts=None)))
    assert unknown.vae is None and unknown.tied
    # It explains the picture best, but does not accept it.
    doubtful_maker = dataclasses.replace(judged[0], verdict=doubtful)
    result = decide((doubtful_maker, judged[1]))
    assert result.vae is None and set(result.tied) == {"maker", "stranger"}


def test_attribution_asks_for_no_map_of_a_decoder_that_says_no(demo, own):
    tracers = [Tracer(one) for one in demo]
    result = attribute(tracers, Picture.of(own))
    assert result.vae == tracers[0].name and [t.judged(Picture.of(own), checks_refusal=False).contrasts is None
                                              for t in tracers] == [False, True]  # fmt: skip
