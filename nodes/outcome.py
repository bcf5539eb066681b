"""What a verdict node returns and shows: the answers, the report and the picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from comfy_api.latest import io, ui
from PIL import Image
from torch import Tensor

from ..core import Traced, Verdict
from ..core.reports.pictures import note_card, picture_tensor, trace_picture
from ..core.reports.plain import short_name
from ..core.reports.words import trace_report
from ..core.tracing.row import TraceRow, shown_name
from ..core.verdicts.verdict import Answer
from .folder_sockets import RowSocket


def verdict_outputs() -> list[io.Output]:
    """The outputs that every verdict node has, in this order."""
    return [
        io.Boolean.Output("belongs", is_output_list=True, tooltip="True only for belonging, never for inconclusive."),
        io.String.Output(
            "verdict", is_output_list=True, tooltip="belonging, non-belonging or inconclusive; one per image."
        ),
        io.Float.Output("score", is_output_list=True, tooltip="Lower for belonging images; one per image."),
        io.String.Output("report", tooltip="All about the trace, in words."),
        io.Image.Output(
            "picture", tooltip="The verdict, the image, its reconstruction, their residual, loss and score."
        ),
    ]


def row_output() -> io.Output:
    return RowSocket.Output("row", is_output_list=True, tooltip="One line per image, for Save Trace Report.")


def verdict_result(
    node: type[io.ComfyNode], traced: list[Traced], rows: Sequence[TraceRow] | None = None
) -> io.NodeOutput:
    """Outputs and display of ``node`` for its traced pictures; with ``rows``, those are the last output."""
    about: list[TraceRow | None] = list(rows) if rows is not None else [None] * len(traced)
    pictures = [
        trace_picture(one) if row is None else trace_picture(one, row_facts(row), further=agreement_line(row))
        for one, row in zip(traced, about, strict=True)
    ]
    reports = [trace_report(one, (number, len(traced))) for number, one in enumerate(traced, start=1)]
    if rows is not None:
        reports = [report + row_lines(row) for report, row in zip(reports, rows, strict=True)]
    return outputs(node, [one.verdict for one in traced], reports, pictures, rows)


def outputs(
    node: type[io.ComfyNode],
    verdicts: list[Verdict],
    reports: list[str],
    pictures: list[Image.Image],
    rows: Sequence[TraceRow] | None,
) -> io.NodeOutput:
    images = stack([picture_tensor(picture) for picture in pictures])
    report = "\n\n".join(reports)
    preview = ui.PreviewImage(images, cls=node).as_dict()
    return io.NodeOutput(
        [verdict.answer == "belonging" for verdict in verdicts],
        [verdict.answer for verdict in verdicts],
        [verdict.score for verdict in verdicts],
        report,
        images,
        *([] if rows is None else [list(rows)]),
        ui={**preview, "text": (report,)},
    )


def told(
    node: type[io.ComfyNode], title: str, report: str, counts: Sequence[tuple[str, int, Answer | None]] = ()
) -> dict[str, Any]:
    """The display of a ``node`` whose result is words: as a picture, for the frontend draws text on no node of ours."""
    card = picture_tensor(note_card(title, report.splitlines(), counts))
    return {**ui.PreviewImage(card, cls=node).as_dict(), "text": (report,)}


def row_facts(row: TraceRow) -> dict[str, str]:
    """What the card says about the file."""
    if not row.format:
        return {}
    claimed = ", ".join(row.claimed_vaes) or "no VAE"
    return {
        "file": f"{shown_name(row)} ({row.format})",
        "metadata claim": claimed,
        "metadata and pixels": row.agreement,
    }


def agreement_line(row: TraceRow) -> str:
    """Whether the file's metadata say the same as its pixels, for the card's head; empty where there is no telling."""
    said = {"agree": "Metadata and pixels agree", "disagree": "Metadata and pixels disagree"}.get(row.agreement)
    return "" if said is None else f"{said}: the file names {', '.join(map(short_name, row.claimed_vaes))}."


def row_lines(row: TraceRow) -> str:
    """What the report says about the file, after a line break."""
    if not row.format:
        return ""
    return (
        f"\nfile: {shown_name(row)} ({row.format}{', lossy' if row.lossy else ''}, {row.width}×{row.height})"
        f"\nmetadata, which anyone can write: {row.claims}"
        f"\nmetadata and pixels: {row.agreement}; {row.agreement_reason}"
    )


def stack(pictures: list[Tensor]) -> Tensor:
    """Pictures ``[1,H,W,3]`` as one batch: smaller ones repeat their last row and column, as longer sentences make
    higher pictures."""
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (1, 2))

    def filled(picture: Tensor) -> Tensor:
        rows, columns = (torch.arange(side).clamp(max=own - 1)
                         for side, own in zip((height, width), picture.shape[1:3], strict=True))  # fmt: skip
        return picture[:, rows][:, :, columns]

    return torch.cat([filled(picture) for picture in pictures])
