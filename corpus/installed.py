"""Is the extra ``corpus`` installed? Asked before any other module of this wing is imported."""

from __future__ import annotations

from importlib.util import find_spec

from ..core.errors import LatentTracerError

NEEDED = ("ray", "pyarrow", "fsspec")


class MissingExtraError(LatentTracerError):
    """A package of an extra that is not installed."""


def check_installed() -> None:
    """Raises :class:`MissingExtraError`, one sentence, where Ray, pyarrow or fsspec are missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"corpus needs {' and '.join(missing)}: pip install 'latent-tracer[cli,corpus]'.")
