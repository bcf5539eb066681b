"""Text from strangers (file names, metadata) made fit for a report: nothing in it can run, hide or reorder anything."""

from __future__ import annotations

import unicodedata

# Control, format (bidirectional overrides, zero width), surrogate, private and unassigned characters; line separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# A spreadsheet takes a cell that begins like this for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
SHOWN = 200


def clean_text(text: str, limit: int = SHOWN) -> str:
    """``text`` with invisible characters written out as escapes and cut after ``limit`` characters of the original.

    The result can be encoded in UTF-8 whatever ``text`` holds; it still has to be escaped for HTML.
    """
    shown = "".join(_visible(character) for character in text[:limit])
    return shown + "…" if len(text) > limit else shown


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _INVISIBLE:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def spreadsheet_cell(text: str) -> str:
    """``text`` for a CSV file: an apostrophe keeps a spreadsheet from running it as a formula."""
    return "'" + text if text.startswith(_FORMULA_STARTS) else text
