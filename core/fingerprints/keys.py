"""Fingerprint keys, and the secret from which the keys of all users and the hidden carrier are derived.

Neither a key nor a secret may reach a log, a report or a saved workflow: their ``repr`` shows nothing, and errors
about them never quote them.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import string
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import InvalidSettingError
from ..storage.atomic import write_bytes
from .convolutional_code import Bits

DEFAULT_BITS, FEWEST_BITS, MOST_BITS = 64, 32, 256
LONGEST_NAME = 200
SECRET_BYTES = 16
SECRET_VARIABLE = "LATENT_TRACER_SECRET"
_PUBLIC = {False: b"latent-tracer public fingerprint carrier 1", True: b"latent-tracer public fingerprint carrier 2"}


class InvalidSecretError(InvalidSettingError):
    """A secret that is missing, too short, or not the one a register was made with."""


@dataclass(frozen=True)
class Key:
    """A fingerprint key: 32 to 256 bits, a multiple of four."""

    hexadecimal: str

    @cached_property
    def bits(self) -> Bits:
        content = bytes.fromhex(self.hexadecimal + "0" * (len(self.hexadecimal) % 2))
        return np.unpackbits(np.frombuffer(content, np.uint8))[: len(self)]

    def __len__(self) -> int:
        return 4 * len(self.hexadecimal)

    def __repr__(self) -> str:
        return f"Key({len(self)} bits, hidden)"

    @classmethod
    def from_bits(cls, bits: Bits) -> Key:
        return cls(np.packbits(bits).tobytes().hex()[: len(bits) // 4])


def parse_key(text: str) -> Key:
    """A key from hexadecimal digits; raises :class:`InvalidSettingError` without quoting them."""
    digits = text.strip().lower().removeprefix("0x")
    if not digits or set(digits) - set(string.hexdigits):
        raise InvalidSettingError("The key is not hexadecimal: use digits 0-9 and a-f only, 16 of them for 64 bits.")
    check_key_bits(4 * len(digits))
    return Key(digits)


def check_key_bits(bits: int) -> None:
    """Raise :class:`InvalidSettingError` unless keys can have so many bits."""
    if not FEWEST_BITS <= bits <= MOST_BITS or bits % 4:
        raise InvalidSettingError(
            f"A key of {bits} bits cannot be used: keys have {FEWEST_BITS} to {MOST_BITS} bits, four per hexadecimal"
            f" digit; {DEFAULT_BITS} is the default."
        )


def user_name(text: str) -> str:
    """The name of a user as keys are derived from it: without spaces around it, one way to write an accent (NFC).

    Raises :class:`InvalidSettingError` for a name that is empty, too long or not printable.
    """
    name = unicodedata.normalize("NFC", text.strip())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidSettingError(
            f"A user name of {len(text)} characters cannot be used: give 1 to {LONGEST_NAME} printable characters."
        )
    return name


class Secret:
    """What only the owner of the fingerprints knows; stretched by scrypt (RFC 7914) against guessing."""

    def __init__(self, material: bytes) -> None:
        material = material.strip()
        if len(material) < SECRET_BYTES or 2 * len(set(material)) < SECRET_BYTES:
            raise InvalidSecretError(
                f"The secret is too short or too uniform: use {SECRET_BYTES} random characters or more, for example"
                " those that 'latent-tracer fingerprint register --new-secret FILE' writes."
            )
        self._master = hashlib.scrypt(material, salt=b"latent-tracer fingerprints", n=2**14, r=8, p=1)

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def derive(self, purpose: str, salt: bytes = b"", size: int = 32) -> bytes:
        """Independent ``size`` bytes for each purpose, by :func:`hkdf`."""
        return hkdf(self._master, salt, purpose.encode(), size)

    def user_key(self, user: str, bits: int = DEFAULT_BITS) -> Key:
        """The key of the user called ``user`` (see :func:`user_name`), the same in every register of this secret."""
        check_key_bits(bits)
        return Key(self.derive(f"user key {bits} {user}").hex()[: bits // 4])


def hkdf(material: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """HKDF with SHA-256 (RFC 5869, sections 2.2 and 2.3): ``size`` bytes, at most 8160."""
    extracted = hmac.digest(salt, material, "sha256")  # fills an empty salt up with zeros, as section 2.2 asks
    block, output, counter = b"", b"", 0
    while len(output) < size:
        counter += 1
        block = hmac.digest(extracted, block + info + bytes([counter]), "sha256")
        output += block
    return output[:size]


def carrier_seed(secret: Secret | None, bound: bool = False) -> bytes:
    """Seeds where and with which signs coded bits are written, and to what they are bound. Without a secret everybody
    knows it. Carriers of the two formats have nothing in common: what is known of one tells nothing of the other.
    """
    return _PUBLIC[bound] if secret is None else secret.derive("bound carrier" if bound else "carrier")


def load_secret(path: str | Path) -> Secret:
    """The secret in a file; raises :class:`InvalidSecretError` without showing any of it."""
    try:
        return Secret(Path(path).read_bytes())
    except OSError as error:
        raise InvalidSecretError(f"The secret file {path} cannot be read ({error.strerror}): check its path.") from None


def secret_from_environment() -> Secret:
    """The secret in :data:`SECRET_VARIABLE`; raises :class:`InvalidSecretError` where it is not set or too short."""
    value = os.environ.get(SECRET_VARIABLE)
    if not value:
        raise InvalidSecretError(f"The environment variable {SECRET_VARIABLE} is not set: set it, or name a file.")
    return Secret(value.encode())


def write_new_secret(path: str | Path) -> None:
    """32 random bytes as text, readable by the owner only. An existing file is never replaced: keys would be lost."""
    write_bytes(Path(path), secrets.token_hex(32).encode() + b"\n", mode=0o600, overwrite=False)
