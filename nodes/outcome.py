"""What a verdict node returns and shows: the answers, the report and the picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from comfy_api.latest import io, ui
from PIL import Image
from torch import Tensor

from ..core import Traced, Verdict
from ..core.reports.pictures import picture_tensor, trace_picture
from ..core.reports.words import trace_report
from ..core.tracing.row import TraceRow
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
    facts = [row_facts(row) for row in rows] if rows is not None else [{}] * len(traced)
    pictures = [trace_picture(one, about) for one, about in zip(traced, facts, strict=True)]
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


def row_facts(row: TraceRow) -> dict[str, str]:
    """What the card says about the file."""
    if not row.format:
        return {}
    claimed = ", ".join(row.claimed_vaes) or "no VAE"
    return {"file": f"{row.name} ({row.format})", "metadata claim": claimed, "claim and pixels": row.agreement}


def row_lines(row: TraceRow) -> str:
    """What the report says about the file, after a line break."""
    if not row.format:
        return ""
    return (
        f"\nfile: {row.name} ({row.format}{', lossy' if row.lossy else ''}, {row.width}×{row.height})"
        f"\nmetadata, which anyone can write: {row.claims}"
        f"\nmetadata and pixels: {row.agreement}; {row.agreement_reason}"
    )


def stack(pictures: list[Tensor]) -> Tensor:
    """Pictures ``[1,H,W,3]`` as one batch: longer sentences make higher pictures, the others repeat their last row."""
    height = max(picture.shape[1] for picture in pictures)
    rows = [torch.arange(height).clamp(max=picture.shape[1] - 1) for picture in pictures]
    return torch.cat([picture[:, row] for picture, row in zip(pictures, rows, strict=True)])
