"""Metadata is shown and compared, never trusted: whatever the bytes are, nothing raises, runs, grows or hides."""

import io
import json
import struct
import tracemalloc
import unicodedata
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from latent_tracer.core import InvalidImageError
from latent_tracer.core.files.claims_of_graphs import claims_of_prompt, claims_of_workflow, loaded_vae_names
from latent_tracer.core.files.container import pixels_only, png_chunks
from latent_tracer.core.files.decoding import load_image
from latent_tracer.core.files.metadata import MAX_TEXT_BYTES, read_texts
from latent_tracer.core.files.provenance import Claims, parse_json, read_claims
from latent_tracer.core.reports.page import report_page
from latent_tracer.core.storage.safe_text import clean_text, spreadsheet_cell
from latent_tracer.core.tracing.agreement import compare
from latent_tracer.core.tracing.row import TraceRow
from PIL import Image, PngImagePlugin

PROMPT = {
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15/dream.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 5, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
            "model": ["4", 0], "latent_image": ["5", 0],
        },
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
    "20": {"class_type": "VAELoader", "inputs": {"vae_name": "unused.safetensors"}},
}  # fmt: skip
PIXELS = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks):
    stored = io.BytesIO()
    PIXELS.save(stored, "PNG")
    content = stored.getvalue()
    return content[:33] + b"".join(chunk(*one) for one in chunks) + content[33:]


def with_prompt(prompt, kind="tEXt"):
    text = prompt if isinstance(prompt, str) else json.dumps(prompt)
    if kind == "tEXt":
        return png((b"tEXt", b"prompt\0" + text.encode("latin-1")))
    if kind == "zTXt":
        return png((b"zTXt", b"prompt\0\0" + zlib.compress(text.encode("latin-1"))))
    return png((b"iTXt", b"prompt\0\1\0en\0\0" + zlib.compress(text.encode())))


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt"])
def test_a_prompt_tells_what_made_the_picture(kind):
    claims = read_claims(with_prompt(PROMPT, kind))
    assert claims.checkpoints == ("sd15/dream.safetensors",)
    assert claims.vaes == ("sd15/dream.safetensors",)
    assert claims.samplers == ("euler, scheduler normal, steps 20, cfg 8.0, denoise 1.0, seed 5",)
    assert claims.source == "prompt"
    assert "euler" in claims.sentence


def test_what_comfyui_itself_writes_is_read(tmp_path):
    """PNG as SaveImage stores it, WebP and JPEG as their EXIF fields hold it."""
    workflow = {"nodes": [
        {"type": "VAELoader", "widgets_values": ["taesd"]},
        {"type": "VAELoader", "widgets_values": ["muted"], "mode": 4},
        {"type": "KSampler", "widgets_values": [1, "fixed", 20, 8, "euler", "karras", 1]},
        {"type": "CheckpointLoaderSimple", "widgets_values": ["a.ckpt"]},
    ]}  # fmt: skip
    information = PngImagePlugin.PngInfo()
    information.add_text("prompt", json.dumps(PROMPT))
    information.add_text("workflow", json.dumps(workflow))
    PIXELS.save(tmp_path / "a.png", pnginfo=information)
    exif = PIXELS.getexif()
    exif[0x0110] = "prompt:" + json.dumps(PROMPT)
    exif[0x010F] = "workflow:" + json.dumps(workflow)
    PIXELS.save(tmp_path / "b.webp", exif=exif)
    PIXELS.save(tmp_path / "c.jpg", exif=exif)
    del exif[0x0110]
    PIXELS.save(tmp_path / "d.webp", exif=exif)
    for name in ("a.png", "b.webp", "c.jpg"):
        assert read_claims((tmp_path / name).read_bytes()).vaes == ("sd15/dream.safetensors",), name
    drawn = read_claims((tmp_path / "d.webp").read_bytes())
    assert (drawn.source, drawn.vaes, drawn.checkpoints) == ("workflow", ("taesd",), ("a.ckpt",))
    assert drawn.samplers == ("euler, scheduler karras, steps 20",)
    PIXELS.save(tmp_path / "e.png")
    assert read_claims((tmp_path / "e.png").read_bytes()) == Claims()


def test_the_vae_is_the_one_that_decoded_and_unused_loaders_do_not_count():
    prompt = json.loads(json.dumps(PROMPT))
    prompt["8"]["inputs"]["vae"] = ["21", 0]
    prompt["21"] = {"class_type": "Reroute", "inputs": {"any": ["22", 0]}}
    prompt["22"] = {"class_type": "VAELoader", "inputs": {"vae_name": "taesd"}}
    assert claims_of_prompt(prompt).vaes == ("taesd",)
    assert loaded_vae_names(prompt, "8") == ("taesd",)
    assert loaded_vae_names(PROMPT, "8") == ("sd15/dream.safetensors",)
    assert loaded_vae_names(PROMPT, "5") == loaded_vae_names(None, "5") == ()


def test_a_graph_that_runs_in_circles_ends():
    prompt = {
        "1": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
        "2": {"class_type": "VAEDecode", "inputs": {"samples": ["1", 0], "vae": ["3", 0]}},
        "3": {"class_type": "X", "inputs": {"a": ["2", 0], "b": ["3", 0], "vae_name": "loop"}},
    }
    assert claims_of_prompt(prompt).vaes == ("loop",)


CLAIMED = Claims(vaes=("models\\vae/TAESD.safetensors",))


@pytest.mark.parametrize(
    ("claims", "inspected", "answer", "comparison"),
    [
        (CLAIMED, ("taesd",), "belonging", "agree"),
        (CLAIMED, ("/weights/taesd",), "non-belonging", "disagree"),
        (CLAIMED, ("taesd",), "inconclusive", "undecided"),
        (CLAIMED, ("taesd",), None, "undecided"),
        # The same weights may go by another name: no disagreement from names alone.
        (CLAIMED, ("vae-ft-mse",), "belonging", "undecided"),
        (CLAIMED, (), "non-belonging", "undecided"),
        (Claims(vaes=("taesd", "other")), ("taesd",), "non-belonging", "undecided"),
        (Claims(vaes=("taesd", "other")), ("taesd",), "belonging", "agree"),
        (Claims(checkpoints=("a",)), ("taesd",), "belonging", "no claim"),
        (Claims(), ("taesd",), "non-belonging", "no claim"),
    ],
)
def test_only_a_claim_of_the_inspected_name_agrees_or_disagrees(claims, inspected, answer, comparison):
    agreement = compare(claims, inspected, answer)
    assert agreement.comparison == comparison
    assert agreement.reason.endswith(".")


def test_a_decompression_bomb_costs_no_memory_and_the_pixels_stay_readable(tmp_path):
    bomb = zlib.compress(bytes(300 * 1024 * 1024), 9)
    content = png((b"zTXt", b"prompt\0\0" + bomb), (b"iTXt", b"workflow\0\1\0\0\0" + bomb), (b"iCCP", b"x\0\0" + bomb))
    tracemalloc.start()
    claims = read_claims(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MAX_TEXT_BYTES
    assert not claims
    assert any("MiB" in note for note in claims.notes)
    (tmp_path / "bomb.png").write_bytes(content)
    assert (load_image(tmp_path / "bomb.png").pixels[0, :, 0, 1] * 255).round().tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[" * 1_000_000, "nested"),
        ('{"a":' * 1_000_000, "nested"),
        ("{'single': 1}", "valid"),
        ("", "valid"),
        ("\0", "valid"),
        ('{"1": ', "valid"),
        ("9" * 1_000_000, "names no model"),
        ("[" + ",".join("1" * 50_000) + "]", "names no model"),
        ("null", "names no model"),
        ('{"1": {"class_type": "VAELoader", "inputs": []}}', "names no model"),
    ],
)
def test_malformed_json_is_said_and_not_read(text, word):
    claims = read_claims(with_prompt(text, "zTXt"))
    assert not claims
    assert word in " ".join(claims.notes)
    assert "nothing" in claims.sentence


def test_huge_texts_are_left_out():
    claims = read_claims(with_prompt("x" * (MAX_TEXT_BYTES + 1)))
    assert "MiB" in claims.notes[0]
    many = png(*[(b"tEXt", b"k%d\0v" % number) for number in range(500)], (b"tEXt", b"workflow\0{}"))
    assert read_texts(many).texts == {"workflow": "{}"}
    twice = png((b"tEXt", b"prompt\0{}"), (b"tEXt", b"prompt\0[]"))
    assert read_texts(twice).texts == {"prompt": "{}"}
    assert "more than once" in read_texts(twice).notes[0]


HOSTILE_NAME = (
    '</td><script>alert(document.domain)</script>\u202egpj.exe\x00\x1b[2J../../../etc/passwd"onload="x' + "A" * 9999
)


def test_hostile_names_come_out_clean_and_short_and_run_nowhere():
    prompt = json.loads(json.dumps(PROMPT))
    prompt["4"]["inputs"]["ckpt_name"] = HOSTILE_NAME
    prompt["3"]["inputs"]["sampler_name"] = "{{7*7}}${jndi:ldap://x}\ud800" + "B" * 1000
    claims = read_claims(with_prompt(prompt))
    shown = [*claims.checkpoints, *claims.vaes, *claims.samplers, claims.sentence]
    for text in shown:
        assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs")]
        text.encode()
    assert all(len(text) < 900 for text in shown)
    row = TraceRow("a.png", claims=claims.sentence, agreement_reason=compare(claims, ("x",), "belonging").reason)
    page = report_page([row], {}, "one")
    assert page.count("<script>") == 1 and "<script>alert" not in page
    assert 'onload="' not in page


@hypothesis_settings(max_examples=150)
@given(st.binary(max_size=300), st.sampled_from(["raw", "png", "jpeg", "webp", "exif", "ztxt", "itxt"]))
def test_any_bytes_are_read_without_an_error(noise, container):
    content = {
        "raw": noise,
        "png": b"\x89PNG\r\n\x1a\n" + noise,
        "jpeg": b"\xff\xd8\xff\xe1" + struct.pack(">H", len(noise) + 8) + b"Exif\0\0" + noise,
        "webp": b"RIFF\0\0\0\0WEBPEXIF" + struct.pack("<I", len(noise)) + noise,
        "exif": png((b"eXIf", b"II*\0\x08\0\0\0" + noise)),
        "ztxt": png((b"zTXt", b"prompt\0\0" + noise)),
        "itxt": png((b"iTXt", b"prompt\0" + noise)),
    }[container]
    claims = read_claims(content)
    assert claims.sentence
    assert isinstance(pixels_only(content), bytes)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
# Shaped like a graph, with anything in the places of names and links.
node_values = st.fixed_dictionaries(
    {"class_type": st.sampled_from(["SaveImage", "VAEDecode", "KSampler", "VAELoader"]) | json_values},
    optional={"inputs": json_values | st.dictionaries(
        st.sampled_from(["images", "samples", "vae", "vae_name", "ckpt_name", "sampler_name", "seed", "steps"]),
        json_values | st.tuples(st.sampled_from(["1", "2", "3", 1, 2]), st.integers(0, 3)).map(list),
    )},
)  # fmt: skip


@hypothesis_settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(["1", "2", "3", "x"]), node_values | json_values) | json_values)
def test_any_graph_is_read_without_an_error(graph):
    for claims in (claims_of_prompt(graph), claims_of_workflow(graph), claims_of_workflow({"nodes": graph})):
        for name in (*claims.checkpoints, *claims.vaes, *claims.samplers):
            name.encode()
            assert len(name) <= 201 * 10
        assert compare(claims, ("a",), "belonging").comparison in ("agree", "undecided", "no claim")
    loaded_vae_names(graph, "1")


@given(st.text(max_size=300))
def test_cleaned_text_holds_nothing_invisible_and_reads_the_same_twice(text):
    cleaned = clean_text(text)
    cleaned.encode()
    assert not [c for c in cleaned if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert clean_text(cleaned, 10_000) == cleaned
    assert not spreadsheet_cell(cleaned).startswith(("=", "+", "-", "@"))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@hypothesis_settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 255), st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "BMP"]))
def test_a_damaged_byte_gives_a_picture_or_one_sentence(position, value, file_format):
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "prompt:{}", 6
    stored = io.BytesIO()
    PIXELS.save(stored, file_format, **({} if file_format == "BMP" else {"exif": exif}))
    content = bytearray(stored.getvalue())
    content[position % len(content)] = value
    read_claims(bytes(content))
    try:
        assert load_image("damaged", bytes(content)).pixels.shape[1] == 3
    except InvalidImageError as error:
        assert str(error).startswith("damaged ")


def test_stripping_keeps_every_other_chunk():
    content = png((b"tEXt", b"a\0b"), (b"gAMA", b"\0\0\0\1"), (b"iTXt", b"c"))
    assert [kind for kind, _ in png_chunks(pixels_only(content))] == [b"IHDR", b"gAMA", b"IDAT", b"IEND"]
    assert pixels_only(png()) == png()
    assert pixels_only(b"\xff\xd8 no PNG") == b"\xff\xd8 no PNG"
    assert parse_json('{"is_changed": [NaN], "big": 1' + "0" * 30 + "}") == ({"is_changed": [None], "big": None}, "")
