"""The report about many pictures: CSV for a spreadsheet, JSON for programs, one HTML page for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..storage.atomic import write_text
from ..storage.safe_text import clean_text, spreadsheet_cell
from ..tracing.row import TraceRow, conditions_of, summary
from .page import report_page

FORMAT = "latent-tracer-report"
VERSION = 1
CSV_NAME, JSON_NAME, PAGE_NAME = "report.csv", "report.json", "report.html"
# Without it Excel takes the file for one in the system's own encoding.
BYTE_ORDER_MARK = "\ufeff"
KEPT = "the earlier report, of more pictures, stays until this is run to its end"
COLUMNS = tuple(field.name for field in fields(TraceRow) if field.name != "thumbnail")


def write_report(folder: Path, rows: Sequence[TraceRow], settings: Mapping[str, Any], *, pending: int = 0) -> str:
    """Write the three files into ``folder``, each whole or not at all, and return the summary in one line.

    ``settings`` are shown as they are given, and after them how many pictures were judged by which condition;
    ``pending`` pictures are still to be traced. A cancelled run replaces no report of more pictures. Raises
    :class:`InvalidSettingError` where ``folder`` cannot be written.
    """
    line = summary(rows) + (f"; {pending} more are still to be traced" if pending else "")
    if pending and rows_in(folder / CSV_NAME) > len(rows):
        return f"{line}; {KEPT}"
    judged_as = conditions_of(rows)
    settings = {**settings, "judged as": judged_as} if judged_as else settings
    write_text(folder / CSV_NAME, BYTE_ORDER_MARK + csv_text(rows))
    write_text(folder / JSON_NAME, json_text(rows, settings, pending))
    write_text(folder / PAGE_NAME, report_page(rows, settings, line))
    return line


def rows_in(path: Path) -> int:
    """How many pictures the table at ``path`` tells of; 0 where there is none that can be read."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return max(0, sum(1 for _ in csv.reader(file)) - 1)
    except (OSError, ValueError, csv.Error):
        return 0


def json_text(rows: Sequence[TraceRow], settings: Mapping[str, Any], pending: int = 0) -> str:
    """All rows with all fields but the thumbnails; ASCII, so that no name can break a reader."""
    records = [{key: value for key, value in row.to_record().items() if key != "thumbnail"} for row in rows]
    report = {
        "format": FORMAT,
        "version": VERSION,
        "complete": pending == 0,
        "pending": pending,
        "settings": dict(settings),
        "rows": records,
    }
    return json.dumps(report, indent=1, allow_nan=False) + "\n"


def csv_text(rows: Sequence[TraceRow]) -> str:
    """One line per row under a header; text is cleaned and can be no formula, lists are separated by `` | ``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        record = row.to_record()
        writer.writerow(_cell(record[column]) for column in COLUMNS)
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        value = " | ".join(value)
    return spreadsheet_cell(clean_text(value, 2000)) if isinstance(value, str) else str(value)
