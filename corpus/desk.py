"""Where workers fetch their models, and where is counted how often work was begun and not ended.

Imports nothing of ours: its process starts at once.
"""

from __future__ import annotations

from collections import Counter
from typing import Any


class Desk:
    """One for a run, in a process of its own, which outlives every worker. ``work``: a reference, in a list, to the
    models in the object store."""

    def __init__(self, work: list[Any]) -> None:
        self._work = work
        self._begun: Counter[str] = Counter()

    def work(self) -> list[Any]:
        return self._work

    def begin(self, name: str) -> int:
        """How often ``name`` was begun and its worker died, this time counted."""
        self._begun[name] += 1
        return self._begun[name]

    def end(self, name: str) -> None:
        del self._begun[name]
