"""What is fuzzed: by kind, files to begin with, and what the program does with a file of that kind.

A call may return or raise the program's own errors, in one line of printable text; anything else is a failure.
"""

from __future__ import annotations

import io
import json
import math
import struct
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from latent_tracer.core import LatentTracerError, Picture, load_autoencoder, load_generator, load_profiles
from latent_tracer.core.calibration.kept import SUFFIX, KeptScores
from latent_tracer.core.errors import visible
from latent_tracer.core.files.claims_of_graphs import claims_of_prompt, claims_of_workflow
from latent_tracer.core.files.provenance import read_claims
from latent_tracer.core.fingerprints import FingerprintBasis, Secret, load_basis, load_register, load_secret, parse_key
from latent_tracer.core.models.loading import EMBEDDED
from latent_tracer.core.profiles.profile import digest_of
from latent_tracer.core.profiles.table import source_table
from latent_tracer.core.profiles.trust import EMBEDDED as PROFILES
from latent_tracer.core.reports.folder_report import csv_text, json_text
from latent_tracer.core.reports.journal import Journal
from latent_tracer.core.reports.page import report_page
from latent_tracer.core.storage.safe_text import spreadsheet_cell
from latent_tracer.core.tracing.row import TraceRow, failed_row
from latent_tracer.core.verdicts.doubt import History
from PIL import Image, PngImagePlugin
from safetensors.torch import save

Seeds = dict[str, bytes]
WEIGHTS = "diffusion_pytorch_model.safetensors"
# Histories are looked for in a quarter of the small pictures only: they cost more than everything else.
SMALL = 4096


@dataclass(frozen=True)
class Kind:
    """``seeds`` makes the files to begin with by name; ``call`` gets one file and the name of the seed it came from.

    ``cost``: how many calls of the cheapest kind one call is worth. ``json``: more than half of the changes are made to
    parsed values instead of bytes, in the whole file or in the header of a safetensors file. ``sign``: makes good what
    protects a file from being changed, or no change would get past it.
    """

    seeds: Callable[[], Seeds]
    call: Callable[[bytes, str], None]
    cost: int = 1
    json: Literal["", "whole", "header"] = ""
    sign: Callable[[bytes], bytes] = bytes


def allowed(error: BaseException) -> bool:
    """Whether a call may raise ``error``."""
    return isinstance(error, LatentTracerError) and is_clean(str(error)) and len(str(error)) < 2000


def is_clean(text: str) -> bool:
    """Whether ``text`` holds nothing that a terminal would obey."""
    return visible(text) == text


@cache
def picture_seeds() -> Seeds:
    """One small file of every format that is read, in its variants, and some that are not."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 4), dtype=np.uint8)
    colour, alpha = Image.fromarray(pixels[..., :3].copy()), Image.fromarray(pixels)
    grey, palette = colour.convert("L"), colour.quantize(16)
    deep = Image.fromarray((pixels[..., 0].astype(np.uint16) << 8) + pixels[..., 1])
    floats = Image.fromarray(pixels[..., 0].astype(np.float32) / 255)
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", json.dumps(GRAPH), zip=True)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x0110] = 6, "Steps: 20, Sampler: Euler, Model: a", f"prompt:{json.dumps(GRAPH)}"
    several: dict[str, Any] = {"save_all": True, "append_images": [colour.rotate(90)]}
    variants: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "rgb.png": (colour, "PNG", {"pnginfo": text, "exif": exif}),
        "rgba.png": (alpha, "PNG", {}),
        "palette.png": (palette, "PNG", {"bits": 4, "transparency": 3}),
        "bits.png": (grey.convert("1"), "PNG", {}),
        "deep.png": (deep, "PNG", {}),
        "moving.png": (colour, "PNG", several),
        "rgb.jpg": (colour, "JPEG", {"exif": exif, "comment": b"{}"}),
        "progressive.jpg": (colour, "JPEG", {"progressive": True, "subsampling": 0}),
        "grey.jpg": (grey, "JPEG", {}),
        "cmyk.jpg": (colour.convert("CMYK"), "JPEG", {}),
        "several.jpg": (colour, "MPO", several),
        "lossy.webp": (colour, "WEBP", {"exif": exif}),
        "lossless.webp": (alpha, "WEBP", {"lossless": True}),
        "moving.webp": (colour, "WEBP", several),
        "rgb.avif": (colour, "AVIF", {"exif": exif}),
        "plain.gif": (palette, "GIF", {}),
        "moving.gif": (palette, "GIF", several),
        **{
            f"{way}.tif": (colour, "TIFF", {"compression": way, "exif": exif})
            for way in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
        },
        "several.tif": (colour, "TIFF", several),
        "deep.tif": (deep, "TIFF", {}),
        "float.tif": (floats, "TIFF", {}),
        "lab.tif": (Image.merge("LAB", colour.split()), "TIFF", {}),
        "rgb.bmp": (colour, "BMP", {}),
        "palette.bmp": (palette, "BMP", {}),
        "rgb.jp2": (colour, "JPEG2000", {}),
        "rgb.tga": (colour, "TGA", {"compression": "tga_rle"}),
        "rgb.ppm": (colour, "PPM", {}),
        "grey.pgm": (deep.convert("I"), "PPM", {}),
        "float.pfm": (floats, "PPM", {}),
        "script.eps": (colour, "EPS", {}),
        "texture.dds": (colour, "DDS", {}),
        "icon.ico": (colour, "ICO", {}),
        "raw.sgi": (colour, "SGI", {}),
        "raw.pcx": (colour, "PCX", {}),
    }
    seeds: Seeds = {"rgb.qoi": b"qoif" + struct.pack(">IIBB", 24, 20, 3, 0) + b"\xfe\1\2\3" * 480 + bytes(7) + b"\1"}
    for name, (picture, file_format, options) in variants.items():
        content = io.BytesIO()
        try:
            picture.copy().save(content, file_format, **options)
        except (KeyError, OSError, ValueError, TypeError):  # the installed Pillow cannot write it
            continue
        seeds[name] = content.getvalue()
    return seeds


GRAPH: dict[str, Any] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors"}},
    "2": {"class_type": "KSampler", "inputs": {"model": ["1", 0], "sampler_name": "euler", "steps": 20, "cfg": 7.5}},
    "3": {"class_type": "VAEDecode", "inputs": {"samples": ["2", 0], "vae": ["1", 2]}},
    "4": {"class_type": "ImageScale", "inputs": {"image": ["3", 0], "width": 64}},
    "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "x"}},
}
WORKFLOW = {
    "nodes": [
        {"type": "VAELoader", "mode": 0, "widgets_values": ["b.safetensors"]},
        {"type": "KSampler", "widgets_values": [1, "fixed", 20, 7, "euler", "normal", 1]},
    ]
}


def read_picture(content: bytes, name: str) -> None:
    """The whole road of a picture to its row but for the model's passes."""
    picture = Picture.read(name, content)
    if picture.pixels.shape[-1] * picture.pixels.shape[-2] <= SMALL and len(content) % 4 == 0:
        History.of(picture.pixels)
    row = failed_row(picture.facts, picture.upright, "no model was asked")
    json_text([row], {})
    csv_text([row])


def read_metadata(content: bytes, name: str) -> None:
    """As the text of every keyword in a PNG, and as the graph itself."""
    packed = zlib.compress(content)
    for keyword in (b"prompt", b"workflow", b"parameters", b"sd-metadata", b"Comment"):
        data = keyword + b"\0\0" + packed
        chunk = struct.pack(">I", len(data)) + b"zTXt" + data + bytes(4)
        claims = read_claims(b"\x89PNG\r\n\x1a\n" + chunk)
        assert is_clean(claims.sentence)
        spreadsheet_cell(claims.sentence)
    try:
        graph = json.loads(content)
    except (ValueError, RecursionError):
        return
    claims_of_prompt(graph)
    claims_of_workflow(graph)


def json_seeds(**values: Any) -> Seeds:
    return {name: json.dumps(value).encode() for name, value in values.items()}


@cache
def metadata_seeds() -> Seeds:
    invoke = {"app_version": "4", "model": {"name": "a"}, "vae": {"model_name": "b"}, "scheduler": "euler", "steps": 20}
    return {
        **json_seeds(
            prompt=GRAPH,
            workflow=WORKFLOW,
            swarm={"sui_image_params": {"model": "a", "vae": "b", "sampler": "euler", "steps": 20}},
            fooocus={"base_model": "a", "vae": "Default (model)", "sampler": "dpmpp", "seed": "1"},
            invoke=invoke,
            novel={"request_type": "x", "sampler": "k_euler", "scale": 5.5},
            inner={"prompt": json.dumps(GRAPH)},
        ),
        "a1111": b'a cat\nNegative prompt: b\nSteps: 20, Sampler: Euler a, VAE: "x, y", Model: sd_xl, Version: f2',
    }


def in_file(use: Callable[[Path], object], name: str = "file") -> Callable[[bytes, str], None]:
    """A call that writes its bytes into a file and has ``use`` read it."""

    def call(content: bytes, _: str) -> None:
        with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
            (Path(folder) / name).write_bytes(content)
            use(Path(folder) / name)

    return call


@cache
def tiny_network() -> tuple[dict[str, Any], bytes]:
    """Configuration and weights of a small KL autoencoder as diffusers keeps them."""
    import diffusers

    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownEncoderBlock2D",), "up_block_types": ("UpDecoderBlock2D",)}
    module = diffusers.AutoencoderKL(**blocks, block_out_channels=(32,), layers_per_block=1, norm_num_groups=8)
    return dict(module.config), save(module.state_dict())


@cache
def config_seeds() -> Seeds:
    kept = {key: value for key, value in tiny_network()[0].items() if not key.startswith("_")}
    return json_seeds(
        kl={"_class_name": "AutoencoderKL", **kept},
        tiny={"_class_name": "AutoencoderTiny", "latent_channels": 4},
        vq={"_class_name": "VQModel", "latent_channels": 3, "num_vq_embeddings": 16, "block_out_channels": [32]},
    )


def read_config(content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        (Path(folder) / "config.json").write_bytes(content)
        (Path(folder) / WEIGHTS).write_bytes(tiny_network()[1])
        load_autoencoder(folder)


@cache
def weights_seeds() -> Seeds:
    header = {
        "__metadata__": {"format": "pt"},
        "taesd_encoder.0.weight": {"dtype": "F32", "shape": [64, 3, 3, 3], "data_offsets": [0, 6912]},
        "taesd_decoder.1.weight": {"dtype": "F32", "shape": [64, 4, 3, 3], "data_offsets": [6912, 16128]},
    }
    text = json.dumps(header).encode()
    whole = EMBEDDED["demo-a"].read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little")
    return {
        "kl": tiny_network()[1],
        "two": struct.pack("<Q", len(text)) + text + bytes(16128),
        "demo, cut off": whole[: length + 4096],
        "zip": b"PK\3\4" + bytes(60),
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    }


def read_weights(path: Path) -> None:
    try:
        load_autoencoder(path)
    except LatentTracerError as error:
        assert allowed(error), repr(error)
    load_generator(path)


def signed_png(content: bytes) -> bytes:
    """With the sums of all chunks as they should be."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return content
    data, position = bytearray(content), 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        struct.pack_into(">I", data, end, zlib.crc32(data[position + 4 : end]))
        position = end + 4
    return bytes(data)


def signed_profile(content: bytes) -> bytes:
    """With the digest as it should be, where there is a profile at all."""
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        record = json.loads(content)
        kept = {key: value for key, value in record.items() if key not in ("format", "version", "digest")}
        return json.dumps({**record, "digest": digest_of(kept)}).encode()
    return content


@cache
def profile_seeds() -> Seeds:
    record = json.loads((PROFILES / "demo-a.profile.json").read_bytes())
    part = {key: value for key, value in record.items() if key not in ("format", "version", "digest")}
    several = {"format": record["format"], "version": 3, "profiles": [part, {**part, "condition": "jpeg-90"}]}
    several["digest"] = digest_of(several)
    return json_seeds(demo=record, small={key: record[key] for key in list(record)[:8]}, several=several)


def read_profile(path: Path) -> None:
    for known in load_profiles(path):
        source_table(known)
        known.to_json()


@cache
def basis_seeds() -> Seeds:
    size = 16
    vectors = {
        name: torch.rand(size) + 0.1
        for name in ("mean", "readout_mean", "variance", "gain", "response", "noise", "image_cost")
    }
    basis = FingerprintBasis("0" * 40, "demo", 4, 2, 24, directions=torch.eye(size), **vectors)
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        basis.save(Path(folder) / "basis")
        return {"basis": (Path(folder) / "basis").read_bytes()}


def read_basis(path: Path) -> None:
    known = load_basis(path)
    known.check(load_demo())


@cache
def load_demo() -> Any:
    return load_autoencoder("demo-a")


@cache
def register_seeds() -> Seeds:
    register = {"format": "latent-tracer-fingerprint-register", "version": 1, "key_bits": 64, "salt": "0" * 32}
    return json_seeds(register={**register, "check": "1" * 32, "users": ["Ada", "Bob"]})


def read_register(path: Path) -> None:
    load_register(path).keys(Secret(b"a secret of more than sixteen characters"))


def read_secret(path: Path) -> None:
    try:
        load_secret(path)
    except LatentTracerError as error:
        assert allowed(error), repr(error)
    parse_key(path.read_bytes().decode("latin-1"))


@cache
def journal_seeds() -> Seeds:
    entry = {"format": "latent-tracer-journal", "version": 1, "settings": "s", "file": "f"}
    row = replace(TraceRow("a.png", "f", 10, "PNG", 24, 20), verdict="belonging", score=0.5, notes=("one",))
    lines = [{**entry, "row": row.to_record()}, {**entry, "file": "g", "final": False, "row": {"name": "b"}}]
    return {**json_seeds(line=lines[0]), "lines": b"".join(json.dumps(line).encode() + b"\n" for line in lines)}


def read_journal(path: Path) -> None:
    rows = list(Journal(path, "s").finished.values())
    json_text(rows, {})
    csv_text(rows)
    report_page(rows, {}, "a summary")
    assert all(math.isfinite(row.score) for row in rows if row.score is not None)


@cache
def unfinished_seeds() -> Seeds:
    demo = load_demo()
    entry = {"format": "latent-tracer-calibration", "version": 1, "sample": "a"}
    entry |= {"settings": ["1", demo.fingerprint, "cpu", str(demo.dtype)]}
    lines = [{**entry, "measured": {"value": 0.5, "sides": [8, 16]}}, {**entry, "sample": "b", "measured": {}}]
    return {**json_seeds(line=lines[0]), "lines": b"".join(json.dumps(line).encode() + b"\n" for line in lines)}


def read_unfinished(path: Path) -> None:
    with KeptScores(path.with_name("p"), load_demo(), "1") as kept:
        kept.get("a")


KINDS = {
    "pictures": Kind(picture_seeds, read_picture, sign=signed_png),
    "metadata": Kind(metadata_seeds, read_metadata, json="whole"),
    "weights": Kind(weights_seeds, in_file(read_weights, "vae.safetensors"), cost=8, json="header"),
    "configs": Kind(config_seeds, read_config, cost=8, json="whole"),
    "profiles": Kind(profile_seeds, in_file(read_profile), json="whole", sign=signed_profile),
    "bases": Kind(basis_seeds, in_file(read_basis), json="header"),
    "registers": Kind(register_seeds, in_file(read_register), json="whole"),
    "secrets": Kind(lambda: {"secret": b"6" * 64 + b"\n", "key": b"0123456789abcdef"}, in_file(read_secret), cost=4),
    "journals": Kind(journal_seeds, in_file(read_journal, "journal.jsonl"), json="whole"),
    "calibrations": Kind(unfinished_seeds, in_file(read_unfinished, f"p{SUFFIX}"), json="whole"),
}
