"""One list of formats, by content; nothing else is opened, and whatever a decoder raises is one sentence."""

import io
import os
import struct
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from latent_tracer.core import InvalidImageError, InvalidSettingError, Picture, load_image
from latent_tracer.core.files.decoding import MAX_SCANS, MAX_SIDE
from latent_tracer.core.files.folder import list_folder
from latent_tracer.core.files.formats import FORMATS, PICTURE_SUFFIXES
from latent_tracer.core.reports.folder_trace import trace_files
from latent_tracer.core.reports.journal import Journal
from latent_tracer.core.tracing.row import TraceRow
from PIL import Image, features

PIXELS = np.random.default_rng(3).integers(0, 256, (24, 32, 3), dtype=np.uint8)
EXACT = {"lossless": True}
WRITTEN = {
    "PNG": {}, "JPEG": {}, "WEBP": EXACT, "AVIF": {}, "GIF": {}, "TIFF": {}, "BMP": {}, "JPEG2000": {}, "QOI": {},
    "TGA": {}, "PPM": {},
}  # fmt: skip


class RowsAsTheyAre:
    """Stands for a tracer where the test makes the rows itself."""

    row = staticmethod(lambda row: row)


def rows_of(listing, trace, journal):
    return [one.row for one in trace_files(listing, trace, RowsAsTheyAre(), journal=journal)]


needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def stored(file_format, pixels=PIXELS, **settings):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, file_format, **settings)
    return content.getvalue()


def png_header(width, height):
    """A PNG that promises a picture of this size and holds none."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100)))


def can_write(file_format):
    Image.init()
    return file_format in Image.SAVE and (file_format != "AVIF" or features.check("avif"))


@pytest.mark.parametrize("file_format", WRITTEN)
def test_a_format_is_known_by_its_content_under_any_name(file_format):
    if not can_write(file_format):
        pytest.skip(f"this Pillow writes no {file_format}")
    content = stored(file_format, **WRITTEN[file_format])
    name = "wrong.jpg" if file_format != "TGA" else "old.tga"
    facts = Picture.read(name, content).facts
    assert (facts.format, facts.width, facts.height) == (file_format, 32, 24)
    assert facts.lossy == (file_format not in ("PNG", "TIFF", "BMP", "QOI", "TGA", "PPM"))
    if FORMATS[file_format].keeps_pixels:
        assert ((load_image(name, content).pixels[0].permute(1, 2, 0) * 255).round().numpy() == PIXELS).all()


def test_nothing_else_that_pillow_can_write_is_opened(monkeypatch):
    """Every further format of Pillow's, under a picture's name: no plugin but ours is ever asked."""
    Image.init()
    refused = []
    asked = []
    genuine = Image.open
    monkeypatch.setattr(
        Image, "open", lambda *a, formats=None, **k: asked.extend(formats) or genuine(*a, formats=formats, **k)
    )
    for file_format in sorted(set(Image.SAVE) - set(FORMATS) - {"MPO"}):
        content = io.BytesIO()
        try:
            Image.fromarray(PIXELS).save(content, file_format)
        except (OSError, ValueError, KeyError):
            continue
        with pytest.raises(InvalidImageError, match=r"named\.png (is not a readable picture|cannot be decoded)"):
            load_image("named.png", content.getvalue())
        refused.append(file_format)
    assert {"EPS", "PDF", "DDS", "ICO", "PCX", "SGI", "BLP"} - set(refused) <= {"BLP"}
    assert set(asked) <= set(FORMATS)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"8BPS\0\1", "Photoshop"),
        (b"SIMPLE  =                    T", "FITS"),
        (b"DDS |\0\0\0", "DDS"),
        (b"BLP2\1\0\0\0", "BLP"),
        (b"v/1\x01\2\0\0\0", "OpenEXR"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X", "macOS"),
        (b"", "not a readable picture"),
        (b"\0" * 100, "not a readable picture"),
        (b"BMW is a maker of cars, this is a text.", "not a readable picture"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isommp41", "not a readable picture"),
    ],
)
def test_what_is_no_picture_is_named_where_it_is_known(content, word):
    with pytest.raises(InvalidImageError, match=word) as raised:
        load_image("named.png", content)
    assert str(raised.value).startswith("named.png ")


@pytest.mark.parametrize(
    ("content", "package"),
    [(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "pillow-heif"), (b"\xff\x0a" + bytes(20), "pillow-jxl-plugin")],
)
def test_a_format_that_needs_a_plugin_names_it(content, package, monkeypatch):
    monkeypatch.setattr("latent_tracer.core.files.formats._is_importable", lambda module: False)
    Image.init()  # the whole list, of which the patch is a part
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k not in ("HEIF", "JXL")})
    with pytest.raises(InvalidImageError, match=f"install {package}"):
        load_image("photo", content)


class PanicError(BaseException):
    """What a decoder written in Rust raises."""


EVERYTHING = [
    MemoryError(), RuntimeError("\x1b[31m"), NotImplementedError(), AttributeError("x"), struct.error("y"),
    RecursionError(), OverflowError(), ZeroDivisionError(), AssertionError(), StopIteration(), UnicodeError("z"),
    zlib.error("w"), PanicError("rust"),
]  # fmt: skip


@pytest.mark.parametrize("error", EVERYTHING, ids=lambda error: type(error).__name__)
def test_whatever_a_decoder_raises_is_one_sentence(error, monkeypatch):
    def raise_it(*_arguments, **_settings):
        raise error

    monkeypatch.setattr(Image, "open", raise_it)
    with pytest.raises(InvalidImageError) as raised:
        load_image("bad.png", stored("PNG"))
    assert str(raised.value).startswith("bad.png ") and "\x1b" not in str(raised.value)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_passes_through(error, monkeypatch, tmp_path):
    def raise_it(*_arguments, **_settings):
        raise error

    (tmp_path / "a.png").write_bytes(stored("PNG"))
    with Journal(tmp_path / "j", "s") as journal, pytest.raises(error):
        rows_of(list_folder(tmp_path), raise_it, journal)
    monkeypatch.setattr(Image, "open", raise_it)
    with pytest.raises(error):
        load_image("bad.png", stored("PNG"))


@pytest.mark.parametrize("error", [e for e in EVERYTHING if isinstance(e, Exception)], ids=lambda e: type(e).__name__)
def test_whatever_judging_raises_is_the_row_of_that_file_alone(error, tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(stored("PNG", PIXELS + np.uint8(number)))

    def trace(picture):
        if picture.facts.name == "1.png":
            raise error
        return TraceRow(picture.facts.name, picture.facts.digest, verdict="inconclusive")

    with Journal(tmp_path / "j", "s") as journal:
        rows = rows_of(list_folder(tmp_path), trace, journal)
        assert [row.verdict for row in rows] == ["inconclusive", None, "inconclusive"]
        assert rows[1].error and "\x1b" not in rows[1].error and rows[1].width == 32
    # What may go well next time is not kept.
    assert len(Journal(tmp_path / "j", "s").finished) == 2


@pytest.mark.parametrize(
    "size", [(MAX_SIDE + 1, 1), (99_999_999, 1), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1), (10_001, 10_000)]
)
def test_huge_dimensions_are_refused_from_the_header(size):
    with pytest.raises(InvalidImageError, match="allowed"):
        load_image("wide.png", png_header(*size))


def test_a_jpeg_of_very_many_scans_is_refused():
    content = stored("JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    assert load_image("a.jpg", content[:-2] + last * 5 + content[-2:]).pixels.shape == (1, 3, 24, 32)
    with pytest.raises(InvalidImageError, match="scans"):
        load_image("a.jpg", content[:-2] + last * MAX_SCANS + content[-2:])


def test_a_folder_is_listed_by_the_same_table(tmp_path):
    names = [f"picture{suffix.upper()}" for suffix in sorted(PICTURE_SUFFIXES)]
    for name in [*names, "clip.mp4", "notes.txt", "noextension"]:
        (tmp_path / name).write_bytes(b"")
    listing = list_folder(tmp_path)
    assert [file.name for file in listing.files] == sorted(names)
    assert listing.other_files == 3


def test_a_folder_without_a_picture_is_said(tmp_path):
    with pytest.raises(InvalidSettingError, match="There is no picture in .*: give a folder"):
        list_folder(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(InvalidSettingError, match="1 other files were passed over"):
        list_folder(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux alone")
def test_names_that_are_no_text_and_files_that_vanish_become_rows(tmp_path):
    (tmp_path / os.fsdecode(b"odd\xff\xfe.png")).write_bytes(stored("PNG"))
    (tmp_path / "line\nbreak.png").write_bytes(stored("PNG", PIXELS[::-1].copy()))
    (tmp_path / "gone.png").write_bytes(stored("PNG"))
    (tmp_path / "secret.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "._x.png").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    listing = list_folder(tmp_path)
    (tmp_path / "gone.png").unlink()
    with Journal(tmp_path / "j", "s") as journal:
        rows = rows_of(listing, lambda p: TraceRow(p.facts.name, p.facts.digest, verdict="x"), journal)
    assert len(rows) == 6
    assert {row.name for row in rows if row.verdict is None} == {"gone.png", "secret.png", "loop.png", "._x.png"}
    assert all(row.error.endswith(".") for row in rows if row.verdict is None)


def test_a_folder_of_everything_gives_a_row_for_each_and_every_verdict_of_the_good(tmp_path):
    for number in range(50):
        (tmp_path / f"good {number:02}.png").write_bytes(stored("PNG", np.roll(PIXELS, number, axis=1)))
    bad = {
        "wide.png": png_header(99_999_999, 1),
        "empty.png": b"",
        "page.jpg": b"<!DOCTYPE html>",
        "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0",
        "texture.png": b"DDS |" + bytes(200),
        "._good 01.png": b"\0\5\x16\7" + bytes(100),
        "half.jpg": stored("JPEG")[:400],
        "damaged.avif": b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(200),
        "text.tif": b"II*\0\x08\0\0\0\xff\xff",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    listing = list_folder(tmp_path)

    def trace(picture):
        return TraceRow(picture.facts.name, picture.facts.digest, verdict="x")

    with Journal(tmp_path / "j", "s") as journal:
        rows = rows_of(listing, trace, journal)
    finished = Journal(tmp_path / "j", "s")
    again = rows_of(listing, lambda _: pytest.fail("traced again"), finished)
    assert rows == again
    assert {row.name for row in rows if row.verdict is None} == set(bad)
    assert sum(row.verdict == "x" for row in rows) == 50
    assert all(row.error.endswith(".") and row.name not in row.error for row in rows if row.verdict is None)


@pytest.mark.skipif(os.name == "nt", reason="there are no named pipes in folders")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InvalidImageError, match="no ordinary file"):
        Picture.read(tmp_path / "pipe.png")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000 + ".png"])
def test_impossible_names_are_one_sentence(name):
    with pytest.raises(InvalidImageError):
        Picture.read(name)


@pytest.mark.parametrize("file_format", WRITTEN)
@hypothesis_settings(max_examples=25)
@given(data=st.data())
def test_damaged_files_of_every_format_give_a_picture_or_one_sentence(file_format, data):
    if not can_write(file_format):
        pytest.skip(f"this Pillow writes no {file_format}")
    content = bytearray(stored(file_format, PIXELS[:8, :8], **WRITTEN[file_format]))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert (
            Picture.read("damaged.tga", bytes(content[: data.draw(st.integers(1, len(content)))])).pixels.shape[1] == 3
        )
    except InvalidImageError as error:
        assert str(error).startswith("damaged.tga ")
