"""Standard output carries results only; everything for a person goes to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_errors = Console(stderr=True, highlight=False, soft_wrap=True)
_results = Console(highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One message for the person, on standard error."""
    _errors.print(text, markup=False)


def show(renderable: Any) -> None:
    """One result for the person, on standard output; text or a rich table."""
    _results.print(renderable, markup=False) if isinstance(renderable, str) else _results.print(renderable)


def emit_json(record: dict[str, Any]) -> None:
    """One result as one line of JSON on standard output, flushed so that a cancel loses nothing."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    # File names need not be text; their odd bytes become what JSON itself would write for them.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
    sys.stdout.flush()


@contextmanager
def progress_bar(total: int, description: str) -> Iterator[tuple[Progress, TaskID]]:
    """A progress bar on standard error; nothing is drawn where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_errors, transient=True, disable=not _errors.is_terminal) as progress:
        yield progress, progress.add_task(description, total=total)
