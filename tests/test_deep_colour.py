"""More than 8 bits per channel: every bit is read, or one sentence says why not."""

import io
import itertools
import struct
import tracemalloc
import zlib

import numpy as np
import PIL
import pytest
from latent_tracer.core import InvalidImageError, Picture
from PIL import Image

PILLOW = tuple(int(part) for part in PIL.__version__.split(".")[:2])
RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 65536, (6, 9, 4), dtype=np.uint16)


def read(content):
    picture = Picture.read("deep", content)
    return picture.pixels[0].permute(1, 2, 0).numpy(), picture.facts


def png(samples, colour_type, transparency=b""):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = samples.shape[:2]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    middle = chunk(b"tRNS", transparency) if transparency else b""
    return b"\x89PNG\r\n\x1a\n" + header + middle + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_keeps_all_sixteen_bits(colour_type, channels):
    samples = COLOUR[..., :channels]
    pixels, facts = read(png(samples, colour_type))
    expected = np.broadcast_to(samples[..., :1] if channels < 3 else samples[..., :3], (6, 9, 3)) / np.float32(65535)
    assert np.array_equal(pixels, expected)
    assert not facts.lossy
    assert "more than 8 bits" in facts.notes[0]
    assert ("transparency was dropped" in " ".join(facts.notes)) == (channels in (2, 4))


def tiff(samples, order="<", planar=1, photometric=2, sample_format=1, compression=1, rows_per_strip=4, predictor=1):
    """A TIFF by the book: strips, chunky or planar."""
    height, width, channels = samples.shape
    kind = samples.dtype.newbyteorder(order)
    layers = [samples] if planar == 1 else [samples[..., channel : channel + 1] for channel in range(channels)]
    strips = [
        layer[top : top + rows_per_strip].astype(kind).tobytes()
        for layer in layers
        for top in range(0, height, rows_per_strip)
    ]
    if compression == 8:
        strips = [zlib.compress(strip) for strip in strips]
    bits = samples.dtype.itemsize * 8
    fields = {
        256: ("I", [width]), 257: ("I", [height]), 258: ("H", [bits] * channels), 259: ("H", [compression]),
        262: ("H", [photometric]), 273: ("I", []), 277: ("H", [channels]), 278: ("I", [rows_per_strip]),
        279: ("I", [len(strip) for strip in strips]), 284: ("H", [planar]), 317: ("H", [predictor]),
        339: ("H", [sample_format] * channels),
    }  # fmt: skip
    if channels == 4:
        fields[338] = ("H", [2])
    starts = list(itertools.accumulate((len(strip) for strip in strips), initial=8))
    fields[273] = ("I", starts[:-1])
    data = b"".join(strips)
    data += bytes(len(data) % 2)
    directory, behind = 8 + len(data), b""
    start_behind = directory + 2 + 12 * len(fields) + 4
    entries = struct.pack(order + "H", len(fields))
    for tag, (code, numbers) in sorted(fields.items()):
        packed = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        if len(packed) > 4:
            packed, behind = struct.pack(order + "I", start_behind + len(behind)), behind + packed
        entries += struct.pack(order + "HHI", tag, 3 if code == "H" else 4, len(numbers)) + packed.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", directory)
    return head + data + entries + bytes(4) + behind


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_keeps_all_sixteen_bits_chunky_or_planar(compression, planar, order, channels):
    content = tiff(COLOUR[..., :channels], order, planar, compression=compression)
    pixels, facts = read(content)
    assert np.array_equal(pixels, COLOUR[..., :3] / np.float32(65535))
    assert not facts.lossy


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("photometric", [0, 1])
def test_grey_tiff_of_sixteen_bits_heeds_which_end_is_white(order, photometric):
    if order == ">" and photometric == 0:
        pytest.skip("Pillow does not read this kind")
    pixels, _ = read(tiff(COLOUR[..., :1], order, photometric=photometric))
    expected = np.repeat(COLOUR[..., :1] / np.float32(65535), 3, axis=2)
    assert np.allclose(pixels, expected if photometric else 1 - expected, atol=1e-7)


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("channels", [1, 3])
def test_floating_point_between_nought_and_one_is_read(planar, channels):
    samples = RNG.random((6, 9, channels), dtype=np.float32)
    pixels, facts = read(tiff(samples, planar=planar, photometric=2 if channels == 3 else 1, sample_format=3))
    assert np.array_equal(pixels, np.broadcast_to(samples, (6, 9, 3)))
    assert "more than 8 bits" in facts.notes[0]


@pytest.mark.parametrize("bad", [1.5, -0.1, float("nan"), float("inf")])
def test_floating_point_that_says_nothing_about_display_is_one_sentence(bad):
    samples = RNG.random((6, 9, 3), dtype=np.float32)
    samples[2, 3, 1] = bad
    with pytest.raises(InvalidImageError, match="deep has floating-point values .*: save it"):
        read(tiff(samples, sample_format=3))


@pytest.mark.parametrize(
    "content",
    [
        tiff(RNG.integers(0, 2**32, (6, 9, 3), dtype=np.uint32)),
        tiff(RNG.integers(0, 2**32, (6, 9, 1), dtype=np.uint32), photometric=1),
        tiff(COLOUR[..., :1], photometric=1, sample_format=2),
        tiff(COLOUR, photometric=5),
        b"P6\n2 2\n70000\n" + bytes(24),
    ],
    ids=["32 bits colour", "32 bits grey", "signed", "CMYK", "PPM beyond the norm"],
)
def test_depths_without_one_meaning_are_one_sentence(content):
    with pytest.raises(InvalidImageError, match=r"^deep (has|is|cannot)"):
        read(content)


@pytest.mark.parametrize(("kind", "channels"), [(b"P5", 1), (b"P6", 3)])
@pytest.mark.parametrize("largest", [1023, 65535])
def test_netpbm_of_two_bytes_is_read_whole(kind, channels, largest):
    samples = np.minimum(COLOUR[..., :channels], np.uint16(largest))
    content = kind + b"\n# a comment\n9 6 # another\n%d\n" % largest + samples.astype(">u2").tobytes()
    pixels, facts = read(content)
    assert np.array_equal(pixels, np.broadcast_to(samples / np.float32(largest), (6, 9, 3)))
    assert not facts.lossy
    with pytest.raises(InvalidImageError, match="cut off"):
        read(content[:-1])


def saved(picture, file_format, **settings):
    content = io.BytesIO()
    picture.save(content, file_format, **settings)
    return content.getvalue()


EIGHT = Image.fromarray((COLOUR[..., :3] >> 8).astype(np.uint8)).resize((32, 32))


@pytest.mark.parametrize(
    ("content", "palette"),
    [
        (saved(EIGHT.quantize(7), "PNG"), 7),
        (saved(EIGHT.quantize(12), "GIF"), 12),
        (saved(EIGHT.convert("L").quantize(5), "BMP"), 5),
        (saved(EIGHT.convert("1"), "PNG"), 2),
        (saved(EIGHT, "PNG"), None),
        (saved(EIGHT.convert("L"), "PNG"), None),
    ],
    ids=["PNG", "GIF", "BMP", "two tones", "colour", "grey"],
)
def test_a_palette_is_counted_and_does_not_count_as_lossless(content, palette):
    _, facts = read(content)
    assert (facts.palette, facts.lossy) == (palette, palette is not None)


@pytest.mark.parametrize(
    ("content", "word", "lossy"),
    [
        (saved(EIGHT.convert("CMYK"), "TIFF"), "converted from CMYK", True),
        (saved(EIGHT.convert("CMYK"), "JPEG"), "converted from CMYK", True),
        (saved(Image.merge("LAB", EIGHT.split()), "TIFF"), "converted from CIELAB", True),
        (saved(EIGHT, "TIFF", compression="jpeg"), "JPEG data", True),
        pytest.param(
            saved(EIGHT, "JPEG", keep_rgb=True),
            "RGB, not YCbCr",
            True,
            marks=pytest.mark.skipif(PILLOW < (10, 2), reason="this Pillow writes no such JPEG"),
        ),
        (saved(EIGHT, "PNG", icc_profile=b"0" * 200), "colour profile was not applied", False),
        (saved(EIGHT, "JPEG", icc_profile=b"0" * 200), "colour profile was not applied", True),
        (saved(EIGHT, "TIFF", icc_profile=b"0" * 200), "colour profile was not applied", False),
        (saved(EIGHT.convert("RGBA"), "PNG"), "transparency was dropped", False),
    ],
)
def test_what_was_done_to_the_colours_is_said_and_nothing_else(content, word, lossy):
    _, facts = read(content)
    assert len(facts.notes) <= 2 and word in " ".join(facts.notes)
    assert facts.lossy == lossy
    assert ("transparency" in " ".join(facts.notes)) == (word == "transparency was dropped")


def test_cielab_comes_out_as_colour_management_converts_it():
    cms = pytest.importorskip("PIL.ImageCms")
    to_lab = cms.buildTransform(cms.createProfile("sRGB"), cms.createProfile("LAB"), "RGB", "LAB")
    muted = EIGHT.point(lambda value: 64 + value // 2)
    lab = cms.applyTransform(muted, to_lab)
    pixels, _ = read(saved(lab, "TIFF"))
    back = cms.applyTransform(
        lab, cms.buildTransform(cms.createProfile("LAB"), cms.createProfile("sRGB"), "LAB", "RGB")
    )
    difference = np.abs(pixels * 255 - np.asarray(back))
    assert difference.mean() < 0.5 and difference.max() < 10


@pytest.mark.parametrize("tag", [258, 273, 279, 339])
def test_a_tag_of_a_hundred_million_values_is_refused_before_they_are_unpacked(tag):
    """In half a gigabyte there is room for so many: as Python's numbers they would take ten times as much."""
    count = 100_000_000
    content = bytearray(tiff(COLOUR, "<"))
    (directory,) = struct.unpack_from("<I", content, 4)
    for entry in range(directory + 2, len(content) - 12, 12):
        if struct.unpack_from("<H", content, entry)[0] == tag:
            struct.pack_into("<HHII", content, entry, tag, 3, count, len(content))
            break
    content += bytes(2 * count)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidImageError, match=f"its tag {tag} holds more than 1000000 values"):
            read(bytes(content))
        assert tracemalloc.get_traced_memory()[1] < 3 * len(content)
    finally:
        tracemalloc.stop()
