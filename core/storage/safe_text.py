"""Text from strangers (file names, metadata) made fit for a report: nothing in it can run, hide or reorder anything."""

from __future__ import annotations

import re

from ..errors import visible

# A spreadsheet takes a cell that begins like this for a formula, the full-width ones in East Asian settings.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# Where a semicolon separates cells (European settings), what follows begins a cell of its own, quoted or not.
_NEW_CELL = re.compile(f'([;\\t][\\s"]*)(?=[{re.escape("".join(_FORMULA_STARTS))}])')
SHOWN = 200


def clean_text(text: str, limit: int = SHOWN) -> str:
    """``text`` with invisible characters written out as escapes and cut after ``limit`` characters of the original.

    The result can be encoded in UTF-8 whatever ``text`` holds; it still has to be escaped for HTML.

    >>> print(clean_text("a long\\u202ename", limit=7))
    a long\\u202e…
    """
    shown = visible(text[:limit])
    return shown + "…" if len(text) > limit else shown


def clean_lines(text: str) -> str:
    """``text`` of any length and several lines, as :func:`clean_text` shows it."""
    return "\n".join(clean_text(line, len(line)) for line in text.split("\n"))


def spreadsheet_cell(text: str) -> str:
    """``text`` for a CSV file: an apostrophe keeps a spreadsheet from running it as a formula.

    Also behind a semicolon, which begins a cell in European settings although the text is quoted for commas.
    """
    safe = _NEW_CELL.sub(r"\1'", text)
    return "'" + safe if safe.lstrip(" \u3000\xa0").startswith(_FORMULA_STARTS) else safe
