"""The report as one HTML page: everything inline, sorted in the browser, nothing loaded from anywhere.

Names and metadata are strangers' text. They are cleaned and escaped; should either fail, the page's own policy allows
one script and one style, both known by their hash, and no connection at all.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..images.conditions import CLEAN
from ..storage.safe_text import clean_text
from ..tracing.row import TraceRow, shown_name
from ..verdicts.verdict import LIMITS

STYLE = """
:root { color-scheme: dark; }
body { margin: 0 auto; max-width: 1500px; padding: 24px; background: #14171c; color: #f2f4f7;
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 26px; margin: 0 0 4px; }
p { margin: 6px 0; max-width: 100ch; }
.faint { color: #9aa4b2; }
.settings { display: flex; flex-wrap: wrap; gap: 4px 28px; margin: 12px 0 20px; padding: 0; list-style: none; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 8px 10px; text-align: left; vertical-align: top; border-bottom: 1px solid #343b47;
  overflow-wrap: anywhere; }
th { position: sticky; top: 0; background: #1e232b; padding: 0; }
th button { all: unset; cursor: pointer; display: block; padding: 10px; font-weight: 600; white-space: nowrap; }
th button:focus-visible { outline: 2px solid #56b4e9; }
th[aria-sort=ascending] button::after { content: " \\25B2"; }
th[aria-sort=descending] button::after { content: " \\25BC"; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
td img { display: block; max-width: 112px; max-height: 112px; background: #1e232b; }
td:nth-child(2) { min-width: 16ch; }
td.claims, td.notes { font-size: 13px; min-width: 22ch; max-width: 40ch; }
.verdict { font-weight: 700; white-space: nowrap; }
.belonging { color: #56b4e9; } .non-belonging { color: #e69f00; } .inconclusive { color: #c9c9c9; }
.untraced { color: #d98cb3; } .disagree { color: #e69f00; } .agree { color: #56b4e9; }
@media (max-width: 900px) {
  table, tbody, td { display: block; }
  thead tr { display: flex; flex-wrap: wrap; background: #1e232b; }
  th { position: static; border: 0; }
  th:first-child, td:empty { display: none; }
  tbody tr { display: block; position: relative; min-height: 112px; padding: 12px 0 12px 128px;
    border-bottom: 1px solid #343b47; }
  td, td.claims, td.notes { padding: 0; border: 0; min-width: 0; max-width: none; }
  td:first-child { position: absolute; left: 0; }
  td:nth-child(4)::before { content: "p-value "; color: #9aa4b2; }
  td:nth-child(5)::before { content: "score "; color: #9aa4b2; }
}
"""

# Numbers before text, text by the reader's own alphabet, empty cells last; the order of equal rows is kept.
SCRIPT = """
'use strict';
const body = document.querySelector('tbody');
const heads = [...document.querySelectorAll('th')];
const key = (row, column) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
heads.forEach((head, column) => head.firstElementChild.addEventListener('click', () => {
  const down = head.getAttribute('aria-sort') === 'ascending';
  heads.forEach(other => other.removeAttribute('aria-sort'));
  head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
  const compare = (a, b) => {
    const left = key(a, column), right = key(b, column);
    if (left === '' || right === '') return (left === '') - (right === '');
    const order = head.dataset.kind === 'number' ? left - right : left.localeCompare(right, undefined, {numeric: true});
    return down ? -order : order;
  };
  body.append(...[...body.rows].sort(compare));
}));
"""

HEADS = (
    ("", "text"), ("file", "text"), ("verdict", "text"), ("p-value", "number"), ("score", "number"),
    ("pixels", "number"), ("format", "text"), ("metadata claim", "text"), ("do they agree?", "text"), ("notes", "text"),
)  # fmt: skip


def report_page(rows: Sequence[TraceRow], settings: Mapping[str, Any], line: str) -> str:
    """The whole page; ``line`` sums the rows up, ``settings`` are shown in their order."""
    limits = f"{LIMITS} What metadata claim is shown as it was found; anyone can write anything there."
    return document("Trace report", line, settings, sortable_table(HEADS, map(_row, rows)), limits, script=SCRIPT)


def document(
    title: str, line: str, settings: Mapping[str, Any], body: str, limits: str, *, style: str = STYLE, script: str = ""
) -> str:
    """A page that loads nothing, with ``body`` between what it is about and its limits. With a ``script`` it may show
    pictures too."""
    more = f" script-src '{source_hash(script)}';" if script else ""
    pictures = " img-src data:;" if script else ""
    policy = (
        f"default-src 'none';{pictures} style-src '{source_hash(style)}';{more} base-uri 'none'; form-action 'none'"
    )
    shown = "".join(f"<li><span class=faint>{text(name)}</span> {text(value)}</li>" for name, value in settings.items())
    return (
        '<!doctype html>\n<html lang=en>\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<h1>{text(title)}</h1>\n"
        f"<p>{text(line)}</p>\n<ul class=settings>{shown}</ul>\n{body}<p class=faint>Limits: {text(limits, 1000)}</p>\n"
        f"{f'<script>{script}</script>' if script else ''}\n</body>\n</html>\n"
    )


def sortable_table(heads: Sequence[tuple[str, str]], rows: Iterable[str]) -> str:
    """A table that :data:`SCRIPT` sorts; ``heads``: name and ``text`` or ``number``, ``rows``: as HTML."""
    head = "".join(f"<th scope=col data-kind={kind}><button>{text(name)}</button></th>" for name, kind in heads)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>\n</table>\n"


def text(value: Any, limit: int = 300) -> str:
    """``value`` cleaned and escaped, for an element or a quoted attribute."""
    return html.escape(clean_text(str(value), limit), quote=True)


def source_hash(content: str) -> str:
    """How a page's policy names a style or script that it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _row(row: TraceRow) -> str:
    answer = row.verdict if row.verdict in ("belonging", "non-belonging", "inconclusive") else "untraced"
    picture = f'<img src="{text(row.thumbnail, 30_000)}" alt="" loading=lazy>' if row.thumbnail else ""
    size = f"{row.width} × {row.height}" if row.width else ""
    lossy = f"{row.format} (lossy)" if row.lossy else row.format
    jpeg = "" if row.jpeg_quality is None else f"once JPEG of quality {row.jpeg_quality}"
    condition = "" if row.p_value is None or row.condition == CLEAN else f"judged as {row.condition}"
    notes = " ".join(filter(None, (row.error, row.basis, jpeg, condition, *row.notes)))
    agreement = row.agreement if row.agreement in ("agree", "disagree", "undecided", "no claim") else ""
    cells = (
        f'<td data-sort="">{picture}</td>',
        f"<td>{html.escape(shown_name(row))}</td>",
        f'<td class="verdict {answer}">{"not traced" if answer == "untraced" else answer}</td>',
        number_cell(row.p_value, ".3g"),
        number_cell(row.score, ".4g"),
        f'<td class=number data-sort="{row.width * row.height or ""}">{size}</td>',
        f"<td>{text(lossy)}</td>",
        f"<td class=claims>{text(row.claims, 1000)}</td>",
        f'<td class=claims><span class="{agreement}">{agreement}</span><br>{text(row.agreement_reason, 1000)}</td>',
        f"<td class=notes>{text(notes, 1000)}</td>",
    )
    return f"<tr>{''.join(cells)}</tr>"


def number_cell(value: float | None, form: str) -> str:
    if value is None:
        return '<td class=number data-sort=""></td>'
    return f'<td class=number data-sort="{float(value)!r}">{value:{form}}</td>'
