"""Trace Verdict: belonging, non-belonging or inconclusive, in words and as a picture."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from comfy_api.latest import io

from ..core import (
    InvalidSettingError,
    Inversion,
    Picture,
    Traced,
    Tracer,
    same_weights,
    verdict_from_losses,
    verdict_from_threshold,
)
from ..core.tracing.questions import contradicted
from . import comfy_adapter
from .outcome import verdict_outputs, verdict_result
from .sockets import STEPS, Profiles, ProfileSocket, Trace, check_profile_socket
from .source_file import source_behind_trace
from .trace_image import pictures_of

NOTHING_KNOWN = (
    "a loss alone says nothing, and neither a VAE whose calibration could answer nor a threshold is given: connect vae,"
    " or set threshold or belonging_losses."
)


class TraceVerdict(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerVerdict",
            display_name="Trace Verdict",
            category=STEPS,
            description="Turns a trace into an answer. Without threshold, known losses or VAE it stays inconclusive.",
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
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="The VAE that was inverted: where neither threshold nor losses are known its calibration"
                    " answers, as in Trace Image.",
                ),
                ProfileSocket.Input(
                    "profile",
                    optional=True,
                    tooltip="With vae, from Calibrate Trace. Without it the profile that ships for this VAE is used; if"
                    " there is none, rates measured on other VAEs.",
                ),
            ],
            outputs=verdict_outputs(),
            # Tells which file the image was loaded from.
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        trace: Inversion,
        threshold: float,
        belonging_losses: str = "",
        alpha: float = 0.05,
        vae: Any = None,
        profile: Profiles | None = None,
    ) -> io.NodeOutput:
        if not isinstance(trace, Inversion):
            raise InvalidSettingError("The trace input holds no trace: connect Invert Latent.")
        check_profile_socket(profile)
        known = parse_losses(belonging_losses)
        if vae is not None and not known and not threshold:
            source = source_behind_trace(cls.hidden)
            return verdict_result(cls, calibrated(trace, vae, profile, source))
        if profile is not None:
            raise InvalidSettingError(
                "A profile answers together with the VAE: connect vae, and clear threshold and belonging_losses."
            )
        scores = [float(loss) for loss in trace.loss]
        if known:
            verdicts = [verdict_from_losses(score, known, alpha) for score in scores]
        else:
            verdicts = [verdict_from_threshold(score, threshold or None) for score in scores]
            if not threshold:
                verdicts = [dataclasses.replace(verdict, basis=NOTHING_KNOWN) for verdict in verdicts]
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


def calibrated(trace: Inversion, vae: Any, profile: Profiles | None, source: Picture | None) -> list[Traced]:
    """The answers of the calibration of ``vae`` about the traced images, explained by the inversion of each.

    Judged is the whole image, not the part that was inverted: where its sides fill no whole cells, that is a finding.
    ``source``: the file behind it, if the graph shows one.
    """
    answers = []
    images = trace.images if trace.whole is None else trace.whole
    with comfy_adapter.inspected_model(vae, comfy_adapter.to_comfy_images(images)) as autoencoder:
        if not same_weights(autoencoder.fingerprint, trace.fingerprint):
            raise InvalidSettingError("The vae input holds another VAE than the trace was made with: connect that one.")
        tracer = Tracer(autoencoder, profile, name=trace.autoencoder)
        for number, picture in enumerate(pictures_of(images, None, source)):
            one = tracer.trace(picture, comfy_adapter.pass_reporter(number, len(images)))
            inversion = trace.alone(number)
            verdict = contradicted(one.verdict, float(inversion.loss[0]), inversion.floor_blocks[0])
            notes = (*one.notes, *inversion.notes)
            answers.append(dataclasses.replace(one, verdict=verdict, inversion=inversion, notes=notes))
    return answers
