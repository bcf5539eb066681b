"""EXIF orientations: turned as Pillow turns them, turned back exactly, and never turned before judging."""

import io

import numpy as np
import pytest
import torch
from latent_tracer.core import Picture, to_tensor
from latent_tracer.core.files.orientation import ORIENTATIONS, stored, upright
from PIL import ExifTags, Image, ImageOps

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def turned_file(orientation, file_format="PNG"):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = io.BytesIO()
    Image.fromarray(PIXELS).save(
        content, file_format, exif=exif, **({"lossless": True} if file_format == "WEBP" else {})
    )
    return content.getvalue()


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_stored_pixels_are_read_and_shown_as_pillow_shows_them(orientation, file_format):
    content = turned_file(orientation, file_format)
    picture = Picture.read("camera", content)
    assert picture.facts.orientation == orientation
    assert torch.equal(picture.pixels, to_tensor(Image.fromarray(PIXELS)))
    assert (picture.facts.height, picture.facts.width) == PIXELS.shape[:2]
    with Image.open(io.BytesIO(content)) as opened:
        shown = to_tensor(ImageOps.exif_transpose(opened).convert("RGB"))
    assert torch.equal(picture.upright, shown)
    assert torch.equal(stored(picture.upright, orientation), picture.pixels)
    assert any("EXIF" in note for note in picture.facts.notes) == (orientation != 1)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation):
    picture = Picture.read("camera", turned_file(orientation))
    assert picture.facts.orientation == 1
    assert torch.equal(picture.upright, picture.pixels)


def test_a_batch_is_turned_picture_by_picture():
    batch = torch.rand(2, 3, 4, 5)
    for orientation in ORIENTATIONS:
        turned = upright(batch, orientation)
        assert torch.equal(turned[1], upright(batch[1], orientation))
        assert torch.equal(stored(turned, orientation), batch)
