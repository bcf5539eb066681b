"""How often work was begun and not ended. Imports nothing: the process that counts starts at once."""

from __future__ import annotations

from collections import Counter


class Attempts:
    """How often something was begun and not ended: its worker died. One for a run, in a process of its own."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, name: str) -> int:
        """How often ``name`` was begun, this time counted."""
        self._begun[name] += 1
        return self._begun[name]

    def end(self, name: str) -> None:
        del self._begun[name]
