"""Keys, in numbers: which digits and lengths make one, what is said of the others, and what is never shown."""

from __future__ import annotations

import dataclasses
import os

import pytest
from latent_tracer.core import InvalidSettingError
from latent_tracer.core.fingerprints import InvalidSecretError, Key, Secret, parse_key
from latent_tracer.core.fingerprints.keys import (
    DEFAULT_BITS,
    check_key_bits,
    hkdf,
    load_secret,
    secret_from_environment,
    write_new_secret,
)

SECRET = Secret(b"a secret of nobody, for tests")


@pytest.mark.parametrize("digits", ["0123abcd", "0123456789abcdef", "f" * 9, "0123456789abcdef" * 4])
def test_digits_make_a_key_however_they_are_written(digits):
    key = parse_key(f" 0x{digits}\n")
    assert key == parse_key(digits.upper()) == Key(digits) and len(key) == 4 * len(digits)


@pytest.mark.parametrize("text", ["", "0x", " ", "x0123456789abcde", "0123456789abcdeg", "0123456789 bcdef", "x" * 16])
def test_what_is_not_hexadecimal_is_no_key(text):
    with pytest.raises(InvalidSettingError, match="not hexadecimal: use digits 0-9 and a-f only, 16 of them for 64"):
        parse_key(text)


@pytest.mark.parametrize("bits", [0, 28, 31, 33, 34, 62, 258, 260])
def test_other_lengths_are_refused_and_the_possible_ones_named(bits):
    sentence = f"A key of {bits} bits cannot be used: keys have 32 to 256 bits, four per hexadecimal digit; 64 is"
    with pytest.raises(InvalidSettingError, match=sentence):
        check_key_bits(bits)
    with pytest.raises(InvalidSettingError, match=sentence):
        SECRET.user_key("a", bits)
    if bits % 4 == 0 and bits:
        with pytest.raises(InvalidSettingError, match=sentence):
            parse_key("a" * (bits // 4))


@pytest.mark.parametrize("bits", [32, 36, 64, 252, 256])
def test_keys_of_users_have_the_length_asked_for(bits):
    assert len(SECRET.user_key("a", bits)) == bits
    assert len(SECRET.user_key("a")) == DEFAULT_BITS == 64
    assert len({SECRET.user_key(user, bits).hexadecimal for user in "abcdefgh"}) == 8


def test_the_longest_output_of_hkdf_has_255_blocks():
    assert len(hkdf(b"material", b"", b"", 8160)) == 8160
    with pytest.raises(ValueError, match="range"):
        hkdf(b"material", b"", b"", 8161)


def test_a_key_cannot_be_changed_and_is_not_shown():
    key = Key("0123456789abcdef")
    with pytest.raises(dataclasses.FrozenInstanceError):
        key.hexadecimal = "0" * 16
    assert repr(key) == str(key) == "Key(64 bits, hidden)" and "hidden" in repr([key])
    assert key.bits is key.bits and {key: 1}[Key("0123456789abcdef")] == 1


def test_a_secret_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "owner.secret"
    write_new_secret(path)
    content = path.read_bytes()
    assert len(bytes.fromhex(content.decode())) == 32 and content.endswith(b"\n") and len(content) == 65
    assert os.name == "nt" or path.stat().st_mode & 0o077 == 0
    write_new_secret(tmp_path / "another")
    assert (tmp_path / "another").read_bytes() != content
    with pytest.raises(InvalidSettingError, match="never overwritten"):
        write_new_secret(path)
    assert path.read_bytes() == content
    with pytest.raises(InvalidSecretError, match="missing cannot be read .No such file or directory"):
        load_secret(tmp_path / "missing")
    monkeypatch.delenv("LATENT_TRACER_SECRET", raising=False)
    with pytest.raises(InvalidSecretError, match="variable LATENT_TRACER_SECRET is not set"):
        secret_from_environment()
    monkeypatch.setenv("LATENT_TRACER_SECRET", "")
    with pytest.raises(InvalidSecretError, match="variable LATENT_TRACER_SECRET is not set"):
        secret_from_environment()
    monkeypatch.setenv("LATENT_TRACER_SECRET", content.decode())
    assert secret_from_environment().derive("x") == load_secret(path).derive("x") != SECRET.derive("x")
