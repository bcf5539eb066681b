"""What was written once must be read for ever: keys, codes, marks and files against committed ones.

If one of these tests fails, do not touch ``tests/golden``: the change would break the files and marks of every user.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from latent_tracer.core import load_autoencoder, load_image
from latent_tracer.core.fingerprints import (
    FingerprintBasis,
    Key,
    Secret,
    attribute_user,
    load_basis,
    load_register,
    parse_key,
    read,
)
from latent_tracer.core.fingerprints import convolutional_code as code
from latent_tracer.core.fingerprints.carrier import _on_grid, make_layout
from latent_tracer.core.fingerprints.codebook import PILOTS, coded_bits, free_codewords, key_codewords
from latent_tracer.core.fingerprints.keys import carrier_seed, hkdf
from latent_tracer.core.reports.folder_report import csv_text, json_text
from latent_tracer.core.reports.journal import Journal, settings_digest
from latent_tracer.core.tracing.row import THUMBNAIL_PREFIX, TraceRow, parse_row

GOLDEN = Path(__file__).parent / "golden"
VECTORS = json.loads((GOLDEN / "vectors.json").read_text(encoding="utf-8"))
SECRET = Secret(VECTORS["secret"].encode())
ROWS = (
    TraceRow(
        name="below/Prüfung.png", digest="a1" * 32, size=1234, format="PNG", width=640, height=512,
        notes=("cropped to the latent grid: 640×512 at (0, 1) of 640×514", "its EXIF data is damaged"),
        model="demo-a", fingerprint="9a" * 16, verdict="belonging", score=-3.25, p_value=0.0137, fpr=0.0137,
        condition="clean", basis="why, in words.", loss=1.5e-05, claimed_checkpoints=("sd.safetensors",),
        claimed_vaes=("demo-a.safetensors",), claimed_samplers=("euler",), claims="ComfyUI: demo-a", agreement="agree",
        agreement_reason="both say so", thumbnail=THUMBNAIL_PREFIX + "/9j/2Q==",
    ),
    TraceRow(
        name="=cmd.jpg", digest="b2" * 32, size=99, format="JPEG", width=16, height=16, lossy=True, jpeg_quality=75,
        error="The image is flat.",
    ),
)  # fmt: skip
UNREADABLE = TraceRow(name="broken.png", error="cannot be decoded")
SETTINGS = {"release": "0.1.0", "model": "9a" * 16, "profile": None, "threshold": 0.5, "pictures": False}


def starts_with(written: Any, golden: Any) -> bool:
    """Whether ``written`` has every field of ``golden``, in its order and with its value; more may follow."""
    if isinstance(golden, dict):
        names = list(golden)
        return list(written)[: len(names)] == names and all(starts_with(written[name], golden[name]) for name in names)
    if isinstance(golden, list):
        return len(written) == len(golden) and all(map(starts_with, written, golden))
    return type(written) is type(golden) and written == golden


def hexadecimal(codeword: torch.Tensor) -> str:
    return np.packbits(codeword.numpy() < 0).tobytes().hex()


# --- secret, key, code ---


@pytest.mark.parametrize(
    ("material", "salt", "info", "expected"),
    [
        (
            bytes([0x0B]) * 22,
            bytes(range(0x0D)),
            bytes(range(0xF0, 0xFA)),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)),
            bytes(range(0x60, 0xB0)),
            bytes(range(0xB0, 0x100)),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            bytes([0x0B]) * 22,
            b"",
            b"",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
    ids=["A.1", "A.2", "A.3"],
)
def test_hkdf_is_that_of_rfc_5869(material, salt, info, expected):
    """The test cases of its appendix with SHA-256."""
    assert hkdf(material, salt, info, len(expected) // 2).hex() == expected


def test_a_secret_gives_every_user_the_same_key_as_ever():
    for user in VECTORS["user_keys"]:
        assert SECRET.user_key(user["user"], user["bits"]).hexadecimal == user["key"]
    assert Secret(b"\n " + VECTORS["secret"].encode() + b"\r\n").user_key("alice", 32).hexadecimal in {
        user["key"] for user in VECTORS["user_keys"]
    }
    assert carrier_seed(SECRET).hex() == VECTORS["carrier_seed"]
    assert carrier_seed(None).decode() == VECTORS["public_carrier_seed"]


def test_a_carrier_lies_where_it_always_lay():
    for one in VECTORS["carriers"]:
        seed = carrier_seed(SECRET if one["secret"] else None)
        carrier = _on_grid(one["rows"], one["columns"], one["directions"], one["coded_bits"], seed)
        content = carrier.bit.numpy().astype("<i8").tobytes() + carrier.weight.numpy().astype("<f4").tobytes()
        assert hashlib.sha256(content).hexdigest() == one["sha256"]


def test_a_key_has_the_codeword_that_it_always_had():
    assert {len(one["codeword"]) * 4 // (4 * len(one["key"]) + 8) for one in VECTORS["codewords"]} == {2, 3, 4}
    for one in VECTORS["codewords"]:
        key = parse_key(one["key"])
        codeword = key_codewords([key])[0] * free_codewords(len(key))[one["free"]]
        assert coded_bits(len(key)) == len(codeword) == 4 * len(one["codeword"])
        assert hexadecimal(codeword) == one["codeword"]
        message = code.decode(codeword.numpy()[None], len(codeword) // (len(key) + 8))[0]
        assert Key.from_bits(message[: len(key)]) == key and np.packbits(message[len(key) :])[0] == one["free"]


# --- marks ---


@pytest.fixture(scope="module")
def demo():
    return load_autoencoder("demo-a")


@pytest.fixture(scope="module")
def basis(demo) -> FingerprintBasis:
    # How weights are named may change, what a basis measured does not.
    return dataclasses.replace(load_basis(GOLDEN / "basis.safetensors"), fingerprint=demo.fingerprint)


def test_a_picture_marked_long_ago_still_names_its_user(demo, basis):
    register = load_register(GOLDEN / "register.json")
    reading = read(demo, load_image(GOLDEN / "marked.png").pixels, basis, key_bits=32, secret=SECRET, refining_steps=0)
    assert reading.key == register.keys(SECRET)[1] and reading.p_value < 1e-20
    assert attribute_user(reading, register, SECRET).user == "Jürgen Müller"


def test_a_bound_picture_marked_long_ago_still_names_its_user(demo):
    """The carrier's draw, what content is, its units and the code: none of them may change."""
    basis = dataclasses.replace(load_basis(GOLDEN / "basis-2.safetensors"), fingerprint=demo.fingerprint)
    register = load_register(GOLDEN / "register-2.json")
    assert basis.bound and register.version == 2
    image = load_image(GOLDEN / "marked-2.png").pixels
    reading = read(demo, image, basis, key_bits=32, secret=SECRET, refining_steps=0)
    assert reading.key == register.keys(SECRET)[1] and reading.p_value < 1e-40
    assert attribute_user(reading, register, SECRET).user == "Jürgen Müller"


def test_the_bound_carrier_is_drawn_as_ever(basis):
    vectors = json.loads((GOLDEN / "vectors-2.json").read_text(encoding="utf-8"))
    seed = carrier_seed(SECRET, True)
    assert (seed.hex(), carrier_seed(None, True).decode()) == (vectors["seed"], vectors["public_seed"])
    assert basis.content.tolist() == vectors["content"] and len(basis.chosen) == vectors["chosen"]
    assert coded_bits(32, PILOTS) == vectors["coded_bits"]
    layout = make_layout(len(basis.chosen), len(basis.content), vectors["coded_bits"], seed)
    assert hashlib.sha256(layout.bit.numpy().astype("<i4").tobytes()).hexdigest() == vectors["bit"]
    assert hashlib.sha256(layout.sign.numpy().astype("<f4").tobytes()).hexdigest() == vectors["sign"]
    assert np.allclose(layout.phases.flatten()[:8], vectors["phases"], atol=1e-4)
    assert np.allclose(layout.frequencies.flatten()[:24], vectors["frequencies"], atol=1e-4)


# --- files ---


def test_a_register_is_read_and_written_as_ever(tmp_path):
    register = load_register(GOLDEN / "register.json")
    assert register.users == ("alice", "Jürgen Müller", "\u9234\u6728") and register.key_bits == 32
    known = {(user["user"], user["bits"]): user["key"] for user in VECTORS["user_keys"]}
    assert [key.hexadecimal for key in register.keys(SECRET)] == [known[user, 32] for user in register.users]
    for name in ("register.json", "register-2.json"):
        load_register(GOLDEN / name).save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == (GOLDEN / name).read_bytes()


def header(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def test_a_basis_is_read_and_written_as_ever(tmp_path):
    basis = load_basis(GOLDEN / "basis.safetensors")
    assert (basis.autoencoder, basis.channels, basis.side, basis.images) == ("demo-a", 8, 4, 12)
    assert basis.chosen.tolist() == VECTORS["chosen_directions"]
    for name in ("basis.safetensors", "basis-2.safetensors"):
        load_basis(GOLDEN / name).save(tmp_path / name)
        assert header(tmp_path / name) == header(GOLDEN / name)


def test_a_journal_is_read_and_written_as_ever(tmp_path):
    path = tmp_path / "journal.jsonl"
    shutil.copy(GOLDEN / "journal.jsonl", path)
    assert settings_digest(SETTINGS) == VECTORS["settings_digest"]
    assert Journal(path, settings_digest(SETTINGS)).finished == {row.digest: row for row in ROWS}
    assert not Journal(path, settings_digest({**SETTINGS, "threshold": 0.6})).finished
    path.unlink()
    with Journal(path, settings_digest(SETTINGS)) as journal:
        for row in ROWS:
            journal.add(row)
    written, golden = (one.read_bytes().splitlines(keepends=True) for one in (path, GOLDEN / "journal.jsonl"))
    assert all(line.endswith(b"}\n") for line in written) and len(written) == len(golden)
    assert all(starts_with(json.loads(a), json.loads(b)) for a, b in zip(written, golden, strict=True))


def test_a_json_report_is_written_as_ever():
    golden = json.loads((GOLDEN / "report.json").read_text(encoding="ascii"))
    written = json_text([*ROWS, UNREADABLE], {"inspected model": "demo-a", "calibrated on": "Höfe"}, pending=2)
    assert written.isascii() and starts_with(json.loads(written), golden)
    assert [parse_row(row) for row in golden["rows"]] == [
        dataclasses.replace(row, thumbnail="") for row in (*ROWS, UNREADABLE)
    ]


def test_a_csv_report_is_written_as_ever():
    golden = list(csv.reader(io.StringIO((GOLDEN / "report.csv").read_bytes().decode(), newline="")))
    written = csv_text([*ROWS, UNREADABLE])
    assert written.endswith("\r\n")
    table = list(csv.reader(io.StringIO(written, newline="")))
    assert [row[: len(golden[0])] for row in table] == golden
