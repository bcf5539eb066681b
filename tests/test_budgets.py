"""Small files that are made to cost much: each is read, or refused in one sentence, within a bound that is counted.

Counted in the processor's time, five times what was measured: a walk that is quadratic takes minutes.
"""

import io
import json
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from latent_tracer.core import InvalidImageError, Picture
from latent_tracer.core.files.claims_of_graphs import claims_of_prompt, claims_of_workflow, loaded_vae_names
from latent_tracer.core.files.metadata import MAX_TEXT_BYTES, MAX_TEXTS_BYTES, read_texts
from latent_tracer.core.files.provenance import read_claims
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
CASES = Path(os.environ.get("LATENT_TRACER_DATA", Path(__file__).resolve().parents[2] / "shared"), "cases")
SECONDS = 5.0


def stored(file_format):
    content = io.BytesIO()
    Image.fromarray(PIXELS).save(content, file_format)
    return content.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(*chunks):
    content = stored("PNG")
    return content[:33] + b"".join(chunks) + content[33:]


def tiff_of_directories(count):
    """Every directory is the first one again, and the last leads back to the first."""
    content = bytearray(stored("TIFF"))
    (start,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, start)
    body = bytes(content[start : start + 2 + 12 * entries])
    link = start + len(body)
    for _ in range(count):
        struct.pack_into("<I", content, link, len(content))
        content += body + bytes(4)
        link = len(content) - 4
    struct.pack_into("<I", content, link, start)
    return bytes(content)


def spent(call):
    before = time.thread_time()
    result = call()
    return result, time.thread_time() - before


JPEG, GIF = stored("JPEG"), stored("GIF")
GIF_DATA = 13 + 3 * 2 ** ((GIF[10] & 7) + 1)
SCAN = JPEG.index(b"\xff\xda") + 300
COSTLY = {
    "fill bytes before the header": JPEG[:2] + b"\xff" * 30_000_000 + JPEG[2:],
    "fill bytes behind JFIF": JPEG[:20] + b"\xff" * 30_000_000 + JPEG[20:],
    "fill bytes in the scan": JPEG[:SCAN] + b"\xff" * 30_000_000 + JPEG[SCAN:],
    "bytes between segments": JPEG[:20] + bytes(20_000_000) + JPEG[20:],
    "empty segments": JPEG[:2] + b"\xff\xfe\0\2" * 3_000_000 + JPEG[2:],
    "restart markers": JPEG[:2] + b"\xff\xd0" * 5_000_000 + JPEG[2:],
    "empty chunks": png_with(chunk(b"abCd", b"") * 1_000_000),
    "empty pixel chunks": png_with(chunk(b"IDAT", b"") * 1_000_000),
    "directories": tiff_of_directories(200_000),
    "directories in a circle": tiff_of_directories(0),
    "extensions": GIF[:GIF_DATA] + b"\x21\xfe\0" * 4_000_000 + GIF[GIF_DATA:],
    "comments": GIF[:GIF_DATA] + b"\x21\xfe" + (b"\xff" + bytes(255)) * 100_000 + b"\0" + GIF[GIF_DATA:],
    "a comment of Netpbm": b"P6\n#" + b"x" * 20_000_000 + b"\n4 4\n255\n" + bytes(48),
    "chunks of WebP": stored("WEBP") + bytes(8) * 2_000_000,
}  # fmt: skip


@pytest.mark.parametrize("name", COSTLY)
def test_a_costly_file_is_read_or_refused_within_its_budget(name):
    def read():
        try:
            return Picture.read(name, COSTLY[name]).pixels.shape
        except InvalidImageError as error:
            return str(error)

    result, seconds = spent(read)
    assert seconds < SECONDS
    assert result == (1, 3, 32, 32) or result.startswith(f"{name} ")


@pytest.mark.parametrize(
    "name", ["fill bytes before the header", "fill bytes behind JFIF", "directories", "directories in a circle"]
)
def test_what_can_be_passed_over_costs_a_picture_nothing(name):
    assert Picture.read(name, COSTLY[name]).pixels.shape == (1, 3, 32, 32)


def test_a_text_is_unpacked_once_and_all_together_stay_in_their_budget():
    bomb = zlib.compress(bytes(MAX_TEXT_BYTES), 9)
    found, seconds = spent(lambda: read_texts(png_with(chunk(b"zTXt", b"prompt\0\0" + bomb) * 500)))
    assert seconds < 1 and "more than once" in found.notes[0]
    kinds = [b"prompt", b"workflow", b"parameters", b"invokeai_metadata", b"sd-metadata", b"Comment", b"Software"]
    found = read_texts(png_with(*(chunk(b"zTXt", kind + b"\0\0" + bomb) for kind in kinds)))
    assert sum(map(len, found.texts.values())) <= MAX_TEXTS_BYTES
    assert len(found.notes) == len(kinds) - len(found.texts) > 0


def chain(count):
    return {str(n): {"class_type": "VAEDecode", "inputs": {"vae": [str(n + 1), 0]}} for n in range(count)}


def mesh(count, width=20):
    return {
        str(n): {"class_type": "VAEDecode", "inputs": {f"i{k}": [str((n + k) % count), 0] for k in range(width)}}
        for n in range(count)
    }


@pytest.mark.parametrize("graph", [chain, mesh])
def test_reading_a_graph_takes_time_by_its_links_alone(graph):
    small, large = graph(2_000), graph(8_000)
    few = min(spent(lambda: claims_of_prompt(small))[1] for _ in range(3))
    many = min(spent(lambda: claims_of_prompt(large))[1] for _ in range(3))
    assert many < 12 * few + 0.05  # four times; the square would be sixteen
    assert many < 1
    assert spent(lambda: loaded_vae_names(large, "0", "vae"))[1] < 1
    assert (
        spent(lambda: claims_of_workflow({"nodes": [{"type": "KSampler", "widgets_values": ["x"] * 9}] * 100_000}))[1]
        < 1
    )


def test_a_loader_at_the_end_of_a_long_chain_is_found_for_every_decoder():
    graph = chain(5_000) | {"5000": {"class_type": "VAELoader", "inputs": {"vae_name": "far.safetensors"}}}
    claims, seconds = spent(lambda: claims_of_prompt(graph))
    assert claims.vaes == ("far.safetensors",) and seconds < 1


@pytest.mark.parametrize("name", ["decode", "ksampler", "vae", "scale("])
def test_a_long_name_of_a_class_takes_no_time(name):
    """Searching it for two words in a row takes the square of its length."""
    nodes = {"1": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
             "2": {"class_type": name * 1_000_000, "inputs": {}}}  # fmt: skip
    assert spent(lambda: claims_of_prompt(nodes))[1] < 1


def test_nodes_beyond_the_budget_are_told():
    content = png_with(chunk(b"tEXt", b"prompt\0" + json.dumps(chain(10_001)).encode()))
    claims, seconds = spent(lambda: read_claims(content))
    assert seconds < 1 and any("10000 nodes" in note for note in claims.notes)


def test_the_shared_cases_are_rows_and_not_crashes():
    files = sorted((CASES / "files").glob("*")) + sorted((CASES / "metadata").glob("*"))
    if not files:
        pytest.skip(f"there are no shared cases in {CASES}")
    for path in files:
        try:
            _, seconds = spent(lambda path=path: Picture.read(path))
        except InvalidImageError as error:
            assert str(error).startswith(f"{path} ") and str(error).endswith("."), path
        else:
            assert seconds < 1, path


def test_the_shared_planar_picture_is_read_as_the_picture_it_was_made_of():
    path = CASES / "files" / "planar_16bit.tif"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    original = Picture.read(CASES / "altered" / "0_as_made.png")
    assert np.array_equal(Picture.read(path).pixels, original.pixels)
