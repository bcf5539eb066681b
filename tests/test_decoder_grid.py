"""The decoder's grid is measured on the decoder: right for packed latents and any ratio, or said to be none."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from latent_tracer.core import (
    ModuleAutoencoder,
    NoGridError,
    Picture,
    Tracer,
    builtin_profile,
    calibrate,
    load_autoencoder,
    locate_foreign,
    make_score,
    quantise,
    synthetic_photograph,
)
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.profiles import Grid
from latent_tracer.core.reports.plain import NO_TRACE_AT_ALL, plain_verdict
from latent_tracer.core.scores.any_grid import GridPhase, find_grid_phase
from latent_tracer.core.scores.decoder_grid import grid_of, measure_grid
from latent_tracer.core.verdicts.localisation import UNCALIBRATED_THRESHOLD
from torch import Tensor, nn

SIDE = 192


class Patches(nn.Module):
    """Linear patches of ``ratio`` pixels each way: their lowest ``kept`` cosine waves in either direction.

    ``phase``: where in the picture the first patch begins. Nothing else is kept, so its own pictures are its alone.
    """

    def __init__(self, ratio: int, kept: int, phase: int = 0) -> None:
        super().__init__()
        self.ratio, self.phase = ratio, phase
        positions = torch.arange(ratio) + 0.5
        waves = torch.stack([(math.pi * k * positions / ratio).cos() for k in range(kept)])
        waves = waves / waves.norm(dim=1, keepdim=True)
        basis = torch.einsum("iy,jx->ijyx", waves, waves).reshape(-1, 1, ratio, ratio)
        self.basis = nn.Parameter(torch.block_diag(*[basis.flatten(1)] * 3).reshape(-1, 3, ratio, ratio))

    def encode(self, images: Tensor) -> Tensor:
        return F.conv2d(images.roll((-self.phase, -self.phase), (-2, -1)) - 0.5, self.basis, stride=self.ratio)

    def decode(self, latents: Tensor) -> Tensor:
        made = F.conv_transpose2d(latents, self.basis, stride=self.ratio) + 0.5
        return made.roll((self.phase, self.phase), (-2, -1))


class Convolutions(nn.Module):
    """A decoder as real ones are: nearest-neighbour enlargements by ``steps``, each with a convolution after it."""

    def __init__(self, steps: tuple[int, ...], channels: int = 24) -> None:
        super().__init__()
        self.steps = steps
        ratio = math.prod(steps)
        patches = Patches(ratio, max(2, ratio // 4))
        self.patches = patches
        self.smoothing = nn.Parameter(self._binomial())

    @staticmethod
    def _binomial() -> Tensor:
        row = torch.tensor([0.02, 0.96, 0.02])
        return (row[:, None] * row).expand(3, 1, 3, 3).clone()

    def encode(self, images: Tensor) -> Tensor:
        return self.patches.encode(images)

    def decode(self, latents: Tensor) -> Tensor:
        # Overlap across cells, so that not all of a cell is its own.
        return F.conv2d(F.pad(self.patches.decode(latents), (1, 1, 1, 1), "replicate"), self.smoothing, groups=3)


class Blur(nn.Module):
    """Follows every shift: what it makes of a shifted picture is what it makes of the picture, shifted."""

    def __init__(self, ratio: int = 8, sigma: float = 1.5) -> None:
        super().__init__()
        self.ratio = ratio
        row = torch.exp(-0.5 * (torch.arange(-4, 5) / sigma) ** 2)
        self.kernel = nn.Parameter(((row[:, None] * row) / (row.sum() ** 2)).expand(3, 1, 9, 9).clone())

    def encode(self, images: Tensor) -> Tensor:
        padded = F.pad(images, (4, 4, 4, 4), "reflect")
        return F.pixel_unshuffle(F.conv2d(padded, self.kernel, groups=3), self.ratio)

    def decode(self, latents: Tensor) -> Tensor:
        return F.pixel_shuffle(latents, self.ratio)


class NoiseByPosition(Blur):
    """Adds a pattern that lies fast on the canvas, whatever is decoded."""

    def __init__(self) -> None:
        super().__init__(sigma=1.4)  # grids are measured once for equal weights

    def decode(self, latents: Tensor) -> Tensor:
        made = super().decode(latents)
        return made + 0.1 * torch.randn(made.shape, generator=torch.Generator().manual_seed(1))


class GlobalLayer(nn.Module):
    """A patch decoder whose pictures carry a pattern that hangs on the whole of the latent, far above its own grid."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = Patches(8, 2)
        self.strength = nn.Parameter(torch.tensor([0.3]))

    def encode(self, images: Tensor) -> Tensor:
        return self.patches.encode(images)

    def decode(self, latents: Tensor) -> Tensor:
        made = self.patches.decode(latents)
        seed = int(latents.double().abs().mean() * 1e7) % 2**31
        return made + self.strength * torch.randn(made.shape, generator=torch.Generator().manual_seed(seed))


def model(module: nn.Module, name: str = "") -> ModuleAutoencoder:
    return ModuleAutoencoder(name or type(module).__name__, module, module.encode, module.decode)


@torch.no_grad()
def made_by(autoencoder: ModuleAutoencoder, seed: int = 77, side: int = SIDE) -> Tensor:
    return quantise(autoencoder.decode(autoencoder.encode(synthetic_photograph(seed, side))))


# --- the period -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [4, 6, 8, 12, 16])
def test_the_period_of_an_ordinary_decoder_is_its_cell(ratio):
    linear, convolutional = Patches(ratio, max(2, ratio // 4)), Convolutions((ratio,))
    for module in (linear, convolutional):
        side = ratio * (128 // ratio)
        autoencoder = model(module)
        assert autoencoder.spatial_ratio == ratio
        assert measure_grid(autoencoder) == Grid(ratio)
        own = score_of(autoencoder, made_by(autoencoder, side=side))
        assert own < -0.3 < score_of(autoencoder, synthetic_photograph(78, side))


@pytest.mark.parametrize("ratio", [2, 3, 5, 7, 15, 16, 20, 28, 32])
def test_a_cell_is_measured_whatever_its_pixels(ratio):
    assert model(Patches(ratio, 2)).spatial_ratio == ratio


@pytest.mark.parametrize("ratio", [6, 12])
def test_a_decoder_of_six_or_twelve_pixels_a_cell_calibrates_and_answers(ratio):
    autoencoder = model(Patches(ratio, 3))
    profile = calibrate(autoencoder, make_score(), [synthetic_photograph(seed, 120) for seed in range(5)], fpr=0.2)
    assert profile.grid == Grid(ratio) and profile.image_sizes == (120, 120)
    tracer = Tracer(autoencoder, profile)
    own = tracer.trace(Picture.of(made_by(autoencoder, 90, 120)))
    assert own.verdict.answer == "belonging"
    assert tracer.trace(Picture.of(synthetic_photograph(91, 120))).verdict.answer != "belonging"
    assert tracer.explained(own, 2).inversion is not None
    # 128 is no multiple of either: the rest is not looked at.
    odd = tracer.trace(Picture.of(synthetic_photograph(91, 125)))
    assert f"{125 % ratio} columns and {125 % ratio} rows of pixels" in odd.notes[0]


def score_of(autoencoder: ModuleAutoencoder, image: Tensor) -> float:
    return make_score()(autoencoder, image).value


@pytest.mark.parametrize("name", ["demo-a", "demo-b"])
@pytest.mark.parametrize("cells", [2, 4])
def test_packed_latents_hide_no_grid(packed, name, cells):
    plain, wrapped = load_autoencoder(name), packed(name, cells)
    assert wrapped.spatial_ratio == 8 * cells
    assert measure_grid(wrapped) == measure_grid(plain) == Grid(8)


def test_pictures_of_a_packed_decoder_belong_as_those_of_the_plain_one(packed):
    plain, wrapped = load_autoencoder("demo-a"), packed("demo-a", 2)
    own, photograph = made_by(plain), synthetic_photograph(78, SIDE)
    for image in (own, photograph):
        # Packed, three cells of 16 pixels at the border are passed over instead of three of 8.
        assert score_of(wrapped, image) == pytest.approx(score_of(plain, image), abs=0.06)
    profile = builtin_profile(plain.fingerprint)
    verdicts = []
    for autoencoder in (plain, wrapped):
        tracer = Tracer(autoencoder, dataclasses.replace(profile, fingerprint=autoencoder.fingerprint))
        verdicts.append([tracer.trace(Picture.of(image)).verdict for image in (own, photograph)])
    assert [[verdict.answer for verdict in pair] for pair in verdicts] == [["belonging", "non-belonging"]] * 2


def test_a_packed_decoder_calibrates_with_the_grid_it_has(packed):
    wrapped = packed("demo-b", 2)
    profile = calibrate(wrapped, make_score(), [synthetic_photograph(seed, 96) for seed in range(5)], fpr=0.2)
    assert profile.grid == Grid(8)
    assert max(profile.belonging_scores) < min(profile.non_belonging_scores)
    tracer = Tracer(wrapped, profile)
    assert tracer.trace(Picture.of(made_by(wrapped, 90, 96))).verdict.answer == "belonging"
    assert tracer.trace(Picture.of(synthetic_photograph(91, 96))).verdict.answer != "belonging"


def test_the_map_of_a_packed_decoder_finds_what_it_did_not_make(packed):
    wrapped = packed("demo-a", 2)
    own = made_by(wrapped, 500, 224)
    truth = torch.zeros(224, 224, dtype=torch.bool)
    truth[64:160, 80:176] = True
    found = locate_foreign(wrapped, torch.where(truth, synthetic_photograph(500, 224), own))
    # As of the plain decoder: see test_localisation.py.
    assert float((found.mask & truth).sum() / (found.mask | truth).sum()) > 0.5
    assert 0.5 * truth.float().mean() < found.share < 2 * truth.float().mean()
    assert locate_foreign(wrapped, own).largest_excess < UNCALIBRATED_THRESHOLD


# --- the phase --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "phase"), [(8, 3), (8, 5), (4, 1)])
def test_cells_that_begin_beside_the_corner_are_found_and_scored_there(ratio, phase):
    autoencoder = model(Patches(ratio, max(2, ratio // 4), phase))
    grid = measure_grid(autoencoder)
    assert grid.period == ratio and grid.phase in (phase, 0)
    own = score_of(autoencoder, made_by(autoencoder, side=128))
    assert own < -0.3 < score_of(autoencoder, synthetic_photograph(78, 128))


def test_the_search_heeds_where_the_decoder_begins_its_cells(monkeypatch):
    monkeypatch.setattr("latent_tracer.core.scores.any_grid.grid_of", lambda _: Grid(4, 3))
    autoencoder = model(Patches(4, 2))
    # The best place is the corner; scored three pixels beyond its own corner, the picture has to begin one before.
    assert find_grid_phase(autoencoder, made_by(autoencoder, side=64), Passes()) == GridPhase(1, 1, False)


def test_the_search_for_a_cropped_pictures_grid_looks_at_one_period_only(packed):
    wrapped = packed("demo-a", 2)
    own = made_by(wrapped, 7, 160)
    passes = Passes()
    phase = find_grid_phase(wrapped, own[..., 5:, 3:], passes)
    assert phase == GridPhase(3, 5, False)
    assert passes.encoder == passes.decoder == 2 * 8 * 8


# --- no grid ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [Blur(), NoiseByPosition(), GlobalLayer()], ids=lambda module: type(module).__name__)
def test_a_decoder_without_a_grid_of_its_own_is_said_to_have_none_and_judges_nothing(module):
    autoencoder = model(module)
    with pytest.raises(NoGridError, match="No latent grid can be measured for .* as well at any other place"):
        measure_grid(autoencoder)
    for image in (made_by(autoencoder), synthetic_photograph(78, SIDE)):
        traced = Tracer(autoencoder, ()).trace(Picture.of(image))
        assert traced.verdict.answer == "inconclusive" and math.isnan(traced.verdict.score)
        assert traced.verdict.basis.startswith(f"No latent grid can be measured for {autoencoder.name}")
        assert traced.verdict.p_value is None and traced.scored is None
        plain = plain_verdict(traced.verdict, traced.model)
        assert plain.headline == f"Cannot tell whether {autoencoder.name} made it" and plain.advice == NO_TRACE_AT_ALL
    # What does not compare grids still calibrates and answers.
    profile = calibrate(autoencoder, make_score("reconstruction"), [synthetic_photograph(s, 64) for s in range(5)])
    assert profile.grid is None
    assert math.isfinite(Tracer(autoencoder, profile).trace(Picture.of(synthetic_photograph(9, 64))).verdict.score)


def test_weights_that_are_no_numbers_have_no_grid_and_the_reason_is_told():
    module = Patches(8, 2)
    with torch.no_grad():
        module.basis[0, 0, 0, 0] = math.nan
    autoencoder = model(module)
    with pytest.raises(NoGridError, match="No latent grid can be measured for Patches, which decodes to NaN"):
        measure_grid(autoencoder)
    verdict = Tracer(autoencoder, ()).trace(Picture.of(synthetic_photograph(78, 96))).verdict
    assert verdict.answer == "inconclusive" and "decodes to NaN or infinite values: load the VAE again" in verdict.basis


# --- once -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [2, 3])
def test_a_grid_is_measured_once_in_a_process_and_so_is_that_there_is_none(kept):
    """By the weights: another object with the same ones is not measured again."""
    made = 0

    def counted(module):
        def decode(latents):
            nonlocal made
            made += 1
            return module.decode(latents)

        return ModuleAutoencoder("counted", module, module.encode, decode)

    class Unlike(Patches if kept == 3 else Blur):
        """With a parameter that no other test has."""

        def __init__(self):
            super().__init__(*((8, 3) if kept == 3 else ()))
            self.unlike = nn.Parameter(torch.tensor([float(kept) + 0.123]))

    def asked(autoencoder):
        try:
            return grid_of(autoencoder)
        except NoGridError as error:
            return str(error)

    first, second = counted(Unlike()), counted(Unlike())
    assert first.fingerprint == second.fingerprint and first.spatial_ratio == second.spatial_ratio == 8
    made = 0
    found = asked(first)
    assert 0 < made <= 8
    made = 0
    assert asked(first) == asked(second) == found and made == 0
    assert found == Grid(8) if kept == 3 else "No latent grid" in found
