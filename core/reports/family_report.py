"""The report about families, which says nothing of a loaded VAE: CSV for a spreadsheet, one HTML page for people."""

from __future__ import annotations

import csv
import html
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..storage.atomic import write_text
from ..storage.safe_text import clean_text, spreadsheet_cell
from ..verdicts.family import FAMILY_LIMITS
from .folder_report import BYTE_ORDER_MARK, KEPT, rows_in
from .page import SCRIPT, document, number_cell, sortable_table, text

CSV_NAME, PAGE_NAME = "family.csv", "family.html"
# The fields of `family --json`, in its order: docs/json.md.
COLUMNS = (
    "image", "family", "p_value", "fpr", "scores", "basis", "answer", "fpr_bound", "fnr", "missing", "claims", "error",
)  # fmt: skip
# The page's style and its sorting take the picture to be in the first, the file in the second.
HEADS = (
    ("", "text"), ("file", "text"), ("family", "text"), ("p-value", "number"), ("evidence", "number"),
    ("metadata claim, which anyone can write", "text"), ("why", "text"),
)  # fmt: skip
NOT_ASKED = "not asked"
Row = Mapping[str, Any]


def write_family_report(folder: Path, rows: Sequence[Row], settings: Mapping[str, Any], *, pending: int = 0) -> str:
    """Write both files into ``folder``, each whole or not at all, and return the summary in one line.

    ``rows``: objects of `family --json`, with a ``thumbnail`` where there is one; ``pending`` pictures were not asked
    about yet. A cancelled run replaces no report of more pictures. Raises :class:`InvalidSettingError` where ``folder``
    cannot be written.
    """
    answers = Counter(told(row) for row in rows)
    counted = ", ".join(
        f"{count} {answer}" for answer, count in sorted(answers.items(), key=lambda one: (-one[1], one[0]))
    )
    line = f"{len(rows)} pictures: {counted or 'none'}" + (f"; {pending} more are still to be asked" if pending else "")
    if pending and rows_in(folder / CSV_NAME) > len(rows):
        return f"{line}; {KEPT}"
    write_text(folder / CSV_NAME, BYTE_ORDER_MARK + csv_text(rows))
    table = sortable_table(HEADS, map(_row, rows))
    page = document("Which family made them?", line, settings, table, FAMILY_LIMITS, script=SCRIPT)
    write_text(folder / PAGE_NAME, page)
    return line


def told(row: Row) -> str:
    """The answer in a word or two: the family, ``none``, ``cannot tell`` or ``not asked``."""
    return str(row.get("family") or row.get("answer") or NOT_ASKED)


def csv_text(rows: Sequence[Row]) -> str:
    """One line per row under a header; text is cleaned and can be no formula, what has parts is JSON."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(_cell(row.get(column)) for column in COLUMNS)
    return written.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, dict)):
        value = json.dumps(value)
    return spreadsheet_cell(clean_text(value, 2000)) if isinstance(value, str) else str(value)


def _row(row: Row) -> str:
    answer = told(row)
    kind = "belonging" if row.get("family") else "untraced" if answer == NOT_ASKED else "inconclusive"
    drawn = row.get("thumbnail")
    picture = f'<img src="{text(drawn, 30_000)}" alt="" loading=lazy>' if drawn else ""
    shown = [score["evidence"] for score in (row.get("scores") or {}).values() if score["shows"]]
    cells = (
        f'<td data-sort="">{picture}</td>',
        f"<td>{html.escape(clean_text(str(row['image'])))}</td>",
        f'<td class="verdict {kind}">{text(answer)}</td>',
        number_cell(row.get("p_value"), ".3g"),
        number_cell(min((one for one in shown if one is not None), default=None), ".1f"),
        f"<td class=claims>{text(row.get('claims') or '', 1000)}</td>",
        f"<td class=notes>{text(row.get('error') or row.get('basis') or '', 1000)}</td>",
    )
    return f"<tr>{''.join(cells)}</tr>"
