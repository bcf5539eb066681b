"""Pictures from files and tensors: what is read exactly, what is noted, what is refused."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from latent_tracer.core import InvalidImageError, check_images, crop_to_grid, load_image, to_picture, to_tensor
from latent_tracer.core.images.tensors import check_each, whole_cells
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 4), dtype=np.uint8)


def stored_pixels(loaded) -> np.ndarray:
    """Back to ``[H,W,3]`` 8-bit integers, exactly."""
    scaled = loaded.pixels[0].permute(1, 2, 0) * 255
    assert (scaled - scaled.round()).abs().max() < 1e-4
    return scaled.round().to(torch.uint8).numpy()


@pytest.mark.parametrize("extension", ["png", "webp", "tiff", "bmp"])
def test_lossless_pictures_are_read_exactly(tmp_path, extension):
    path = tmp_path / f"picture.{extension}"
    Image.fromarray(PIXELS[..., :3]).save(path, lossless=True)
    loaded = load_image(path)

    assert loaded.pixels.shape == (1, 3, 6, 9)
    assert loaded.pixels.dtype == torch.float32
    assert (stored_pixels(loaded) == PIXELS[..., :3]).all()
    assert loaded.notes == ()
    assert load_image(str(path)).path == path


def test_alpha_is_dropped_not_blended_and_noted(tmp_path):
    path = tmp_path / "rgba.png"
    Image.fromarray(PIXELS).save(path)
    loaded = load_image(path)

    assert (stored_pixels(loaded) == PIXELS[..., :3]).all()
    assert "transparency was dropped" in loaded.notes[0]


def test_a_palette_with_transparency_gives_its_colours_and_a_note(tmp_path):
    path = tmp_path / "palette.png"
    picture = Image.fromarray((PIXELS[..., 0] % 3).astype(np.uint8), "P")
    picture.putpalette([10, 20, 30, 200, 100, 50, 7, 8, 9])
    picture.save(path, transparency=1)
    loaded = load_image(path)

    palette = np.array([[10, 20, 30], [200, 100, 50], [7, 8, 9]], dtype=np.uint8)
    assert (stored_pixels(loaded) == palette[PIXELS[..., 0] % 3]).all()
    assert "transparency was dropped" in loaded.notes[0]


def test_greyscale_becomes_three_equal_channels(tmp_path):
    path = tmp_path / "grey.png"
    Image.fromarray(PIXELS[..., 0]).save(path)
    loaded = load_image(path)

    assert (stored_pixels(loaded) == PIXELS[..., :1]).all()
    assert loaded.notes == ()


def test_only_the_first_frame_of_an_animation_is_read(tmp_path):
    path = tmp_path / "animation.webp"
    frames = [Image.fromarray(PIXELS[..., i : i + 3]) for i in (0, 1)]
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    loaded = load_image(path)

    assert (stored_pixels(loaded) == PIXELS[..., :3]).all()
    assert "only the first frame" in loaded.notes[0]


def test_a_truncated_picture_is_refused(tmp_path):
    for extension in ("png", "jpg", "webp"):
        path = tmp_path / f"half.{extension}"
        Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(InvalidImageError, match=rf"half\.{extension} "):
            load_image(path)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")
@given(data=st.data())
def test_damaged_files_raise_nothing_but_invalid_image(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    source, damaged = folder / "whole.tiff", folder / "damaged"
    if not source.exists():
        Image.fromarray(PIXELS[..., :3]).save(source)
    content = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        assert load_image(damaged).pixels.shape[1] == 3
    except InvalidImageError as error:
        assert str(damaged) in str(error)


def test_files_that_are_no_pictures_are_refused(tmp_path):
    text, empty = tmp_path / "notes.png", tmp_path / "empty.png"
    text.write_text("not a picture")
    empty.write_bytes(b"")
    for path in (text, empty, tmp_path):
        with pytest.raises(InvalidImageError, match=f"{path.name} is not a readable picture: give a PNG"):
            load_image(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidImageError, match=r"nowhere\.png does not exist"):
        load_image(tmp_path / "nowhere.png")


def test_an_enormous_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.fromarray(PIXELS[..., :3]).save(path)
    monkeypatch.setattr("latent_tracer.core.files.decoding.MAX_PIXELS", 50)
    with pytest.raises(InvalidImageError, match="9×6 pixels, more than the 50"):
        load_image(path)


def test_a_few_bytes_that_claim_many_megapixels_are_refused(tmp_path):
    """A GIF of 10 KB takes a gigabyte when it claims 78 megapixels; a large picture with something in it is read."""
    small, bomb = io.BytesIO(), tmp_path / "bomb.gif"
    Image.fromarray(PIXELS[..., :3]).save(small, "GIF")
    content = bytearray(small.getvalue())
    content[6:10] = struct.pack("<HH", 8827, 8801)
    bomb.write_bytes(content)
    with pytest.raises(InvalidImageError, match=r"claims 8827×8801 pixels in \d+ bytes: it is damaged or all one"):
        load_image(bomb)
    large = tmp_path / "large.png"
    Image.effect_noise((4100, 4100), 40).save(large)
    assert load_image(large).pixels.shape == (1, 3, 4100, 4100)


def test_tensors_and_pictures_convert_into_each_other():
    picture = Image.fromarray(PIXELS[..., :3])
    tensor = to_tensor(picture)
    assert (np.asarray(to_picture(tensor)) == PIXELS[..., :3]).all()
    assert (np.asarray(to_picture(tensor[0] * 4 - 1.5)) == np.asarray(to_picture((tensor * 4 - 1.5).clamp(0, 1)))).all()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(3, 8, 8), "has 4 dimensions .* this one has 3"),
        (torch.rand(1, 3, 0, 8), "is empty"),
        (torch.rand(0, 3, 8, 8), "is empty"),
        (torch.rand(1, 1, 8, 8), "has 1 channels: only RGB"),
        (torch.rand(1, 8, 8, 3), "has 8 channels: only RGB"),
        (torch.full((1, 3, 8, 8), float("nan")), "NaN or infinite"),
        (torch.full((1, 3, 8, 8), float("inf")), "NaN or infinite"),
        (torch.full((1, 3, 8, 8), 255.0), r"span \[255, 255\]: scale it"),
        (torch.full((1, 3, 8, 8), -0.5), r"span \[-0.5, -0.5\]: scale it"),
    ],
)
def test_tensors_that_are_no_images_are_refused(images, message):
    with pytest.raises(InvalidImageError, match=message):
        check_images(images)


def test_alpha_of_a_tensor_is_dropped_unseen():
    rgba = torch.rand(2, 4, 5, 6)
    rgba[:, 3] = float("nan")
    assert torch.equal(check_images(rgba), rgba[:, :3])


def test_float_noise_around_the_range_is_clamped():
    images = torch.tensor([-1e-4, 0.5, 1 + 1e-4]).view(1, 3, 1, 1)
    assert check_images(images).flatten().tolist() == [0, 0.5, 1]


@given(
    height=st.integers(1, 70), width=st.integers(1, 70), ratio=st.sampled_from([1, 2, 8, 16]), batch=st.integers(1, 2)
)
def test_crop_is_aligned_centred_maximal_and_never_resampled(height, width, ratio, batch):
    images = torch.arange(float(batch * 3 * height * width)).view(batch, 3, height, width)
    if min(height, width) < ratio:
        with pytest.raises(InvalidImageError, match=f"{width}×{height} pixels, smaller than one latent cell"):
            crop_to_grid(images, ratio)
        return
    cropped, crop = crop_to_grid(images, ratio)

    assert cropped.shape == (batch, 3, crop.height, crop.width)
    for kept, whole, offset in ((crop.height, height, crop.top), (crop.width, width, crop.left)):
        assert kept % ratio == 0
        assert 0 <= whole - kept < ratio
        assert 0 <= (whole - kept - offset) - offset <= 1
    rows, columns = slice(crop.top, crop.top + crop.height), slice(crop.left, crop.left + crop.width)
    assert torch.equal(cropped, images[:, :, rows, columns])
    assert (crop.original_width, crop.original_height) == (width, height)
    assert crop.is_whole == (height % ratio == 0 and width % ratio == 0)
    assert (str(crop) == "none") == crop.is_whole


def test_a_one_pixel_image_is_refused():
    with pytest.raises(InvalidImageError, match="1×1 pixels, smaller than one latent cell of 8×8: use a larger"):
        crop_to_grid(torch.rand(1, 3, 1, 1), 8)


@pytest.mark.parametrize("whole", [(8, 8), (13, 17), (24, 31)])
def test_whole_cells_begin_at_the_corner(whole):
    images = torch.rand(1, 3, *whole)
    kept = whole_cells(images, 8)
    assert kept.shape[-2:] == tuple(side // 8 * 8 for side in whole)
    assert torch.equal(kept, images[..., : kept.shape[-2], : kept.shape[-1]])
    with pytest.raises(InvalidImageError, match="7×8 pixels, smaller than one latent cell of 8×8"):
        whole_cells(torch.rand(1, 3, 8, 7), 8)


def test_one_picture_of_a_batch_that_cannot_be_judged_leaves_the_others():
    batch = torch.rand(3, 4, 16, 16)
    batch[1, 0, 3, 3] = torch.nan
    given = batch.clone()
    images, reasons = check_each(batch)
    assert list(reasons) == [1] and "NaN" in reasons[1]
    assert images.shape == (3, 3, 16, 16) and not images[1].any()
    assert torch.equal(images[[0, 2]], batch[[0, 2], :3])
    assert torch.equal(batch.nan_to_num(7), given.nan_to_num(7))
    assert check_each(batch[:1])[1] == {}
    for hopeless in (batch[1:2], batch * 255, batch[:, :2], batch[:0], batch[0]):
        with pytest.raises(InvalidImageError):
            check_each(hopeless)
