"""Fields of a decoded JSON object, each of one kind and within bounds, or a reason that names it."""

from __future__ import annotations

from typing import Any, NoReturn

MAX_TEXT = 2000
MAX_ENTRIES = 200_000


class Wrong(Exception):  # noqa: N818
    """What is wrong, as the end of a sentence; whoever knows the file makes an error of it."""


class Fields:
    """``held``: a decoded object at ``place`` (empty for the outermost one)."""

    def __init__(self, held: dict[str, Any], place: str) -> None:
        self.held = held
        self.place = place

    def wrong(self, name: str) -> NoReturn:
        raise Wrong(f"holds a missing or impossible value ({self._at(name)})")

    def _at(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def only(self, *names: str) -> None:
        """Raise :class:`Wrong` unless these are the keys, no more and no fewer."""
        odd = sorted(set(self.held) ^ set(names))
        if odd:
            raise Wrong(f"lacks or adds fields ({', '.join(self._at(name[:50]) for name in odd[:10])})")

    def value(self, name: str) -> Any:
        return self.held[name]

    def text(self, name: str) -> str:
        value = self.held[name]
        return value if isinstance(value, str) and len(value) <= MAX_TEXT else self.wrong(name)

    def number(self, name: str, low: float, high: float) -> float:
        value = self.held[name]
        # JSON's whole numbers have no bound, and NaN compares false with everything.
        return value if type(value) in (int, float) and low <= value <= high else self.wrong(name)

    def whole(self, name: str, low: int, high: int) -> int:
        value = self.held[name]
        return value if type(value) is int and low <= value <= high else self.wrong(name)

    def count(self, name: str, *, optional: bool = False) -> int | None:
        return None if optional and self.held[name] is None else self.whole(name, 0, 10**9)

    def rate(self, name: str) -> float:
        """An error rate: half and more would be no calibration."""
        value = self.number(name, 0.0, 0.5)
        return value if value not in (0, 0.5) else self.wrong(name)

    def _list(self, name: str) -> list[Any]:
        value = self.held[name]
        return value if isinstance(value, list) and len(value) <= MAX_ENTRIES else self.wrong(name)

    def numbers(self, name: str) -> tuple[float, ...]:
        """At least one finite number."""
        values = self._list(name)
        # Beyond 1e300 sums and differences of scores would overflow.
        right = all(type(one) in (int, float) and -1e300 <= one <= 1e300 for one in values)
        return tuple(values) if values and right else self.wrong(name)

    def wholes(self, name: str) -> tuple[int, ...]:
        values = self._list(name)
        return tuple(values) if all(type(one) is int and 0 <= one <= 10**12 for one in values) else self.wrong(name)

    def texts(self, name: str) -> tuple[str, ...]:
        values = self._list(name)
        right = all(isinstance(one, str) and len(one) <= MAX_TEXT for one in values)
        return tuple(values) if right else self.wrong(name)

    def scalars(self, name: str) -> dict[str, Any]:
        """A flat object of texts, numbers, truth values."""
        value = self.held[name]
        if not isinstance(value, dict) or len(value) > 100:
            self.wrong(name)
        inner = Fields(value, self._at(name))
        for key, one in value.items():
            if isinstance(one, str):
                inner.text(key)
            elif type(one) is not bool:
                inner.number(key, -1e300, 1e300)
        return value

    def table(self, name: str) -> Fields:
        value = self.held[name]
        return Fields(value, self._at(name)) if isinstance(value, dict) else self.wrong(name)

    def table_or_none(self, name: str) -> Fields | None:
        return None if self.held[name] is None else self.table(name)

    def tables(self, name: str) -> list[Fields]:
        """At least one object."""
        values = self._list(name)
        if not values or not all(isinstance(one, dict) for one in values):
            self.wrong(name)
        return [Fields(one, f"{self._at(name)}[{number}]") for number, one in enumerate(values)]
