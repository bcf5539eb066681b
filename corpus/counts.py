"""What a corpus comes to: counts that can be added, kept in the footer of every shard."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .schema import Kind

NOT_TRACED = "not traced"


@dataclass
class Counts:
    """``answers``: of how many pictures each answer was given (of an attribution: which
    decoder, ``none`` or ``tie``; of families: which, ``none`` or ``cannot tell``);
    ``seconds``: of workers, ``pixels``: of pictures that could be read."""

    rows: int = 0
    errors: int = 0
    seconds: float = 0.0
    pixels: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    def add(self, other: Counts) -> None:
        self.rows += other.rows
        self.errors += other.errors
        self.seconds += other.seconds
        self.pixels += other.pixels
        self.answers.update(other.answers)

    def record(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "errors": self.errors,
            "seconds": round(self.seconds, 3),
            "pixels": self.pixels,
            "answers": dict(sorted(self.answers.items())),
        }

    def to_json(self) -> bytes:
        return json.dumps(self.record()).encode()

    @classmethod
    def parse(cls, text: bytes) -> Counts:
        """Of :meth:`to_json`; raises ValueError, KeyError or TypeError for anything else."""
        found = json.loads(text)
        return cls(found["rows"], found["errors"], found["seconds"], found["pixels"], Counter(found["answers"]))

    @classmethod
    def of(cls, kind: Kind, table: pa.Table) -> Counts:
        answers = answers_of(kind, table)
        counted = pc.value_counts(answers).to_pylist()
        pixels = 0
        if kind == "trace":
            pixels = pc.sum(pc.multiply(table["width"], table["height"])).as_py() or 0
        return cls(
            len(table),
            pc.sum(pc.not_equal(table["error"], "")).as_py() or 0,
            pc.sum(table["seconds"]).as_py() or 0.0,
            pixels,
            Counter({one["values"]: one["counts"] for one in counted}),
        )


def answers_of(kind: Kind, table: pa.Table) -> pa.ChunkedArray | pa.Array:
    """``[N]``: the answer of each row in one word; needs the columns that :data:`ANSWER_COLUMNS` names."""
    if kind == "trace":
        return pc.fill_null(table["verdict"], NOT_TRACED)
    if kind == "family":
        return pc.fill_null(pc.coalesce(table["family"], table["answer"]), NOT_TRACED)
    is_tie = pc.greater(pc.fill_null(pc.list_value_length(table["tied"]), 0), 0)
    unnamed = pc.if_else(pc.not_equal(table["error"], ""), NOT_TRACED, pc.if_else(is_tie, "tie", "none"))
    return pc.coalesce(table["vae"], unnamed)


ANSWER_COLUMNS: dict[Kind, tuple[str, ...]] = {
    "trace": ("verdict",),
    "attribute": ("vae", "tied", "error"),
    "family": ("family", "answer"),
}
