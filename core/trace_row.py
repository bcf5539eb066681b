"""One line of a report: a file, what its metadata claim, and what its pixels show."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from .images import to_picture
from .picture_file import FileFacts, UnreadableFile
from .provenance import Claims, compare
from .safe_text import clean_text
from .verdict import Verdict

THUMBNAIL_SIDE = 112
MAX_THUMBNAIL = 20_000
THUMBNAIL_PREFIX = "data:image/jpeg;base64,"


@dataclass(frozen=True)
class TraceRow:
    """Fields are a promise: added, never renamed. ``verdict`` is ``None`` where ``error`` says why there is none.

    ``claims`` is the file's metadata in one line, ``agreement`` one of core.provenance's comparisons. ``thumbnail`` is
    a small JPEG as a data address; ``jpeg_quality`` of a JPEG file the picture once was, where its pixels show one.
    """

    name: str
    digest: str = ""
    size: int = 0
    format: str = ""
    width: int = 0
    height: int = 0
    lossy: bool = False
    notes: tuple[str, ...] = ()
    model: str = ""
    fingerprint: str = ""
    verdict: str | None = None
    score: float | None = None
    p_value: float | None = None
    fpr: float | None = None
    condition: str = ""
    basis: str = ""
    loss: float | None = None
    claimed_checkpoints: tuple[str, ...] = ()
    claimed_vaes: tuple[str, ...] = ()
    claimed_samplers: tuple[str, ...] = ()
    claims: str = ""
    agreement: str = ""
    agreement_reason: str = ""
    thumbnail: str = ""
    error: str = ""
    jpeg_quality: int | None = None

    def to_record(self) -> dict[str, Any]:
        """For JSON: lists for tuples, and no number that JSON lacks."""
        record = dataclasses.asdict(self)
        for key, value in record.items():
            if isinstance(value, tuple):
                record[key] = list(value)
            elif isinstance(value, float) and not math.isfinite(value):
                record[key] = None
        return record


def traced_row(
    facts: FileFacts,
    pixels: Tensor,
    verdict: Verdict,
    *,
    model: str,
    fingerprint: str,
    inspected: Sequence[str] = (),
    loss: float | None = None,
    notes: Sequence[str] = (),
) -> TraceRow:
    """The row of a traced picture ``[1,3,H,W]``. ``inspected``: the names by which its metadata may call the model."""
    agreement = compare(facts.claims, inspected, verdict.answer)
    return TraceRow(
        **_file_fields(facts, notes),
        model=model,
        fingerprint=fingerprint,
        verdict=verdict.answer,
        score=verdict.score if math.isfinite(verdict.score) else None,
        p_value=verdict.p_value,
        fpr=verdict.fpr,
        condition=verdict.condition,
        basis=verdict.basis,
        loss=loss,
        agreement=agreement.comparison,
        agreement_reason=agreement.reason,
        thumbnail=thumbnail(pixels),
        jpeg_quality=verdict.jpeg_quality,
    )


def failed_row(facts: FileFacts, pixels: Tensor, error: str) -> TraceRow:
    """The row of a picture that was read but cannot be judged, for example a flat one."""
    return TraceRow(**_file_fields(facts, ()), thumbnail=thumbnail(pixels), error=error)


def unreadable_row(file: UnreadableFile) -> TraceRow:
    return TraceRow(file.name, file.digest, file.size, error=file.error)


def _file_fields(facts: FileFacts, notes: Sequence[str]) -> dict[str, Any]:
    claims: Claims = facts.claims
    return {
        "name": facts.name,
        "digest": facts.digest,
        "size": facts.size,
        "format": facts.format,
        "width": facts.width,
        "height": facts.height,
        "lossy": facts.lossy,
        "notes": tuple(dict.fromkeys((*facts.notes, *notes))),
        "claimed_checkpoints": claims.checkpoints,
        "claimed_vaes": claims.vaes,
        "claimed_samplers": claims.samplers,
        "claims": claims.sentence,
    }


def parse_row(record: Any) -> TraceRow:
    """The row that :meth:`TraceRow.to_record` wrote; raises ValueError for anything else."""
    fields = {field.name: field for field in dataclasses.fields(TraceRow)}
    if not isinstance(record, dict) or not set(record) <= set(fields) or "name" not in record:
        raise ValueError("no row of a report")
    values: dict[str, Any] = {}
    for key, value in record.items():
        kind = str(fields[key].type)
        if not _IS_OF_KIND[kind](value):
            raise ValueError(f"{key} of a row must be {kind}")
        values[key] = tuple(value) if isinstance(value, list) else value
    address = values.get("thumbnail", "")
    if address and not (address.startswith(THUMBNAIL_PREFIX) and len(address) <= MAX_THUMBNAIL and address.isascii()):
        raise ValueError("the thumbnail of a row must be a small JPEG")
    return TraceRow(**values)


_IS_OF_KIND: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "str | None": lambda value: value is None or isinstance(value, str),
    "int": lambda value: type(value) is int,
    "int | None": lambda value: value is None or type(value) is int,
    "bool": lambda value: isinstance(value, bool),
    "float | None": lambda value: value is None or type(value) in (int, float),
    "tuple[str, ...]": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
}


def thumbnail(pixels: Tensor) -> str:
    """A picture ``[1,3,H,W]`` as the data address of a JPEG of at most 112 pixels a side."""
    picture = to_picture(pixels)
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX, reducing_gap=None)
    for quality in (80, 50, 20):
        stored = io.BytesIO()
        picture.save(stored, "JPEG", quality=quality)
        address = THUMBNAIL_PREFIX + base64.b64encode(stored.getvalue()).decode()
        if len(address) <= MAX_THUMBNAIL:
            return address
    return ""


def summary(rows: Sequence[TraceRow]) -> str:
    """How many of each answer, in one line."""
    counts = {answer: sum(row.verdict == answer for row in rows) for answer in ("belonging", "non-belonging")}
    counts["inconclusive"] = sum(row.verdict == "inconclusive" for row in rows)
    counts["not traced"] = sum(row.verdict is None for row in rows)
    return f"{len(rows)} files: " + ", ".join(f"{count} {answer}" for answer, count in counts.items())


def shown_name(row: TraceRow) -> str:
    return clean_text(row.name, 300)
