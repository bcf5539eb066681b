"""The sums behind a report, gathered batch by batch in memory that does not grow with the rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .counts import ANSWER_COLUMNS, Counts, answers_of
from .schema import Kind
from .shards import damaged, shards_in

BINS = 60
# Rows of a list in the page, and different texts that are counted apart: a name in an error would be one each.
LISTED, DIFFERENT = 50, 2000
OTHERS, OTHER_CLAIMS = "other reasons", "other claims"
CANNOT = "cannot tell"
COLUMNS: dict[Kind, tuple[str, ...]] = {
    "trace": ("image", "error", "seconds", "width", "height", "verdict", "score", "p_value", "condition", "calibration",
              "fpr_basis", "agreement", "encoder_passes", "decoder_passes"),
    "attribute": ("image", "error", "seconds", "fpr", *ANSWER_COLUMNS["attribute"][:-1]),
    "family": ("image", "error", "seconds", "basis", "claims", *ANSWER_COLUMNS["family"]),
}  # fmt: skip


@dataclass
class Reason:
    """How many pictures one error kept from an answer, and the first of them."""

    count: int = 0
    example: str = ""


@dataclass
class Summary:
    """``profiles``: (condition, whose calibration, what its rates rest on, answer) to pictures. ``histograms``: by
    answer ``[BINS]`` over ``low`` … ``high``. ``certain``: (score, p-value, image) of the lowest scores. Of families,
    ``untold``: why none can be told; ``claimed``: (what the metadata say, answer) to pictures."""

    kind: Kind
    low: float = 0.0
    high: float = 1.0
    counts: Counts = field(default_factory=Counts)
    profiles: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    agreements: Counter[str] = field(default_factory=Counter)
    histograms: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    reasons: dict[str, Reason] = field(default_factory=dict)
    certain: list[tuple[float, float | None, str]] = field(default_factory=list)
    encoder_passes: int = 0
    decoder_passes: int = 0
    untold: dict[str, Reason] = field(default_factory=dict)
    claimed: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    def over(cls, folder: Path, kind: Kind) -> Summary:
        """An empty one, whose histogram spans the scores of ``folder``: their ends stand in the footers."""
        ends = [end for path in shards_in(folder) for end in _score_ends(path)] if kind == "trace" else []
        low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
        return cls(kind, low, high if high > low else low + 1.0)

    def add(self, table: pa.Table) -> None:
        """Count the rows of ``table``, which has at least the :data:`COLUMNS`."""
        self.counts.add(Counts.of(self.kind, table))
        answers = answers_of(self.kind, table)
        _add_reasons(self.reasons, table.filter(pc.not_equal(table["error"], "")), "error")
        if self.kind == "family":
            _add_reasons(self.untold, table.filter(pc.equal(table["answer"], CANNOT)), "basis")
            self._add_claims(table.append_column("told", answers))
        if self.kind != "trace":
            return
        table = table.append_column("answer", answers)
        groups = table.select(["condition", "calibration", "fpr_basis", "answer"]).group_by(
            ["condition", "calibration", "fpr_basis", "answer"]
        )
        for row in groups.aggregate([([], "count_all")]).to_pylist():
            key = (row["condition"], row["calibration"], row["fpr_basis"], row["answer"])
            self.profiles[key] += row["count_all"]
        for row in pc.value_counts(table["agreement"]).to_pylist():
            self.agreements[row["values"]] += row["counts"]
        self.encoder_passes += pc.sum(table["encoder_passes"]).as_py() or 0
        self.decoder_passes += pc.sum(table["decoder_passes"]).as_py() or 0
        scored = table.filter(pc.is_valid(table["score"]))
        scores = scored["score"].to_numpy()
        by_answer = np.asarray(scored["answer"].to_pylist(), dtype=object)
        for answer in set(by_answer):
            found, _ = np.histogram(scores[by_answer == answer], BINS, (self.low, self.high))
            self.histograms[answer] = self.histograms.get(answer, np.zeros(BINS, np.int64)) + found
        self._add_certain(scored.filter(pc.equal(scored["answer"], "belonging")))

    def _add_certain(self, table: pa.Table) -> None:
        scores = table["score"].to_numpy()
        lowest = np.argsort(scores, kind="stable")[:LISTED]
        some = table.select(["score", "p_value", "image"]).take(pa.array(lowest)).to_pylist()
        self.certain = sorted(
            [*self.certain, *((one["score"], one["p_value"], one["image"]) for one in some)],
            key=lambda one: (one[0], one[2]),
        )[:LISTED]

    def _add_claims(self, table: pa.Table) -> None:
        claimed = table.filter(pc.is_valid(table["claims"])).group_by(["claims", "told"]).aggregate([([], "count_all")])
        for row in claimed.to_pylist():
            key = (row["claims"], row["told"])
            if key not in self.claimed and len(self.claimed) >= DIFFERENT:
                key = (OTHER_CLAIMS, row["told"])
            self.claimed[key] += row["count_all"]


def most_frequent(reasons: dict[str, Reason]) -> list[tuple[str, Reason]]:
    """Those that most pictures met, at most so many as are listed."""
    return sorted(reasons.items(), key=lambda one: (-one[1].count, one[0]))[:LISTED]


def _add_reasons(reasons: dict[str, Reason], table: pa.Table, column: str) -> None:
    """Count the different texts in a ``column`` of ``table``."""
    for row in table.group_by(column, use_threads=False).aggregate([("image", "first"), ([], "count_all")]).to_pylist():
        reason = row[column]
        if reason not in reasons and len(reasons) >= DIFFERENT:
            reason = OTHERS
        found = reasons.setdefault(reason, Reason(example=row["image_first"]))
        found.count += row["count_all"]


def _score_ends(path: Path) -> list[Any]:
    try:
        footer = pq.read_metadata(path)
        column = footer.schema.names.index("score")
        found = [footer.row_group(k).column(column).statistics for k in range(footer.num_row_groups)]
    except (OSError, pa.ArrowException, ValueError) as error:
        raise damaged(path, error) from None
    return [end for one in found if one is not None and one.has_min_max for end in (one.min, one.max)]
