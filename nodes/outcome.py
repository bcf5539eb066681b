"""What a verdict node returns and shows: the answers, the report and the picture."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..core import Inversion, Verdict
from ..core.picture import picture_tensor, trace_picture
from ..core.report import trace_report


def verdict_outputs() -> list[io.Output]:
    """The outputs that every verdict node has, in this order."""
    return [
        io.Boolean.Output("belongs", is_output_list=True, tooltip="True only for belonging, never for inconclusive."),
        io.String.Output(
            "verdict", is_output_list=True, tooltip="belonging, non-belonging or inconclusive; one per image."
        ),
        io.Float.Output("score", is_output_list=True, tooltip="Lower for belonging images; one per image."),
        io.String.Output("report", tooltip="All about the trace, in words."),
        io.Image.Output("picture", tooltip="Original, reconstruction, amplified residual and loss curve."),
    ]


def verdict_result(node: type[io.ComfyNode], trace: Inversion, verdicts: list[Verdict]) -> io.NodeOutput:
    """Outputs and display of ``node`` for one verdict per traced image."""
    pictures = stack([picture_tensor(trace_picture(trace, i, verdict)) for i, verdict in enumerate(verdicts)])
    report = "\n\n".join(trace_report(trace, i, verdict) for i, verdict in enumerate(verdicts))
    preview = ui.PreviewImage(pictures, cls=node).as_dict()
    return io.NodeOutput(
        [verdict.answer == "belonging" for verdict in verdicts],
        [verdict.answer for verdict in verdicts],
        [verdict.score for verdict in verdicts],
        report,
        pictures,
        ui={**preview, "text": (report,)},
    )


def stack(pictures: list[Tensor]) -> Tensor:
    """Pictures ``[1,H,W,3]`` as one batch: longer sentences make higher pictures, the others repeat their last row."""
    height = max(picture.shape[1] for picture in pictures)
    rows = [torch.arange(height).clamp(max=picture.shape[1] - 1) for picture in pictures]
    return torch.cat([picture[:, row] for picture, row in zip(pictures, rows, strict=True)])
