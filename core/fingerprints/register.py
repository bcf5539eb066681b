"""The register of users, and which of them a picture belongs to, if any.

The file lists names and how to recognise the right secret, never a key: keys are derived from the secret when needed.
"""

from __future__ import annotations

import hmac
import json
import math
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import InvalidSettingError, LatentTracerError
from ..storage.atomic import write_text
from ..storage.locking import locked
from ..storage.safe_text import clean_text
from .codebook import FREE_BITS, coded_bits, free_codewords, key_codewords
from .evidence import log_tail, union
from .keys import DEFAULT_BITS, LONGEST_NAME, InvalidSecretError, Key, Secret, check_key_bits, user_name
from .placed import Look
from .read import Reading

FORMAT = "latent-tracer-fingerprint-register"
# Users of a register of format 2 are named by bound marks alone, which nobody can move to another picture.
VERSION, BOUND = 2, 2
# Half a million users with names of the greatest length.
MOST_BYTES = 100 * 2**20
# Probability that a picture without any fingerprint is attributed to any registered user.
FALSE_ATTRIBUTION_RATE = 1e-6


class InvalidRegisterError(LatentTracerError):
    """A register that cannot be used: unreadable, newer, damaged, or a name it cannot hold."""


@dataclass(frozen=True)
class Register:
    """Registered user names; ``salt`` and ``check`` (hexadecimal) recognise the secret the register was made with."""

    users: tuple[str, ...]
    key_bits: int
    salt: str
    check: str
    version: int = VERSION

    @classmethod
    def create(cls, secret: Secret, key_bits: int = DEFAULT_BITS) -> Register:
        check_key_bits(key_bits)
        salt = secrets.token_bytes(16)
        return cls((), key_bits, salt.hex(), _check_value(secret, salt))

    def require(self, secret: Secret) -> None:
        """Raise :class:`InvalidSecretError` unless ``secret`` is the one this register was made with."""
        if not hmac.compare_digest(self.check, _check_value(secret, bytes.fromhex(self.salt))):
            raise InvalidSecretError("The secret is not the one this register was made with: use that one.")

    def add(self, names: list[str]) -> Register:
        """With further users, in order; those already there stay as they are.

        Raises :class:`InvalidRegisterError` for a name that is empty, too long or not printable.
        """
        try:
            names = [user_name(name) for name in names]
        except InvalidSettingError as error:
            raise InvalidRegisterError(str(error)) from None
        return Register(tuple(dict.fromkeys((*self.users, *names))), self.key_bits, self.salt, self.check, self.version)

    def keys(self, secret: Secret) -> list[Key]:
        """The users' keys, in order of :attr:`users`."""
        self.require(secret)
        return [secret.user_key(user, self.key_bits) for user in self.users]

    @cached_property
    def record(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": self.version,
            "key_bits": self.key_bits,
            "salt": self.salt,
            "check": self.check,
            "users": list(self.users),
        }

    def save(self, path: str | Path) -> None:
        """Write JSON, whole or not at all. To add users to a register that may exist: :func:`add_users`."""
        # A link is followed: whoever registers under the other name must find the user.
        write_text(Path(os.path.realpath(path)), json.dumps(self.record, indent=1, ensure_ascii=False) + "\n")


def add_users(path: str | Path, names: list[str], secret: Secret, key_bits: int = DEFAULT_BITS) -> Register:
    """Add ``names`` to the register at ``path``, made with keys of ``key_bits`` if there is none, and return it.

    Nobody else adds meanwhile, so none is lost. Raises :class:`InvalidSecretError` for another secret,
    :class:`InvalidRegisterError` for a name or register that cannot be used, :class:`InvalidSettingError` where it
    cannot be written.
    """
    path = Path(path)
    with locked(path):
        register = load_register(path) if os.path.exists(path) else Register.create(secret, key_bits)
        register.require(secret)
        register = register.add(names)
        register.save(path)
    return register


def load_register(path: str | Path) -> Register:
    """Read a register; raises :class:`InvalidRegisterError` with the reason when it cannot be trusted."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InvalidRegisterError(f"{path} has more than {MOST_BYTES >> 20} MiB: it is no register.")
        record = json.loads(content.decode("utf-8"))
    except FileNotFoundError:
        raise InvalidRegisterError(f"There is no register at {path}: make one with fingerprint register.") from None
    except InvalidRegisterError:
        raise
    except (OSError, ValueError, RecursionError):
        raise InvalidRegisterError(f"{path} is no readable JSON register: restore a copy of it.") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InvalidRegisterError(f"{path} is not a fingerprint register: choose a file that register wrote.")
    version = record.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise InvalidRegisterError(
            f"{path} has register version {clean_text(str(version), 20)}, this release reads 1 to {VERSION}: update it."
        )
    users, bits = record.get("users"), record.get("key_bits")
    texts = [record.get("salt"), record.get("check")]
    sound = (
        isinstance(users, list)
        and all(isinstance(user, str) and 0 < len(user) <= LONGEST_NAME and user.isprintable() for user in users)
        and len(set(users)) == len(users)
        and type(bits) is int
        and all(isinstance(text, str) and len(text) == 32 and not set(text) - set("0123456789abcdef") for text in texts)
    )
    if not sound:
        raise InvalidRegisterError(f"{path} holds missing or impossible values: restore a copy of it.")
    assert isinstance(users, list) and type(bits) is int
    try:
        check_key_bits(bits)
    except InvalidSettingError as error:
        raise InvalidRegisterError(f"{path}: {error}") from None
    return Register(tuple(users), bits, record["salt"], record["check"], version)


@dataclass(frozen=True)
class UserAttribution:
    """Which registered user a picture belongs to; ``user`` is ``None`` for nobody.

    ``p_value`` bounds the probability that a picture without a fingerprint, or with that of somebody who is not
    registered, is attributed to *any* of the ``users`` registered ones by evidence as strong as the best found here.
    """

    user: str | None
    p_value: float
    users: int
    reason: str


def attribute_user(
    reading: Reading, register: Register, secret: Secret, rate: float = FALSE_ATTRIBUTION_RATE
) -> UserAttribution:
    """Compare every look of a reading with the key of every registered user.

    Attributed only if the bound over all users is at most ``rate``, and not if a *different* key was read with
    certainty: that picture belongs to somebody who is not registered. Coded bits that say the same whatever the key
    speak for no user. Looks are compared by what they say of users: which of them holds a mark may not show otherwise,
    since so many more keys than users are possible. Raises :class:`InvalidSecretError` for another
    secret, :class:`InvalidSettingError` for another key length or nobody registered.
    """
    keys = register.keys(secret)
    if not keys:
        raise InvalidSettingError("The register is empty: add users first.")
    if reading.key_bits != register.key_bits:
        raise InvalidSettingError(
            f"The picture was read for keys of {reading.key_bits} bits, the register has {register.key_bits}: read it"
            " again for those."
        )
    if register.version >= BOUND and not reading.bound:
        return UserAttribution(
            None, 1.0, len(keys),
            "the basis has format 1, whose marks can be moved to other pictures: this register takes bound marks only",
        )  # fmt: skip
    codewords = key_codewords(keys)
    tried: list[tuple[float, int, Look]] = []
    for look in reading.looks or (Look(reading.placement, reading.readouts, reading.trials),):
        tried.append((*_best_user(look, codewords, register.key_bits), look))
        if tried[-1][0] <= math.log(rate):
            break  # a large register takes its time
    log_p, best, found = min(tried, key=lambda one: one[0])
    probability = math.exp(log_p)
    if log_p > math.log(rate):
        return UserAttribution(
            None,
            probability,
            len(keys),
            f"no registered key: an unmarked picture does as well with p <= {rate:.0e} or more",
        )
    if reading.key is not None and reading.key != keys[best]:
        return UserAttribution(None, probability, len(keys), "another key was read, whose user is not registered")
    return UserAttribution(
        register.users[best],
        probability,
        len(keys),
        f"false attribution among {len(keys)} users at most {probability:.1e}"
        + ("" if found.placement in (None, reading.placement) else f"; taken as {found.placement.words}")
        + ("" if reading.bound else "; a mark of format 1, which may have been moved here from another picture"),
    )


def _best_user(look: Look, codewords: Tensor, key_bits: int) -> tuple[float, int]:
    """Logarithm of the bound for the user whom ``look`` speaks for most, and which one that is."""
    values = look.readouts[: coded_bits(key_bits)]
    scores = best_scores(values, codewords, key_bits)
    best = int(scores.argmax())
    trials = math.log(len(codewords)) + FREE_BITS * math.log(2) + math.log(look.trials)
    return union(float(log_tail(values, scores[best : best + 1])[0]), trials), best


def best_scores(values: Tensor, codewords: Tensor, key_bits: int) -> Tensor:
    """``[N]``: the score of each key's best codeword over the 256 settings of the free bits.

    ``values`` ``[n]``: coded bits without pilots; ``codewords`` ``[N,n]`` with all free bits 0.
    """
    return (codewords @ (values[None] * free_codewords(key_bits)).T).max(1).values


def _check_value(secret: Secret, salt: bytes) -> str:
    return secret.derive("register check", salt, 16).hex()
