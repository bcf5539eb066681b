"""``run.json``: what the rows of a folder depend on. Another model, profile or setting is refused there."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..core.errors import InvalidSettingError
from ..core.storage.atomic import write_text
from ..core.storage.safe_text import clean_text
from .schema import SCHEMAS, Kind

NAME, FORMAT, VERSION = "run.json", "latent-tracer-corpus", 1
# How a setting is called in the sentence that refuses another one.
WORDS = {
    "release": "release of this program",
    "models": "model",
    "names": "name of a model",
    "profiles": "profile",
    "families": "calibration of families",
    "checks_refusal": "choice of the checks before a no",
    "device": "kind of device",
    "batch": "number of pictures that share a pass",
}


@dataclass(frozen=True)
class RunSettings:
    """``kind`` of rows, ``inputs`` as they were given, and the ``settings`` that rows depend on; ``shown``: about
    models and calibrations, for people."""

    kind: Kind
    inputs: tuple[str, ...]
    settings: dict[str, Any]
    shown: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Into ``folder``, inputs of earlier runs first; raises :class:`InvalidSettingError` if what lies there was
        made otherwise."""
        before = load_settings(folder)
        if before is not None:
            self.check_same(before, folder)
        inputs = list(dict.fromkeys([*(() if before is None else before.inputs), *self.inputs]))
        content = {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "inputs": inputs,
            "settings": self.settings,
            "shown": self.shown,
            "versions": {
                "python": platform.python_version(),
                **{name: version(name) for name in ("torch", "numpy", "Pillow", "ray", "pyarrow")},
            },
        }
        write_text(folder / NAME, json.dumps(content, indent=1, allow_nan=False) + "\n")

    def check_same(self, before: RunSettings, folder: Path) -> None:
        """Raises :class:`InvalidSettingError`, which names what differs from ``before``, the settings in ``folder``."""
        if before.kind != self.kind:
            raise InvalidSettingError(f"{folder} holds rows of `corpus {before.kind}`: give another folder.")
        differing = [
            name
            for name in dict.fromkeys([*self.settings, *before.settings])
            if self.settings.get(name) != before.settings.get(name)
        ]
        if differing:
            named = ", ".join(WORDS.get(name, name) for name in differing)
            raise InvalidSettingError(
                f"{folder} was begun with another {named}: give another folder, or the settings in {NAME} there."
            )


def load_settings(folder: Path) -> RunSettings | None:
    """What ``folder`` was begun with, ``None`` for a new one; raises :class:`InvalidSettingError` for anything else."""
    path = folder / NAME
    if not os.path.exists(path):
        return None
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidSettingError(
            f"{path} cannot be read ({clean_text(type(error).__name__)}): give another folder."
        ) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT or type(found.get("version")) is not int:
        raise InvalidSettingError(f"{path} is not the settings of a corpus: give another folder.")
    if found["version"] > VERSION:
        raise InvalidSettingError(f"{path} was written by a newer release: update this one, or give another folder.")
    kind, inputs, settings, shown = (found.get(name) for name in ("kind", "inputs", "settings", "shown"))
    if kind not in SCHEMAS or not isinstance(inputs, list) or not isinstance(settings, dict):
        raise InvalidSettingError(f"{path} is not the settings of a corpus: give another folder.")
    return RunSettings(kind, tuple(map(str, inputs)), settings, shown if isinstance(shown, dict) else {})


def settings_of(folder: Path) -> RunSettings:
    """The same; raises for a folder without any, too."""
    found = load_settings(folder)
    if found is None:
        raise InvalidSettingError(f"{folder} holds no corpus: give the folder that `corpus run` wrote to.")
    return found
