"""What other programs claim is read by tables of keys, from every container; what is not known is said."""

import contextlib
import io
import json
import struct
import sys
import types

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from latent_tracer.core import Picture
from latent_tracer.core.files.claims_of_graphs import claims_of_prompt
from latent_tracer.core.files.claims_of_programs import claims_of_settings, claims_of_text
from latent_tracer.core.files.provenance import Claims, read_claims
from PIL import Image, PngImagePlugin, features

PIXELS = Image.new("RGB", (16, 16), (10, 20, 30))
A1111 = (
    "a lake, Steps: of stone\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, Schedule type: Karras,"
    " CFG scale: 7, Seed: 1, Size: 512x512, Model hash: 0123456789, Model: dream_v1, VAE hash: aabb,"
    " VAE: ft-mse.safetensors,"
    ' Lora hashes: "one: 12, VAE: none", Version: v1.10.1'
)
SWARM = {"sui_image_params": {"model": "x.safetensors", "vae": "sdxl_vae.safetensors", "sampler": "euler", "steps": 20}}
FOOOCUS = {"base_model": "juggernaut", "vae": "Default (model)", "sampler": "dpmpp_2m_sde_gpu", "scheduler": "karras"}
INVOKE = {
    "app_version": "5.0",
    "model": {"name": "sdxl-base"},
    "vae": {"name": "sdxl-fix"},
    "scheduler": "euler",
    "steps": 30,
}
NOVEL = {
    "request_type": "PromptGenerateRequest",
    "sampler": "k_euler",
    "steps": 28,
    "scale": 5.0,
    "seed": 3,
    "uncond_scale": 1,
}
GRAPH = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "dream.safetensors"}},
    "2": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["1", 2]}},
    "4": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
}


def png(**texts):
    information = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        information.add_itxt(key, text if isinstance(text, str) else json.dumps(text))
    content = io.BytesIO()
    PIXELS.save(content, "PNG", pnginfo=information)
    return content.getvalue()


def with_exif(file_format, tags, comment=None):
    """``tags`` in the first directory, or a user's ``comment`` in the one that it leads to."""
    exif = Image.Exif()
    for tag, text in tags.items():
        exif[tag] = text
    block = exif if file_format == "TIFF" else exif.tobytes()
    if comment is not None:
        first = struct.pack("<HHHII", 1, 0x8769, 4, 1, 26) + bytes(4)
        further = struct.pack("<HHHII", 1, 0x9286, 7, len(comment), 44) + bytes(4)
        block = b"Exif\0\0II*\0\x08\0\0\0" + first + further + comment
    content = io.BytesIO()
    PIXELS.save(content, file_format, exif=block)
    return content.getvalue()


def claims_of(content):
    return Picture.read("made.png", content).facts.claims


@pytest.mark.parametrize(
    ("content", "checkpoints", "vaes", "sampler", "source"),
    [
        (png(parameters=A1111), ("dream_v1",), ("ft-mse.safetensors",), "Euler a, scheduler Karras, steps 20", "A1111"),
        (png(parameters=SWARM), ("x.safetensors",), ("sdxl_vae.safetensors",), "euler, steps 20", "SwarmUI"),
        (png(parameters=FOOOCUS, fooocus_scheme="fooocus"), ("juggernaut",), ("juggernaut",), "dpmpp_2m", "Fooocus"),
        (png(invokeai_metadata=INVOKE), ("sdxl-base",), ("sdxl-fix",), "euler, steps 30", "InvokeAI"),
        (
            png(Software="NovelAI", Source="Stable Diffusion XL 7BCCAA2C", Comment=NOVEL),
            ("Stable Diffusion XL 7BCCAA2C",), (), "k_euler, steps 28, cfg 5.0, seed 3", "NovelAI",
        ),
    ],
    ids=["A1111", "SwarmUI", "Fooocus", "InvokeAI", "NovelAI"],
)  # fmt: skip
def test_each_program_is_read_by_its_table(content, checkpoints, vaes, sampler, source):
    claims = claims_of(content)
    assert (claims.checkpoints, claims.vaes) == (checkpoints, vaes)
    assert claims.samplers[0].startswith(sampler)
    assert claims.source.startswith(source)
    assert f"the file's {source}" in claims.sentence


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le", "ascii", "raw"])
@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "PNG", "AVIF"])
def test_a_users_comment_is_read_from_every_container(file_format, encoding):
    if file_format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    code = {"ascii": b"ASCII\0\0\0", "raw": b""}.get(encoding, b"UNICODE\0")
    comment = code + A1111.encode("ascii" if encoding in ("ascii", "raw") else encoding)
    claims = claims_of(with_exif(file_format, {}, comment))
    assert (claims.checkpoints, claims.vaes) == (("dream_v1",), ("ft-mse.safetensors",))


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "PNG", "TIFF"])
def test_a_description_is_read_from_every_container(file_format):
    assert claims_of(with_exif(file_format, {0x010E: A1111})).vaes == ("ft-mse.safetensors",)
    assert not claims_of(with_exif(file_format, {0x010E: "OLYMPUS DIGITAL CAMERA"}))


@pytest.mark.parametrize("tag", [0x0110, 0x010F, 0x010E])
@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "PNG", "TIFF", "AVIF"])
def test_a_graph_is_read_from_every_container(file_format, tag):
    if file_format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    for text in ("prompt:" + json.dumps(GRAPH), "Prompt:" + json.dumps(GRAPH)):
        claims = claims_of(with_exif(file_format, {tag: text}))
        assert (claims.checkpoints, claims.vaes) == (("dream.safetensors",), ("dream.safetensors",))


@pytest.mark.parametrize("field", [{"prompt": GRAPH}, {"prompt": json.dumps(GRAPH), "workflow": "{}"}, GRAPH])
def test_a_graph_among_other_settings_is_read(field):
    assert claims_of(png(parameters=field)).vaes == ("dream.safetensors",)


@pytest.mark.parametrize(
    ("vae_name", "named"),
    [("Baked VAE", "dream.safetensors"), ("own.safetensors", "own.safetensors"), (None, "dream.safetensors")],
)
def test_loaders_and_samplers_that_do_several_things_at_once_are_read(vae_name, named):
    graph = {
        "1": {"class_type": "Efficient Loader", "inputs": {"ckpt_name": "dream.safetensors", "vae_name": vae_name}},
        "2": {
            "class_type": "KSampler (Efficient)",
            "inputs": {"model": ["1", 0], "optional_vae": ["1", 4], "sampler_name": "euler", "steps": 20},
        },
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 5]}},
    }
    claims = claims_of_prompt(graph)
    assert (claims.checkpoints, claims.vaes) == (("dream.safetensors",), (named,))
    assert claims.samplers == ("euler, steps 20",)


@pytest.mark.parametrize(
    "content",
    [
        png(parameters="made with love"),
        png(parameters={"unknown": 1}),
        png(dream="a lake -s 20"),
        png(Comment={"new": "program"}),
        with_exif("JPEG", {}, b"ASCII\0\0\0a program of tomorrow"),
    ],
)
def test_metadata_that_are_not_known_are_said_to_be_there(content):
    claims = claims_of(content)
    assert not claims
    assert claims.sentence == "the file claims nothing (metadata of another program, not read)"


@pytest.mark.parametrize(
    "content",
    [
        png(Title="t", Author="a", Software="GIMP", Comment="Created with GIMP", Copyright="c"),
        png(Description="d"),
        with_exif("JPEG", {0x010F: "Canon", 0x0110: "EOS"}, b"ASCII\0\0\0" + b" " * 40),
        with_exif("JPEG", {0x0131: "Adobe Photoshop"}, bytes(264)),
    ],
)
def test_what_cameras_and_editors_write_is_no_claim(content):
    assert claims_of(content) == Claims()


SOURCE = b"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def test_a_manifest_and_a_digital_source_are_told_and_not_trusted(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    plain = png()
    manifest = plain[:33] + b"\0\0\0\4caBX" + b"jumb" + b"\0\0\0\0" + plain[33:]
    claims = claims_of(manifest)
    assert not claims and "C2PA manifest, whose signature was not checked" in claims.sentence
    information = PngImagePlugin.PngInfo()
    information.add_itxt("XML:com.adobe.xmp", f'<x a="{SOURCE.decode()}"/>')
    content = io.BytesIO()
    PIXELS.save(content, "PNG", pnginfo=information)
    assert "calls itself trainedAlgorithmicMedia" in claims_of(content.getvalue()).sentence
    jpeg = io.BytesIO()
    PIXELS.save(jpeg, "JPEG")
    body = jpeg.getvalue()
    segment = b"JP\0\1\0\0\0\1\0\0\0\x20jumb\0\0\0\x18jumdc2pa"
    signed = body[:2] + b"\xff\xeb" + (len(segment) + 2).to_bytes(2, "big") + segment + body[2:]
    assert "C2PA" in claims_of(signed).sentence
    assert "digital source type" not in claims_of(body).sentence


SIGNED = {"issuer": "An\x1b[31m Issuer", "common_name": "A Signer"}
MISMATCH = [{"code": "assertion.dataHash.mismatch"}]


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ({"signature_info": SIGNED}, "signed as An\\x1b[31m Issuer / A Signer, unaltered since; anyone can sign"),
        ({"signature_info": SIGNED, "problems": MISMATCH}, "does not fit the file (assertion.dataHash.mismatch)"),
        ({"signature_info": None}, "signed as somebody without a name"),
        ({"signature_info": {"issuer": 7}}, "signed as somebody without a name"),
        (RuntimeError("no\x1b manifest\nhere"), "that cannot be read (no\\x1b manifest here)"),
        (BaseException(), "that cannot be read (BaseException)"),
    ],
)
def test_the_signer_is_told_where_the_library_is_there_and_nothing_is_fetched(report, said, monkeypatch):
    asked = []

    class Reader:
        def __init__(self, kind, stream, context):
            asked.append((kind, stream.read(4), context))
            if isinstance(report, BaseException):
                raise report

        def json(self):
            status = {"validation_status": report.get("problems", [])}
            return json.dumps({"active_manifest": "a", "manifests": {"a": report}, **status})

    settings = types.SimpleNamespace(from_dict=lambda given: given)
    library = types.SimpleNamespace(Reader=Reader, Settings=settings, Context=contextlib.nullcontext)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: library)
    monkeypatch.setitem(sys.modules, "c2pa", library)
    plain = png()
    claims = claims_of(plain[:33] + b"\0\0\0\4caBX" + b"jumb" + b"\0\0\0\0" + plain[33:])
    assert not claims and said in claims.sentence and claims.sentence.isprintable()
    ((kind, start, context),) = asked
    assert (kind, start) == ("image/png", b"\x89PNG")
    assert set(context["verify"].values()) == {False} and "remote_manifest_fetch" in context["verify"]


settings_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "sui_image_params",
    "model",
    "vae",
    "base_model",
    "sampler",
    "steps",
    "app_version",
    "scheduler",
    "name",
    "prompt",
]


@hypothesis_settings(max_examples=150)
@given(
    st.dictionaries(st.sampled_from(KEYS), settings_values | st.dictionaries(st.sampled_from(KEYS), settings_values))
)
def test_any_settings_are_read_without_an_error(settings):
    claims_of_settings(settings, {"Source": "x"})
    text = json.dumps(settings)
    for keyword in ("parameters", "invokeai_metadata", "Comment", "prompt"):
        assert read_claims(png(**{keyword: text})).sentence


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(text):
    claims_of_text(text)
    claims_of_text("\nSteps: " + text)
