"""One line of a report: a file, what its metadata claim, and what its pixels show."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from ..files.picture import FileFacts, UnreadableFile
from ..files.provenance import Claims
from ..images.tensors import to_picture
from ..storage.safe_text import clean_text
from .agreement import compare
from .traced import Traced

THUMBNAIL_SIDE = 112
MAX_THUMBNAIL = 20_000
THUMBNAIL_PREFIX = "data:image/jpeg;base64,"


@dataclass(frozen=True)
class TraceRow:
    """Fields are a promise: added, never renamed. ``verdict`` is ``None`` where ``error`` says why there is none.

    ``claims`` is the file's metadata in one line, ``agreement`` one of :data:`.agreement.Comparison`. ``thumbnail`` is
    a small JPEG as a data address; ``jpeg_quality`` of a JPEG file the picture once was, where its pixels show one.
    Rates as in :class:`Verdict`. ``encoder_passes`` … ``peak_bytes``: the cost of answer and explanation, without the
    reading. ``explained``: an inversion was run; ``loss`` to ``solver``, ``reproduced`` to ``floor_blocks`` are its
    own, and ``None`` without. ``power``, ``state`` and ``fpr_basis`` as in :class:`Verdict`.
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
    fnr: float | None = None
    fpr_bound: float | None = None
    fnr_bound: float | None = None
    belonging_p_value: float | None = None
    calibration: str = ""
    stage: str = ""
    encoder_passes: int | None = None
    decoder_passes: int | None = None
    seconds: float | None = None
    peak_bytes: int | None = None
    explained: bool = False
    initial_loss: float | None = None
    crop: dict[str, int] | None = None
    quantiser: str | None = None
    solver: str | None = None
    power: float | None = None
    state: tuple[str, ...] = ()
    fpr_basis: str = ""
    reproduced: float | None = None
    certified: bool | None = None
    floor_blocks: float | None = None

    def to_json(self, image: str, vae: str) -> dict[str, Any]:
        """The JSON object of one picture, the same from every command: ``image`` and ``vae`` as they were given."""
        record = self.to_record()
        del record["thumbnail"]
        return {"image": image, "vae": vae, **record}

    def to_record(self) -> dict[str, Any]:
        """For JSON: lists for tuples, and no number that JSON lacks."""
        record = dataclasses.asdict(self)
        for key, value in record.items():
            if isinstance(value, tuple):
                record[key] = list(value)
            elif isinstance(value, float) and not math.isfinite(value):
                record[key] = None
        return record


def traced_row(traced: Traced, inspected: Sequence[str]) -> TraceRow:
    """The row of a traced picture. ``inspected``: the names by which its metadata may call the model."""
    facts, verdict, inversion, passes = traced.picture.facts, traced.verdict, traced.inversion, traced.passes
    agreement = compare(facts.claims, inspected, verdict.answer)
    searched: dict[str, Any] = {}
    if inversion is not None:
        searched = {
            "explained": True,
            "loss": _number(float(inversion.loss[0])),
            "initial_loss": _number(float(inversion.initial_loss[0])),
            "crop": None if inversion.crop.is_whole else dataclasses.asdict(inversion.crop),
            "quantiser": inversion.quantiser[0],
            "solver": inversion.solver,
            "reproduced": next(iter(inversion.reproduced), None),
            "certified": next(iter(inversion.certified), None),
            "floor_blocks": None if inversion.floor_blocks[0] is None else inversion.floor_blocks[0].share,
        }
    return TraceRow(
        **_file_fields(facts, traced.notes),
        model=traced.model,
        fingerprint=traced.fingerprint,
        verdict=verdict.answer,
        score=_number(verdict.score),
        p_value=verdict.p_value,
        fpr=verdict.fpr,
        condition=verdict.condition,
        basis=verdict.basis,
        agreement=agreement.comparison,
        agreement_reason=agreement.reason,
        thumbnail=thumbnail(traced.picture.upright),
        jpeg_quality=verdict.jpeg_quality,
        fnr=verdict.fnr,
        fpr_bound=verdict.fpr_bound,
        fnr_bound=verdict.fnr_bound,
        belonging_p_value=verdict.belonging_p_value,
        calibration=verdict.calibration,
        stage=verdict.stage,
        encoder_passes=passes.encoder,
        decoder_passes=passes.decoder,
        seconds=round(traced.seconds, 3),
        peak_bytes=traced.peak_bytes,
        power=None if verdict.power is None else _number(verdict.power),
        state=verdict.state,
        fpr_basis=verdict.fpr_basis,
        **searched,
    )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def failed_row(facts: FileFacts, pixels: Tensor, error: str) -> TraceRow:
    """The row of a picture, ``pixels`` ``[1,3,H,W]``, that was read but cannot be judged, for example a flat one."""
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


def _is_whole(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**63


def _is_number(value: Any) -> bool:
    """Finite, too: no row was ever written with another, and whole numbers of JSON have no bound."""
    return type(value) in (int, float) and abs(value) <= 1e300


_IS_OF_KIND: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "str | None": lambda value: value is None or isinstance(value, str),
    "int": _is_whole,
    "int | None": lambda value: value is None or _is_whole(value),
    "bool": lambda value: isinstance(value, bool),
    "bool | None": lambda value: value is None or isinstance(value, bool),
    "float | None": lambda value: value is None or _is_number(value),
    "dict[str, int] | None": lambda value: (
        value is None or isinstance(value, dict) and all(_is_whole(one) for one in value.values())
    ),
    "tuple[str, ...]": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
}


def thumbnail(pixels: Tensor) -> str:
    """A picture ``[1,3,H,W]`` as the data address of a JPEG of at most 112 pixels a side."""
    # Every n-th pixel of a very large one: copies of a hundred megapixels are gigabytes.
    stride = max(1, min(pixels.shape[-2:]) // (8 * THUMBNAIL_SIDE))
    picture = to_picture(pixels[..., ::stride, ::stride])
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


def conditions_of(rows: Sequence[TraceRow]) -> str:
    """How many pictures were judged by which condition of the calibration, the most frequent first; empty for none.

    >>> conditions_of([TraceRow("a", p_value=0.01, condition="clean"), TraceRow("b", condition="clean")])
    'clean 1'
    """
    found = Counter(row.condition for row in rows if row.p_value is not None)
    ordered = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{condition} {count}" for condition, count in ordered)


def shown_name(row: TraceRow) -> str:
    return clean_text(row.name, 300)
