"""Scores of a calibration that did not end: appended one by one, so that it can go on where it was stopped."""

from __future__ import annotations

import contextlib
import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import InvalidSettingError
from ..models.autoencoder import Autoencoder
from ..storage.atomic import BINARY, unwritable
from ..storage.locking import locked
from .under import Measured

FORMAT, VERSION = "latent-tracer-calibration", 1
SUFFIX = ".unfinished.jsonl"


class KeptScores:
    """What was measured of ``autoencoder`` by this ``release`` for the profile at ``path``, as a context that appends.

    A line is found again by :meth:`.Under.key`, whatever order the pictures come in; lines of other decoders, releases
    and formats are passed over, and so is one that a kill cut short. :meth:`done` removes the file. Entering raises
    :class:`InvalidSettingError` while another calibration writes the same profile, or where nothing can be written.
    """

    def __init__(self, path: Path, autoencoder: Autoencoder, release: str) -> None:
        self.path = path.with_name(path.name + SUFFIX)
        self.settings = [release, autoencoder.fingerprint, autoencoder.device.type, str(autoencoder.dtype)]
        self.found: dict[str, Measured] = {}
        self.taken_up = 0
        self._descriptor: int | None = None

    def __enter__(self) -> KeptScores:
        with contextlib.ExitStack() as held:
            held.enter_context(locked(self.path, timeout=0))
            try:
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | BINARY, 0o666)
                with os.fdopen(os.dup(self._descriptor), "rb") as file:
                    content = file.read()
                if content and not content.endswith(b"\n"):
                    os.write(self._descriptor, b"\n")
            except OSError as error:
                raise unwritable(self.path, error) from None
            held.callback(os.close, self._descriptor)
            self._read(content)
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What another decoder's calibration left for the same profile stays.
        if self._descriptor is not None and not os.fstat(self._descriptor).st_size:
            self.done()
        self._descriptor = None
        self._held.close()

    def _read(self, content: bytes) -> None:
        for line in content.splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
                entry = json.loads(line)
                if (entry["format"], entry["version"], entry["settings"]) == (FORMAT, VERSION, self.settings):
                    self.found[str(entry["sample"])] = _measured(entry["measured"])
        self.taken_up = len(self.found)

    def get(self, key: str) -> Measured | None:
        return self.found.get(key)

    def add(self, key: str, measured: Measured) -> None:
        assert self._descriptor is not None
        self.found[key] = measured
        said = {name: value for name, value in asdict(measured).items() if value == value}  # JSON has no NaN
        entry = {"format": FORMAT, "version": VERSION, "settings": self.settings, "sample": key, "measured": said}
        line = json.dumps(entry).encode() + b"\n"
        try:
            while line:  # a full disk or a signal may end a write early
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            raise InvalidSettingError(
                f"{self.path} cannot be written ({error.strerror}): make room; what is measured is kept."
            ) from None

    def done(self) -> None:
        """The profile is written: nothing is to be taken up again."""
        with contextlib.suppress(OSError):
            self.path.unlink()


def _measured(said: Any) -> Measured:
    """Raises ValueError, TypeError and KeyError for what no calibration wrote."""
    value, *others = (_number(said.get(name)) for name in ("value", "grid", "difference", "excess"))
    height, width = said["sides"]
    if not all(type(side) is int and 0 <= side < 10**9 for side in (height, width)):
        raise ValueError(said["sides"])
    return Measured(math.nan if value is None else value, (height, width), *others)


def _number(value: Any) -> float | None:
    # Beyond 1e300 sums and differences would overflow; JSON's whole numbers have no bound.
    if value is None or type(value) in (int, float) and -1e300 <= value <= 1e300:
        return value
    raise ValueError(value)
