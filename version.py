"""The version has one source: ``pyproject.toml``, where ComfyUI-Manager looks for it, too.

That file lies beside this one in a clone, in a copy from the ComfyUI registry and in an editable installation; a wheel
carries its content as metadata.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path


def _read() -> str:
    project = Path(__file__).with_name("pyproject.toml")
    if project.is_file():
        found = re.search(r'^version = "(.+?)"', project.read_text(encoding="utf-8"), re.MULTILINE)
        return found[1] if found else "unknown"
    try:
        return metadata.version("latent-tracer")
    except metadata.PackageNotFoundError:
        return "unknown"


VERSION = _read()
