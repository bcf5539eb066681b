"""A folder on its way through Trace Image: what is told while it runs, and kept when it is cancelled.

ComfyUI calls the node once for each picture and shows nothing before the last one; a cancel would lose them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..core import InvalidSettingError
from ..core.files.picture import FileFacts
from ..core.reports.folder_report import PAGE_NAME, write_report
from ..core.reports.plain import SHORT_ANSWERS
from ..core.tracing.row import TraceRow, shown_name
from . import comfy_adapter
from .save_report import FOLDER, new_report_folder, settings_of

UNFINISHED = "unfinished"
# By node: the rows of the folder it is at, by their place in it. One prompt runs at a time.
_rows: dict[str, dict[int, TraceRow]] = {}


@contextmanager
def kept_when_cancelled(node: Any, file: FileFacts | None) -> Iterator[None]:
    """Writes the rows so far as a report when the block ends in a cancel; ``file`` is the picture it is about."""
    if file is None or file.total < 2:
        yield
        return
    if max(_rows.get(str(node), ()), default=0) >= file.position:  # of a run before
        del _rows[str(node)]
    try:
        yield
        if file.position < file.total:  # ComfyUI asks before the next picture, where nothing of ours is told
            comfy_adapter.stop_if_cancelled()
    except BaseException:  # a cancel is one in newer releases of ComfyUI
        rows = list(_rows.pop(str(node), {}).values())
        if rows:
            with suppress(InvalidSettingError):
                folder = new_report_folder(UNFINISHED)
                write_report(folder, rows, settings_of(rows), pending=file.total - len(rows))
                place = f"output/{FOLDER}/{folder.name}/{PAGE_NAME}"
                comfy_adapter.tell(node, f"cancelled: {summary(rows, file)}; kept in {place}")
        raise


def add_row(node: Any, file: FileFacts | None, row: TraceRow) -> None:
    """One more picture of the folder is answered: told on the node while the others wait."""
    if file is None or file.total < 2:
        return
    rows = _rows.setdefault(str(node), {})
    rows[file.position] = row
    comfy_adapter.tell(node, f"{summary(list(rows.values()), file)}; last: {shown_name(row)}: {_answer(row)}")
    if file.position == file.total:
        del _rows[str(node)]


def summary(rows: list[TraceRow], file: FileFacts) -> str:
    """So many of so many, and how many of each answer."""
    words = [_answer(row) for row in rows]
    counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(sorted(words)))
    return f"{file.position} of {file.total}: {counts}"


def _answer(row: TraceRow) -> str:
    answers: dict[str, str] = {str(answer): word for answer, word in SHORT_ANSWERS.items()}
    return answers.get(row.verdict or "", "not traced")
