"""Standard output carries results only; everything for a person goes to standard error.

The one place where text reaches a terminal: whatever strangers put into names, metadata and profiles is made visible
here instead of being obeyed, and no stream's encoding can end a run.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import Segment, Segments

from ..core import InvalidSettingError
from ..core.errors import visible
from ..core.files.decoding import STANDARD_ERROR
from ..core.storage.safe_text import clean_lines

# Pillow's plugins log what they dislike about a file; without a handler Python would write that to standard error.
logging.getLogger("PIL").addHandler(logging.NullHandler())
_errors = Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)
_results = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One message for the person, on standard error; lost where nobody can hear it."""
    _forgive(sys.stderr)
    with suppress(OSError, ValueError), STANDARD_ERROR:
        _errors.print(clean_lines(text))


def show(renderable: Any) -> None:
    """One result for the person, on standard output; text or a rich table."""
    if isinstance(renderable, str):
        _write(clean_lines(renderable) + "\n")
        return
    cleaned = (Segment(clean_lines(one.text), one.style) for one in _results.render(renderable) if not one.control)
    with _results.capture() as drawn:
        _results.print(Segments(cleaned), end="")
    _write(drawn.get())


def emit_json(record: dict[str, Any]) -> None:
    """One result as one line of JSON on standard output, flushed so that a cancel loses nothing.

    In ASCII, so that neither a terminal nor an encoding has a say in it.
    """
    _write(json.dumps(record, allow_nan=False) + "\n")


def _write(text: str) -> None:
    """Onto standard output and out of every buffer. Where nobody reads any more that is a cancel; raises
    :class:`InvalidSettingError` where nothing can be written.
    """
    stream = sys.stdout
    try:
        if stream is None:
            raise ValueError
        _forgive(stream)
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _let_go_of(stream)
        raise KeyboardInterrupt from None
    except OSError as error:
        _let_go_of(stream)
        raise InvalidSettingError(
            f"The results cannot be written to standard output ({error.strerror}): make room, or send them elsewhere."
        ) from None
    except ValueError:
        raise InvalidSettingError("Standard output is closed: the results have nowhere to go.") from None


def _let_go_of(stream: TextIO) -> None:
    """Have what is still buffered go nowhere: at its end Python would try again, and complain."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def is_terminal() -> bool:
    """Whether a person may be looking at standard error."""
    return _errors.is_terminal


def on_errors() -> Console:
    """Where progress is drawn, with whatever the stream cannot encode written as escapes."""
    _forgive(sys.stderr)
    return _errors


@contextmanager
def progress_bar(total: int, description: str) -> Iterator[tuple[Progress, TaskID]]:
    """A progress bar on standard error; nothing is drawn where that is no terminal."""
    _forgive(sys.stderr)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_errors, transient=True, disable=not _errors.is_terminal) as progress:
        yield progress, progress.add_task(visible(description), total=total)


def _forgive(stream: TextIO | None) -> None:
    """Have ``stream`` write out what its encoding lacks, instead of raising."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None and getattr(stream, "errors", "") != "backslashreplace":
        with suppress(ValueError):  # it is closed
            reconfigure(errors="backslashreplace")
