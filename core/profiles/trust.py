"""Whose calibration a profile is: shipped with this program, made on this machine, or handed over by somebody.

A profile is a claim. Its digest shows damage, not honesty: whoever writes the scores can compute it, too. So profiles
made here are entered in a ledger beside no other file of theirs; what is in neither it nor this program is as true as
whoever made it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
from pathlib import Path

EMBEDDED = Path(__file__).resolve().parent.parent / "embedded"
SHIPPED, MADE_HERE, HANDED_OVER = "shipped", "made on this machine", "handed over"
LEDGER = "profiles-made-here.txt"
MAX_LEDGER_BYTES = 16 * 1024 * 1024
_further_folders: list[Path] = []


def state_folder() -> Path:
    """``LATENT_TRACER_HOME``, else where this platform keeps a user's state."""
    given = os.environ.get("LATENT_TRACER_HOME")
    if given:
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "latent-tracer"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "latent-tracer"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "latent-tracer"


def also_remember_in(folder: str | Path) -> None:
    """Keep a second ledger in ``folder``, for hosts whose home folder does not last."""
    if Path(folder) not in _further_folders:
        _further_folders.append(Path(folder))


def remember(digest: str) -> None:
    """Enter the profile with this ``digest`` as made here. Where nothing can be written it counts as handed over."""
    if digest in made_here():
        return
    for folder in _folders():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            # One short line in append mode: writers at the same time do not overwrite each other.
            with (folder / LEDGER).open("a", encoding="ascii") as ledger:
                ledger.write(digest + "\n")


def made_here() -> set[str]:
    """Digests of the profiles that were made on this machine."""
    found: set[str] = set()
    for folder in _folders():
        with contextlib.suppress(OSError, UnicodeDecodeError), (folder / LEDGER).open(encoding="ascii") as ledger:
            found.update(ledger.read(MAX_LEDGER_BYTES).split())
    return found


def calibration_of(digest: str) -> str:
    """:data:`SHIPPED`, :data:`MADE_HERE` or :data:`HANDED_OVER`, by the content of a profile."""
    if digest in shipped_digests():
        return SHIPPED
    return MADE_HERE if digest in made_here() else HANDED_OVER


def calibration_words(calibration: str) -> str:
    """For a sentence: "calibration handed over, as true as whoever made it"."""
    meaning = {SHIPPED: " with this program", HANDED_OVER: ", as true as whoever made it"}
    return f"calibration {calibration}{meaning.get(calibration, '')}"


@functools.cache
def shipped_digests() -> frozenset[str]:
    files = (*EMBEDDED.glob("*.profile.json"), EMBEDDED / "default.json")
    return frozenset(json.loads(path.read_text(encoding="utf-8"))["digest"] for path in files)


def _folders() -> list[Path]:
    with contextlib.suppress(RuntimeError):  # no home folder at all
        return [state_folder(), *_further_folders]
    return list(_further_folders)
