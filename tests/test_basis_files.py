"""Basis files from anywhere: refused in one sentence, and bound to the weights they were measured on."""

from __future__ import annotations

import dataclasses
import json
import struct

import pytest
import torch
from latent_tracer.core import ModuleAutoencoder
from latent_tracer.core.fingerprints import FingerprintBasis, InvalidBasisError, load_basis
from latent_tracer.core.fingerprints.basis import FORMAT
from latent_tracer.core.models.weight_digest import old_digest


@pytest.fixture
def basis() -> FingerprintBasis:
    """Two channels, patches of one cell."""
    values = [torch.eye(2) if number == 2 else torch.ones(2) for number in range(8)]
    return FingerprintBasis("f", "name", 2, 1, 5, *values)


def header_of(basis, tmp_path) -> dict:
    path = tmp_path / "sound.safetensors"
    basis.save(path)
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def with_header(basis, tmp_path, header) -> object:
    """The sound file's tensors under another header."""
    content = (tmp_path / "sound.safetensors").read_bytes()
    text = json.dumps(header).encode()
    path = tmp_path / "other.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + int.from_bytes(content[:8], "little") :])
    return path


@pytest.mark.parametrize(
    "about",
    [
        "[" * 50_000,
        '{"a":' * 3000,
        '{"channels": ' + "9" * 5000 + "}",
        "not JSON",
        "[]",
        "NaN",
        '"text"',
        "{}",
        {"channels": 2.0},
        {"channels": True},
        {"channels": 10**400},
        {"channels": -2, "side": 1},
        {"side": -1},
        {"images": 0},
        {"fingerprint": ["f"]},
        {"autoencoder": None},
        {"more": 1},
    ],
)
def test_hostile_descriptions_are_refused(basis, tmp_path, about):
    header = header_of(basis, tmp_path)
    assert load_basis(with_header(basis, tmp_path, header)).channels == 2
    sound = json.loads(header["__metadata__"]["about"])
    header["__metadata__"]["about"] = json.dumps(sound | about) if isinstance(about, dict) else about
    with pytest.raises(InvalidBasisError) as caught:
        load_basis(with_header(basis, tmp_path, header))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("version", ["", "0", "3", "-1", "1.0", "9" * 5000, "\u0663", "\x1b[31m", "²"])
def test_other_versions_are_refused(basis, tmp_path, version):
    header = header_of(basis, tmp_path)
    header["__metadata__"]["version"] = version
    with pytest.raises(InvalidBasisError) as caught:
        load_basis(with_header(basis, tmp_path, header))
    assert "\x1b" not in str(caught.value)


def test_tensors_without_measure_are_refused(basis, tmp_path):
    header = header_of(basis, tmp_path)
    for shape in ([0, 2**63], [0, 2**40], [1]):
        changed = header | {"mean": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
        with pytest.raises(InvalidBasisError):
            load_basis(with_header(basis, tmp_path, changed))
    path = tmp_path / "large.safetensors"  # sparse on the disk
    size = 20_000_000
    text = json.dumps({
        "__metadata__": {"format": FORMAT, "version": "1", "about": "{}"},
        "mean": {"dtype": "F32", "shape": [size], "data_offsets": [0, 4 * size]},
    }).encode()  # fmt: skip
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + 4 * size)
    with pytest.raises(InvalidBasisError, match="holds 20000000 values"):
        load_basis(path)


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b"])
def test_odd_names_are_refused(name):
    with pytest.raises(InvalidBasisError):
        load_basis(name)


def test_other_files_are_named(tmp_path):
    path = tmp_path / "basis.safetensors"
    path.write_bytes(b"<!DOCTYPE html><html>")
    with pytest.raises(InvalidBasisError, match="a web page"):
        load_basis(path)


def test_a_basis_fits_the_weights_it_was_measured_on_and_their_casts(basis, convolutional):
    whole, half = convolutional(), convolutional()
    half = ModuleAutoencoder("half", half.module.half().float(), half.module.encode, half.module.decode)
    assert half.fingerprint != whole.fingerprint
    for measured in (whole, half):
        made = dataclasses.replace(basis, fingerprint=measured.fingerprint)
        made.check(whole), made.check(half)

    other = convolutional()
    other.module.decoder[0].bias.data[0] += 1
    with pytest.raises(InvalidBasisError, match="load its own VAE"):
        dataclasses.replace(basis, fingerprint=whole.fingerprint).check(other)


def test_a_basis_of_an_earlier_release_still_fits_its_weights(basis, convolutional):
    """Pictures marked with it can be read with nothing else."""
    autoencoder = convolutional()
    made = dataclasses.replace(basis, fingerprint=old_digest(autoencoder.module.state_dict()))
    made.check(autoencoder)
    autoencoder.module.decoder[0].weight.data[0] += 1
    with pytest.raises(InvalidBasisError, match="load its own VAE"):
        made.check(autoencoder)
