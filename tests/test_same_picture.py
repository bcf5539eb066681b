"""Copies of a photograph count once, different photographs never do."""

import io
from pathlib import Path

import pytest
import skimage
import torch
from latent_tracer.core import InvalidImageError, load_image, synthetic_photograph, to_picture, to_tensor
from latent_tracer.core.images.same_picture import SAME, SeenPictures, thumbnails
from PIL import Image, ImageEnhance


def jpeg(picture, quality):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def resized(picture, factor):
    return picture.resize((round(picture.width * factor), round(picture.height * factor)), Image.Resampling.BICUBIC)


def cropped(picture, left, top, right, bottom):
    width, height = picture.size
    return picture.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))


COPIES = {
    "jpeg-95": lambda p: jpeg(p, 95),
    "jpeg-30": lambda p: jpeg(p, 30),
    "half": lambda p: resized(p, 0.5),
    "double": lambda p: resized(p, 2),
    "half and jpeg-30": lambda p: jpeg(resized(p, 0.5), 30),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.1),
    "darker": lambda p: ImageEnhance.Brightness(p).enhance(0.9),
    "a tenth off": lambda p: cropped(p, 0.1, 0, 1, 0.9),
    "a little off": lambda p: cropped(p, 0.03, 0.02, 0.98, 0.97),
    "mirrored": lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned": lambda p: p.transpose(Image.Transpose.ROTATE_90),
    "the next of a burst": lambda p: cropped(p.rotate(0.5, Image.Resampling.BICUBIC), 0.02, 0.015, 0.985, 0.98),
}
NAMES = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "moon.png", "rocket.jpg")


@pytest.fixture(scope="module")
def pictures():
    folder = Path(skimage.__file__).parent / "data"
    return [Image.open(folder / name).convert("RGB") for name in NAMES if (folder / name).is_file()]


def test_pictures_that_differ_are_told_apart(pictures):
    seen = SeenPictures()
    assert [seen.number_of(to_tensor(one)) for one in pictures] == [(k, True) for k in range(len(pictures))]
    for seed in range(40):
        assert seen.number_of(synthetic_photograph(seed, 48, leaves=60)) == (len(pictures) + seed, True)


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_the_picture_it_was_made_from_whichever_comes_first(pictures, name):
    forward, backward = SeenPictures(), SeenPictures()
    originals = [to_tensor(one) for one in pictures]
    copies = [to_tensor(COPIES[name](one)) for one in pictures]
    for first, second, seen in ((originals, copies, forward), (copies, originals, backward)):
        for one in first:
            seen.number_of(one)
        assert [seen.number_of(one) for one in second] == [(k, False) for k in range(len(pictures))]


def test_a_copy_of_a_copy_counts_with_the_first(pictures):
    seen = SeenPictures()
    series = [cropped(pictures[0], 0.01 * k, 0, 1, 1) for k in range(6)]
    assert [seen.number_of(to_tensor(one))[0] for one in series] == [0] * 6 and len(seen) == 1


def test_the_threshold_lies_between_what_was_measured_on_the_projects_pictures(data_folder):
    """71 of 72 differ: two of the files are one photograph of a flower, stored with two kinds of JPEG."""
    files = sorted(p for p in (data_folder / "images").rglob("*") if p.suffix in {".png", ".jpg"})
    whole = [thumbnails(load_image(path).pixels) for path in files]
    bases = torch.stack([one[0] for one in whole])
    likeness = torch.stack([(one @ bases.T).amax(0) for one in whole])
    likeness = torch.maximum(likeness, likeness.T) - 2 * torch.eye(len(files))
    alike = {tuple(sorted((files[i].name, files[j].name))) for i, j in (likeness >= SAME).nonzero().tolist()}
    assert alike == {("flower.png.im_q85_420.jpg", "flower.png.im_q85_444.jpg")}
    # Next comes a stereo pair, which a burst would be, too.
    assert 0.7 < likeness[likeness < SAME].max() < 0.89


def test_pictures_without_content_are_no_copies_of_each_other():
    seen = SeenPictures()
    flat = [torch.full((1, 3, 40, 40), value) for value in (0.0, 0.5, 0.5)]
    assert [seen.number_of(one)[1] for one in flat] == [True] * 3
    assert float(thumbnails(flat[1]).abs().max()) == 0
    assert seen.number_of(torch.rand(1, 3, 1, 1))[1]


@pytest.mark.parametrize(
    "image",
    [
        torch.full((1, 3, 24, 24), float("nan")),
        255 * torch.rand(1, 3, 24, 24),
        torch.zeros(1, 3, 0, 24),
        torch.zeros(3, 24, 24),
        torch.zeros(1, 7, 24, 24),
    ],
)
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(InvalidImageError):
        SeenPictures().number_of(image)


def test_one_bad_pixel_in_a_large_picture_is_found():
    image = to_tensor(to_picture(synthetic_photograph(3, 700)))
    image[0, 1, 650, 20] = float("nan")
    with pytest.raises(InvalidImageError, match="NaN"):
        SeenPictures().number_of(image)
