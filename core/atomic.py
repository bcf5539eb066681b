"""Files written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InvalidSettingError


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path``; raises :class:`InvalidSettingError` where that is impossible."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text, encoding="utf-8", newline="")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidSettingError(f"{path} cannot be written ({error.strerror}): choose another place.") from error
