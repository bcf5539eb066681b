"""Latent fingerprints: a user's key inside the latent, along directions that survive (Nie et al., ICML 2023)."""

from .basis import FingerprintBasis, InvalidBasisError, load_basis
from .embed import DEFAULT_STRENGTH, embed
from .keys import (
    DEFAULT_BITS,
    SECRET_VARIABLE,
    InvalidSecretError,
    Key,
    Secret,
    load_secret,
    parse_key,
    secret_from_environment,
    write_new_secret,
)
from .quality import Change, measure_change
from .read import FALSE_KEY_RATE, Reading, read
from .register import InvalidRegisterError, Register, UserAttribution, add_users, attribute_user, load_register
from .survival import build_basis

__all__ = [
    "DEFAULT_BITS",
    "DEFAULT_STRENGTH",
    "FALSE_KEY_RATE",
    "SECRET_VARIABLE",
    "Change",
    "FingerprintBasis",
    "InvalidBasisError",
    "InvalidRegisterError",
    "InvalidSecretError",
    "Key",
    "Reading",
    "Register",
    "Secret",
    "UserAttribution",
    "add_users",
    "attribute_user",
    "build_basis",
    "embed",
    "load_basis",
    "load_register",
    "load_secret",
    "measure_change",
    "parse_key",
    "read",
    "secret_from_environment",
    "write_new_secret",
]
