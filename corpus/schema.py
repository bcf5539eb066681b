"""The columns of a corpus: those of ``trace``, ``attribute`` and ``family --json``, and which shard a row lies in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import pyarrow as pa

from ..core.tracing.row import TraceRow
from .inputs import encodable

Kind = Literal["trace", "attribute", "family"]
_TYPES = {
    "str": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "tuple[str, ...]": pa.list_(pa.string()),
    # The part that an inversion looked at.
    "dict[str, int]": pa.struct(
        [(side, pa.int64()) for side in ("left", "top", "width", "height", "original_width", "original_height")]
    ),
}
_CANDIDATE = pa.struct(
    [
        *((name, pa.string()) for name in ("vae", "verdict")),
        *((name, pa.float64()) for name in ("score", "p_value", "standing")),
        ("basis", pa.string()),
        *((name, pa.float64()) for name in ("fpr", "fpr_bound", "fnr", "fnr_bound", "belonging_p_value")),
        *((name, pa.string()) for name in ("calibration", "condition", "stage")),
        ("jpeg_quality", pa.int64()),
    ]
)
_OF_PROXY = pa.struct(
    [
        *((name, pa.string()) for name in ("proxy", "family")),
        ("shows", pa.bool_()),
        *((name, pa.float64()) for name in ("contrast", "deviation", "evidence", "p_value")),
        ("error", pa.string()),
    ]
)
# What `family --json` says of a picture.
FAMILY_FIELDS: dict[str, pa.DataType] = {
    "image": pa.string(),
    "family": pa.string(),
    "p_value": pa.float64(),
    "fpr": pa.float64(),
    "scores": pa.list_(_OF_PROXY),
    "basis": pa.string(),
    "answer": pa.string(),
    "fpr_bound": pa.float64(),
    "fnr": pa.float64(),
    "missing": pa.list_(pa.string()),
    "claims": pa.string(),
}
# What is known of the file behind an answer, and where its row lies.
_ABOUT = [
    *((name, pa.string()) for name in ("error", "name", "digest")),
    ("seconds", pa.float64()),
    ("shard", pa.string()),
]


def _trace_fields() -> list[tuple[str, pa.DataType]]:
    kinds = {field.name: str(field.type).removesuffix(" | None") for field in dataclasses.fields(TraceRow)}
    names = list(TraceRow("").to_json("", ""))
    return [(name, _TYPES[kinds.get(name, "str")]) for name in names]


# Appended to only: docs/json.md.
SCHEMAS: dict[Kind, pa.Schema] = {
    "trace": pa.schema([*_trace_fields(), ("shard", pa.string())]),
    "attribute": pa.schema(
        [
            *((name, pa.string()) for name in ("image", "vae", "reason")),
            ("tied", pa.list_(pa.string())),
            ("candidates", pa.list_(_CANDIDATE)),
            ("fpr", pa.float64()),
            *_ABOUT,
        ]
    ),
    "family": pa.schema([*FAMILY_FIELDS.items(), *_ABOUT]),
}


def table_of(kind: Kind, records: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as a table; text that is no UTF-8 (names of files may be) is written out as escapes."""
    return pa.Table.from_pylist([_encodable(record) for record in records], schema=SCHEMAS[kind])


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {key: _encodable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_encodable(one) for one in value]
    return value
