"""What JPEG left in the pixels, against files whose quality is known."""

import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from latent_tracer.core import load_autoencoder, quantise, synthetic_photograph, to_picture, to_tensor
from latent_tracer.core.images.jpeg import QUALITY_50, jpeg_quality, libjpeg_steps
from PIL import Image


def stored(image, **settings):
    buffer = io.BytesIO()
    to_picture(image).save(buffer, "JPEG", **settings)
    return to_tensor(Image.open(buffer).convert("RGB"))


@settings(max_examples=25, deadline=None)
@given(quality=st.integers(3, 94), seed=st.integers(0, 999), subsampling=st.sampled_from([0, 2]))
def test_the_quality_is_read_off_the_pixels(quality, seed, subsampling):
    image = stored(synthetic_photograph(seed, 160), quality=quality, subsampling=subsampling)
    estimate = jpeg_quality(image)
    # Some neighbouring qualities share their low-frequency steps.
    assert estimate is not None and abs(estimate - quality) <= 2


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999))
def test_a_picture_that_was_none_shows_none(seed):
    assert jpeg_quality(quantise(synthetic_photograph(seed, 160))) is None


def test_decoded_pictures_show_none():
    for name in ("demo-a", "demo-b"):
        decoder = load_autoencoder(name)
        for seed in range(4):
            with torch.no_grad():
                image = quantise(decoder.decode(decoder.encode(synthetic_photograph(seed, 128))), "floor")
            assert jpeg_quality(image) is None


def test_of_several_files_the_roughest_speaks():
    image = stored(stored(synthetic_photograph(5, 192), quality=20), quality=92, subsampling=0)
    assert abs(jpeg_quality(image) - 20) <= 2


def test_tables_that_are_not_libjpegs_are_read_frequency_by_frequency():
    # Twice as rough in one direction as libjpeg would be at any quality.
    steps = [max(1, (40 if i % 8 > i // 8 else 12) + 3 * (i % 8) + 2 * (i // 8)) for i in range(64)]
    estimate = jpeg_quality(stored(synthetic_photograph(6, 256), qtables=[steps, steps], subsampling=0))
    assert estimate is not None and 10 <= estimate <= 75


@pytest.mark.parametrize("shift", [(0, 3), (5, 0), (4, 4)])
def test_blocks_that_begin_elsewhere_are_not_looked_for(shift):
    image = stored(synthetic_photograph(7, 192), quality=40)
    assert jpeg_quality(image[..., shift[0] :, shift[1] :]) is None


@pytest.mark.parametrize("image", [torch.zeros(1, 3, 64, 64), torch.full((1, 3, 64, 64), 0.4), torch.rand(1, 3, 7, 5)])
def test_pictures_without_a_telling_block_show_none(image):
    assert jpeg_quality(image) is None


def test_steps_are_those_that_pillow_writes():
    for quality in (1, 10, 35, 50, 75, 92):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
        # Pillow gives tables row by row.
        table = Image.open(buffer).quantization[0]
        assert libjpeg_steps(quality) == tuple(table[8 * row + column] for row, column in QUALITY_50)
