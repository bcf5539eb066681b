"""Large pictures: windows stand for the whole, the same for the same picture, in passes and memory that do not grow."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from latent_tracer.core import (
    ModuleAutoencoder,
    NotEnoughMemoryError,
    Picture,
    Tracer,
    builtin_profile,
    load_autoencoder,
    locate_foreign,
    make_score,
    quantise,
    synthetic_photograph,
    to_picture,
)
from latent_tracer.core.files.folder import list_folder
from latent_tracer.core.inversion.memory import PeakMemory
from latent_tracer.core.reports.folder_trace import trace_files
from latent_tracer.core.scores import windows as module
from latent_tracer.core.scores.decoder_grid import grid_of
from latent_tracer.core.scores.double_reconstruction import DoubleReconstruction
from latent_tracer.core.scores.grid_contrast import GridContrast
from latent_tracer.core.scores.residuals import least_side
from latent_tracer.core.scores.windows import SIDE, SMALLER_SIDES, WHOLE_PIXELS, WINDOWS, windows_of, within_memory
from latent_tracer.core.verdicts.localisation import REFERENCE_QUANTILE, _map, threshold_of

CELLS = (4, 6, 8, 12, 16, 32)


@pytest.fixture(scope="module")
def demo():
    autoencoder = load_autoencoder("demo-a")
    return autoencoder, builtin_profile(autoencoder.fingerprint)


@pytest.fixture(scope="module")
@torch.no_grad()
def own(demo):
    return quantise(demo[0].decode(demo[0].encode(synthetic_photograph(77, 192))))


def textured(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return quantise(torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed)))


# --- which windows ----------------------------------------------------------------------------------------------------


def test_pictures_up_to_the_limit_are_looked_at_whole_and_larger_ones_at_a_fixed_number_of_pixels():
    assert WHOLE_PIXELS == 640_000
    (whole,) = windows_of(textured(800, 800), 8)
    assert (whole.top, whole.left, whole.height, whole.width) == (0, 0, 800, 800)
    found = windows_of(textured(1600, 1608), 8)
    assert len(found) == WINDOWS and {(one.height, one.width) for one in found} == {(SIDE, SIDE)}
    # Long windows of a narrow picture are more, so that they hold as many pixels.
    narrow = windows_of(textured(9600, 80), 8)
    assert {(one.height, one.width) for one in narrow} == {(SIDE, 80)} and len(narrow) == 4 * WINDOWS


@hypothesis_settings(max_examples=60)
@given(
    height=st.integers(8, 700),
    width=st.integers(8, 700),
    cell=st.sampled_from(CELLS),
    side=st.sampled_from([*SMALLER_SIDES, SIDE]),
    seed=st.integers(0, 3),
)
def test_windows_lie_on_whole_cells_and_jpeg_blocks_inside_the_picture_and_apart(height, width, cell, side, seed):
    image = textured(height, width, seed)
    found = windows_of(image, cell, side)
    step = math.lcm(cell, 8)
    assert found
    for one in found:
        assert one.top % step == one.left % step == 0
        assert one.top + one.height <= height and one.left + one.width <= width
        assert one.height % cell == 0 or height < cell
        assert one.width % cell == 0 or width < cell
        # No smaller than a score can compare grids in, unless the picture is.
        assert one.height >= min(least_side(cell), height // cell * cell)
        assert one.width >= min(least_side(cell), width // cell * cell)
        assert one.cut(image).shape == (1, 3, one.height, one.width)
    for one, other in combinations(found, 2):
        apart = one.top + one.height <= other.top or other.top + other.height <= one.top
        assert apart or one.left + one.width <= other.left or other.left + other.width <= one.left
    assert windows_of(image.clone(), cell, side) == found


def test_windows_with_most_detail_come_first_and_of_equals_the_upper_left_one():
    image = torch.full((1, 3, 480, 640), 0.5)
    image[..., 160:320, 320:480] = textured(160, 160)
    image[..., 320:480, 0:160] = 0.5 + 0.2 * (textured(160, 160, 1) - 0.5)
    order = [(one.top, one.left) for one in windows_of(image, 8, 160)]
    assert order[:3] == [(160, 320), (320, 0), (0, 0)]
    assert order[2:] == sorted(order[2:])


def test_rounding_noise_is_no_detail():
    image = torch.full((1, 3, 160, 320), 128 / 255)
    image[..., :160] = (128 + (textured(160, 160) > 0.5).float() * 0.5) / 255
    image[..., 160:] += 0.1 * torch.linspace(0, 50, 160).sin()
    assert (windows_of(image, 8, 160)[0].left, len(windows_of(image, 8, 160))) == (160, 2)


# --- cost -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_limit(monkeypatch):
    """The road of a large picture with a limit of a hundredth: what must not grow is the same."""
    monkeypatch.setattr(module, "WHOLE_PIXELS", 100 * 100)
    monkeypatch.setattr(module, "SIDE", 80)


@pytest.mark.parametrize(
    "score", [GridContrast(clearly_belonging=0.0, clearly_belonging_jpeg=0.0, clearly_not=0.0), DoubleReconstruction()]
)
def test_above_the_limit_passes_and_peak_memory_do_not_grow(demo, small_limit, score):
    grid_of(demo[0])
    cost = []
    for side in (256, 512, 1024):
        image = textured(side, side)
        with PeakMemory(demo[0].device) as memory:
            passes = score(demo[0], image).passes
        cost.append(((passes.encoder, passes.decoder), memory.peak))
    assert len({passes for passes, _ in cost}) == 1
    assert cost[0][0] == (2 * WINDOWS, 2 * WINDOWS)
    # Choosing the windows looks at a sample of each picture, never at a copy of it.
    peaks = [peak for _, peak in cost]
    assert max(peaks) < 1.2 * min(peaks)


def test_a_windowed_answer_says_so_and_where_its_reconstruction_lies(demo, own, small_limit):
    autoencoder, profile = demo
    image = own.repeat(1, 1, 2, 2)
    traced = Tracer(autoencoder, profile).trace(Picture.of(image))
    assert traced.verdict.stage == f"grid contrast, one look at {WINDOWS} windows of 80×80"
    assert traced.verdict.score < -0.5
    assert (traced.passes.encoder, traced.passes.decoder) == (2 * WINDOWS, 2 * WINDOWS)
    shown = traced.scored.shown
    height, width = shown.original.shape[-2:]
    assert torch.equal(shown.original, image[..., shown.top : shown.top + height, shown.left : shown.left + width])


@pytest.mark.parametrize("own_one", [True, False])
def test_windows_and_the_whole_tell_the_same(demo, own, own_one):
    image = own if own_one else quantise(synthetic_photograph(78, 192))
    score = make_score()
    whole, parts = score(demo[0], image).value, score(demo[0], image, 80).value
    assert abs(whole - parts) < 0.15
    assert (whole < -0.3) == (parts < -0.3) == own_one


# --- where memory is short --------------------------------------------------------------------------------------------


def limited(autoencoder: ModuleAutoencoder, pixels: int, error: type[BaseException] = torch.OutOfMemoryError):
    """The same model on a device that has room for so many pixels at once; ``seen`` are the sides it was given."""
    seen: list[tuple[int, int]] = []
    room = math.inf

    def encode(images):
        seen.append(tuple(images.shape[-2:]))
        if images.shape[-2] * images.shape[-1] > room:
            raise error("CUDA out of memory. Tried to allocate 9 TiB.")
        return autoencoder.encode(images)

    made = ModuleAutoencoder(autoencoder.name, autoencoder.module, encode, autoencoder.decode)
    assert made.fingerprint == autoencoder.fingerprint and made.spatial_ratio == autoencoder.spatial_ratio
    room = pixels
    seen.clear()
    made.seen = seen
    return made


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_where_the_whole_does_not_fit_windows_give_the_answer_and_a_note(demo, own, error):
    autoencoder, profile = demo
    small = limited(autoencoder, 162 * 162, error)
    traced = Tracer(small, profile).trace(Picture.of(own))
    assert traced.verdict.answer == "belonging"
    assert traced.notes == ("memory is tight: windows of 160 pixels stand for the picture",)
    assert "1 windows of 160×160" in traced.verdict.stage
    assert Tracer(autoencoder, profile).trace(Picture.of(own)).notes == ()


def test_a_folder_of_ten_pictures_has_ten_rows_with_answers(demo, own, tmp_path):
    autoencoder, profile = demo
    for number in range(10):
        to_picture(own[..., : 160 + 8 * (number % 3), :]).save(tmp_path / f"{number}.png")
    grid_of(autoencoder)
    tracer = Tracer(limited(autoencoder, 80 * 80), profile, known_as=("demo-a",))
    outcomes = list(trace_files(list_folder(tmp_path), tracer.trace, tracer))
    assert len(outcomes) == 10
    for outcome in outcomes:
        assert outcome.row.verdict is not None and not outcome.row.error
        assert "memory is tight: windows of 80 pixels stand for the picture" in outcome.row.notes


def test_below_the_smallest_window_there_is_one_sentence_with_numbers(demo, own, tmp_path):
    autoencoder, profile = demo
    grid_of(autoencoder)
    tracer = Tracer(limited(autoencoder, 70 * 70), profile)
    with pytest.raises(
        NotEnoughMemoryError, match=r"Judging 192×192 pixels with demo-a ran out of memory even in"
    ) as e:
        tracer.trace(Picture.of(own))
    assert str(e.value).count(".") <= 2 and str(e.value).endswith(".")
    to_picture(own).save(tmp_path / "one.png")
    (outcome,) = trace_files(list_folder(tmp_path), tracer.trace, tracer)
    assert outcome.row.verdict is None and "192×192" in outcome.row.error and outcome.row.thumbnail
    # The smallest windows were tried.
    assert min(max(sides) for sides in tracer.autoencoder.seen) == 80 - 8


def test_a_grid_that_memory_does_not_suffice_to_measure_is_one_sentence(linear):
    autoencoder = limited(linear([3.1, 2.2, 1.7]), 150 * 150)  # like no other, for grids are measured once
    with pytest.raises(NotEnoughMemoryError, match="latent grid of LinearPatches on 160×160 pixels ran out of memory"):
        grid_of(autoencoder)
    # It may be measured when there is memory again.
    assert grid_of(linear([3.1, 2.2, 1.7])).period == 8


def test_memory_that_runs_out_is_told_from_other_failures():
    tried = []

    def run(side):
        tried.append(side)
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        within_memory(run, lambda: "sentence")
    assert tried == [None]

    def short(side):
        tried.append(side)
        if side != 112:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return "done"

    tried.clear()
    assert within_memory(short, lambda: "sentence") == ("done", 112)
    assert tried == [None, 224, 160, 112]
    with pytest.raises(NotEnoughMemoryError, match="^sentence$"):
        within_memory(lambda side: short(7), lambda: "sentence")


# --- the map of foreign regions ---------------------------------------------------------------------------------------


def with_patch(autoencoder: ModuleAutoencoder, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(4)
    cells = (1, autoencoder.latent_channels, height // 8, width // 8)
    with torch.no_grad():
        image = quantise(autoencoder.decode(0.2 * torch.randn(cells, generator=generator)))
    image[..., 40:120, 60:150] = textured(80, 90)[..., : max(0, min(90, width - 60))]
    return image


@pytest.mark.parametrize("side", [40, 64, 100])
@pytest.mark.parametrize("shape", [(192, 192), (136, 248), (168, 64)])
def test_a_map_in_tiles_is_that_of_the_whole_where_no_layer_is_global(linear, shape, side):
    autoencoder = linear([3.0, 2.5, 2.0, 1.5, 1.2, 1.0])
    image = with_patch(autoencoder, *shape)
    whole, tiled = (_map(autoencoder, image, at, REFERENCE_QUANTILE, *threshold_of(None)) for at in (None, side))
    for name in ("contrast", "excess"):
        first, second = getattr(whole, name), getattr(tiled, name)
        assert first.shape == shape and torch.allclose(first, second, rtol=1e-3, atol=1e-3)
    assert torch.equal(whole.visible, tiled.visible)
    assert float((whole.mask != tiled.mask).float().mean()) < 0.01
    assert whole.mask.any() or shape[1] == 64  # which holds next to nothing of the patch
    # Tiles' compared parts are whole cells, and the last ones take what is left.
    tiles = math.prod(max(1, (length - 24) // (side // 8 * 8)) for length in shape)
    assert (tiled.passes.encoder, whole.passes.encoder) == (4 * tiles, 4)


def test_a_map_that_does_not_fit_as_a_whole_is_made_of_tiles(linear):
    autoencoder = linear([3.0, 2.5, 2.0, 1.5, 1.2, 1.0])
    image = with_patch(autoencoder, 248, 248)
    grid_of(autoencoder)
    small = limited(autoencoder, 200 * 200)
    whole, tiled = (locate_foreign(one, image) for one in (autoencoder, small))
    assert torch.allclose(whole.excess, tiled.excess, rtol=1e-3, atol=1e-3)
    # Two tiles of 112 pixels each way, and what is cut around them.
    assert small.seen[0] == (240, 240) and small.seen[-4:] == [(128, 128)] * 4
    with pytest.raises(NotEnoughMemoryError, match="Mapping 248×248 pixels with LinearPatches"):
        locate_foreign(limited(autoencoder, 1000), image)


def test_the_whole_answer_takes_bounded_memory(demo, small_limit):
    """Not only its score: four times the pixels, a fifth more memory at most."""
    tracer = Tracer(*demo)
    grid_of(demo[0])
    peaks = [tracer.trace(Picture.of(textured(side, side))).peak_bytes for side in (1104, 2208)]
    assert peaks[1] < 1.2 * peaks[0]
