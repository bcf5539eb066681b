"""The journal of a long run: one line of JSON per finished picture, appended, so that a kill loses nothing.

A line is found again by the file's digest and the digest of the settings: a changed picture, model or setting is
traced anew, a renamed or copied picture is not.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from ..errors import InvalidSettingError
from ..storage.atomic import BINARY, sync_folder, unwritable
from ..storage.locking import locked
from ..tracing.row import TraceRow, parse_row

FORMAT = "latent-tracer-journal"
VERSION = 1


def settings_digest(settings: dict[str, Any]) -> str:
    """SHA-256 of everything that the rows depend on beside the files."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, allow_nan=False).encode()).hexdigest()


class Journal:
    """Rows finished under ``settings`` (a digest), read from ``path`` if it exists; use as a context to append.

    One run appends at a time: entering raises :class:`InvalidSettingError` while another one does.
    """

    def __init__(self, path: Path, settings: str) -> None:
        self.path = path
        self.settings = settings
        self.finished: dict[str, TraceRow] = {}
        self._descriptor: int | None = None
        self._read()

    def _read(self) -> None:
        self._is_torn = False
        if not os.path.exists(self.path):  # nor, perhaps, can it: entering says so
            return
        try:
            with self.path.open("rb") as journal:
                self._read_lines(journal)
        except OSError as error:
            raise InvalidSettingError(
                f"{self.path} cannot be read ({error.strerror}): choose another folder."
            ) from None

    def _read_lines(self, journal: BinaryIO) -> None:
        for line in journal:
            # A kill in the middle of a line leaves no line end; that picture is traced again.
            self._is_torn = not line.endswith(b"\n")
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if not isinstance(entry, dict) or entry.get("format") != FORMAT:
                continue
            if type(entry.get("version")) is not int or entry["version"] > VERSION:
                raise InvalidSettingError(
                    f"{self.path} was written by a newer release: update this one, or choose another folder."
                )
            if entry.get("settings") != self.settings or not isinstance(entry.get("file"), str):
                continue
            if entry.get("final", True) is not True:  # answered, and killed while it was being explained
                continue
            try:
                self.finished[entry["file"]] = parse_row(entry.get("row"))
            except ValueError:
                continue

    def __enter__(self) -> Journal:
        with contextlib.ExitStack() as held:
            held.enter_context(locked(self.path, timeout=0))
            self._read()  # another run may have gone on since
            try:
                self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | BINARY, 0o666)
            except OSError as error:
                raise unwritable(self.path, error) from None
            held.callback(os.close, self._descriptor)
            sync_folder(self.path.parent)
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._descriptor = None
        self._held.close()

    def add(self, row: TraceRow, final: bool = True) -> None:
        """Append a ``row`` and see it onto the disk; it must have a file digest. One that is not ``final`` tells an
        answer, and that its file is to be traced again should nothing follow.
        """
        assert self._descriptor is not None and row.digest
        entry: dict[str, Any] = {"format": FORMAT, "version": VERSION, "settings": self.settings, "file": row.digest}
        if not final:
            entry["final"] = False
        line = json.dumps({**entry, "row": row.to_record()}, allow_nan=False).encode() + b"\n"
        if self._is_torn:
            line = b"\n" + line
        try:
            while line:  # a full disk or a signal may end a write early
                line = line[os.write(self._descriptor, line) :]
            os.fsync(self._descriptor)
        except OSError as error:
            self._is_torn = True  # as far as anybody knows
            raise InvalidSettingError(
                f"{self.path} cannot be written ({error.strerror}): make room; what is finished is kept."
            ) from None
        self._is_torn = False
        if final:
            self.finished[row.digest] = row
