"""Profiles under the name by which they have always been imported; they live in :mod:`.profiles`."""

from __future__ import annotations

from .profiles import *  # noqa: F403
from .profiles import __all__  # noqa: F401
