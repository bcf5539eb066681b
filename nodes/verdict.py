"""Trace Verdict: belonging, non-belonging or inconclusive, in words and as a picture."""

from __future__ import annotations

import re
from dataclasses import replace

from comfy_api.latest import io

from ..core import InvalidSettingError, Inversion, Traced, verdict_from_losses, verdict_from_threshold
from .outcome import verdict_outputs, verdict_result
from .sockets import CATEGORY, Trace

NOTHING_KNOWN = (
    "a loss alone says nothing, and neither a threshold nor known losses are given: set threshold, or belonging_losses,"
    " or use Trace Image, which is calibrated."
)


class TraceVerdict(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerVerdict",
            display_name="Trace Verdict",
            category=CATEGORY,
            description="Turns a trace into an answer. Without a threshold or known losses it stays inconclusive.",
            search_aliases=["belongs to model", "is this AI", "which model", "provenance", "verdict"],
            is_output_node=True,
            inputs=[
                Trace.Input("trace", tooltip="From Invert Latent."),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=1e-7,
                    round=1e-9,
                    tooltip="Loss below which an image belongs, known for this decoder. 0: none is known.",
                ),
                io.String.Input(
                    "belonging_losses",
                    default="",
                    multiline=True,
                    optional=True,
                    advanced=True,
                    tooltip="Losses of images known to come from this VAE, separated by commas or spaces: Grubbs'"
                    " outlier test sets the threshold.",
                ),
                io.Float.Input(
                    "alpha",
                    default=0.05,
                    min=0.0001,
                    max=0.5,
                    step=0.01,
                    round=0.0001,
                    optional=True,
                    advanced=True,
                    tooltip="Level of Grubbs' test: how often a belonging image may be refused.",
                ),
            ],
            outputs=verdict_outputs(),
        )

    @classmethod
    def execute(
        cls, trace: Inversion, threshold: float, belonging_losses: str = "", alpha: float = 0.05
    ) -> io.NodeOutput:
        if not isinstance(trace, Inversion):
            raise InvalidSettingError("The trace input holds no trace: connect Invert Latent.")
        known = parse_losses(belonging_losses)
        scores = [float(loss) for loss in trace.loss]
        if known:
            verdicts = [verdict_from_losses(score, known, alpha) for score in scores]
        else:
            verdicts = [verdict_from_threshold(score, threshold or None) for score in scores]
            if not threshold:
                verdicts = [replace(verdict, basis=NOTHING_KNOWN) for verdict in verdicts]
        return verdict_result(cls, [Traced.of_inversion(trace, k, verdict) for k, verdict in enumerate(verdicts)])


def parse_losses(text: str) -> list[float]:
    """Losses separated by commas, semicolons or white space."""
    words = [word for word in re.split(r"[\s,;]+", text) if word]
    example = "for example 1.2e-5, 3.4e-5"
    try:
        losses = [float(word) for word in words]
    except ValueError as error:
        raise InvalidSettingError(
            f"belonging_losses must be numbers separated by commas ({error}): {example}."
        ) from None
    if any(loss < 0 for loss in losses):
        raise InvalidSettingError(f"belonging_losses must not be negative, got {min(losses):g}: {example}.")
    return losses
