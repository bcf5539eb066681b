"""Where the run in a folder stands, asked from another terminal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import InvalidSettingError
from ..core.storage.locking import InUseError, locked
from .counts import Counts
from .run import PROGRESS_NAME
from .settings import NAME, RunSettings, settings_of
from .shards import counts_in, shards_in


@dataclass(frozen=True)
class Status:
    """``counts`` of the rows that are on the disk, in ``shards`` files; ``told``: what the run last said of itself."""

    settings: RunSettings
    counts: Counts
    shards: int
    is_running: bool
    told: dict[str, Any]

    def record(self) -> dict[str, Any]:
        return {
            "kind": self.settings.kind,
            "running": self.is_running,
            "total": self.told.get("total"),
            "rate": self.told.get("rate") if self.is_running else None,
            "remaining_seconds": self.told.get("remaining_seconds") if self.is_running else None,
            "shards": self.shards,
            **self.counts.record(),
        }

    @property
    def lines(self) -> list[str]:
        """For a person."""
        counts, total = self.counts, self.told.get("total")
        of = f" of {total}" if isinstance(total, int) and total >= counts.rows else ""
        done = bool(of) and total == counts.rows
        state = "running" if self.is_running else "complete" if done else "not running: the same command goes on"
        lines = [f"{counts.rows}{of} pictures, {state}", counted(counts)]
        rate, remaining = self.told.get("rate"), self.told.get("remaining_seconds")
        if self.is_running and rate:
            lines.append(f"{rate:.2f} pictures a second, {duration(remaining)} to go")
        return lines


def status_of(folder: Path) -> Status:
    """Raises :class:`InvalidSettingError` for a folder that holds no corpus."""
    settings = settings_of(folder)
    return Status(settings, counts_in(folder), len(shards_in(folder)), is_running(folder), _told(folder))


def is_running(folder: Path) -> bool:
    """Whether a run holds the folder's lock; none can where nothing can be written or locked from here."""
    try:
        with locked(folder / NAME, timeout=0):
            return False
    except InUseError:
        return True
    except InvalidSettingError:
        return False


def counted(counts: Counts) -> str:
    """The answers and the errors in one line."""
    answers = ", ".join(f"{count} {answer}" for answer, count in sorted(counts.answers.items()))
    return f"{answers or 'no row yet'}; {counts.errors} with an error"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _told(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / PROGRESS_NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
