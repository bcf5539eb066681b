"""Alterations of pictures: repeatable, still 8-bit pictures, and what their names say."""

import io
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from latent_tracer.core import CONDITIONS, InvalidImageError, InvalidSettingError, alter, synthetic_photograph
from latent_tracer.core.images.quantiser import is_eight_bit
from latent_tracer.core.images.tensors import to_picture, to_tensor
from PIL import Image

PICTURE = synthetic_photograph(1, 48)[..., :40]
SIZES = {"resize-0.75": (36, 30), "resize-0.5": (24, 20), "off-grid-crop": (43, 37)}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_repeats_itself_and_leaves_its_input_alone(condition):
    image = PICTURE.clone()
    assert torch.equal(alter(image, condition), alter(image, condition))
    assert torch.equal(image, PICTURE)


@pytest.mark.parametrize("condition", CONDITIONS)
@given(seed=st.integers(0, 1000), height=st.integers(8, 40), width=st.integers(8, 40))
def test_what_comes_out_is_an_eight_bit_picture_in_range(condition, seed, height, width):
    noise = torch.randint(0, 256, (1, 3, height, width), generator=torch.Generator().manual_seed(seed)) / 255
    altered = alter(noise, condition)
    assert altered.shape[:2] == (1, 3) and altered.dtype == torch.float32
    assert bool(is_eight_bit(altered, 1e-4))
    assert altered.min() >= 0 and altered.max() <= 1


@pytest.mark.parametrize("condition", CONDITIONS)
def test_only_resizing_and_cropping_change_the_size(condition):
    assert tuple(alter(PICTURE, condition).shape[-2:]) == SIZES.get(condition, (48, 40))


@pytest.mark.parametrize("condition", [condition for condition in CONDITIONS if condition != "clean"])
def test_every_condition_but_clean_changes_the_picture_a_little(condition):
    altered = alter(PICTURE, condition)
    if altered.shape == PICTURE.shape:
        assert not torch.equal(altered, PICTURE)
    assert float(altered.mean()) == pytest.approx(float(PICTURE.mean()), rel=0.12)


def test_flip_crop_brightness_and_noise_do_what_they_say():
    assert torch.equal(alter(PICTURE, "clean"), PICTURE)
    assert torch.equal(alter(PICTURE, "flip"), PICTURE.flip(-1))
    assert torch.equal(alter(PICTURE, "off-grid-crop"), PICTURE[..., 5:, 3:])
    for condition, factor in (("brighter-10", 1.1), ("darker-10", 0.9)):
        expected = (factor * PICTURE).clamp(0, 1)
        assert float((alter(PICTURE, condition) - expected).abs().max()) <= 1.01 / 255
    middle = torch.full((1, 3, 64, 64), 128 / 255)
    assert float((alter(middle, "noise-0.01") - middle).std()) == pytest.approx(0.01, rel=0.05)


def test_jpeg_is_what_pillow_stores_and_hurts_more_at_lower_quality():
    buffer = io.BytesIO()
    to_picture(PICTURE).save(buffer, "JPEG", quality=90)
    assert torch.equal(alter(PICTURE, "jpeg-90"), to_tensor(Image.open(buffer).convert("RGB")))
    errors = [float((alter(PICTURE, f"jpeg-{q}") - PICTURE).square().mean()) for q in (95, 90, 75)]
    assert errors == sorted(errors) and errors[0] > 0


def test_an_unknown_condition_is_named_with_the_known_ones():
    with pytest.raises(InvalidSettingError, match="'sepia'.*clean, jpeg-95"):
        alter(PICTURE, "sepia")


@pytest.mark.parametrize("condition", ["clean", "jpeg-90"])
def test_only_one_finite_image_can_be_altered(condition):
    broken = PICTURE.clone()
    broken[0, 0, 0, 0] = math.nan
    for wrong in (broken, PICTURE[0], PICTURE.repeat(2, 1, 1, 1), PICTURE[:, :1]):
        with pytest.raises(InvalidImageError, match="one finite image"):
            alter(wrong, condition)
