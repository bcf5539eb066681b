"""Trace Image: everything in one node."""

from __future__ import annotations

import dataclasses
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core import (
    Profile,
    check_images,
    invert,
    verdict_from_profile,
    verdict_from_threshold,
)
from . import comfy_adapter
from .outcome import verdict_outputs, verdict_result
from .scoring import check_profile_socket, fitting_profile, score_images
from .sockets import CATEGORY, ProfileSocket

BUILTIN_NOTE = (
    "no profile is connected: the one that ships for this VAE was used; Calibrate Trace makes one from pictures like"
    " yours"
)


class TraceImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerTraceImage",
            display_name="Trace Image",
            category=CATEGORY,
            description="Did this image come out of this VAE? Encodes, inverts and answers, in words and as a picture.",
            search_aliases=["is this AI", "which model", "provenance", "belongs to vae", "trace", "origin"],
            is_output_node=True,
            inputs=[
                io.Vae.Input("vae", tooltip="The inspected model: the VAE the image may have come from."),
                io.Image.Input("image", tooltip="The image under test, as it was saved: not resized, not re-encoded."),
                ProfileSocket.Input(
                    "profile",
                    optional=True,
                    tooltip="From Calibrate Trace. Without it a profile that ships for this VAE is used; if there is"
                    " none, the answer stays inconclusive.",
                ),
                io.Int.Input(
                    "steps",
                    default=30,
                    min=1,
                    max=10000,
                    optional=True,
                    advanced=True,
                    tooltip="Steps of the inversion that the picture shows.",
                ),
            ],
            outputs=verdict_outputs(),
        )

    @classmethod
    def execute(cls, vae: Any, image: Tensor, profile: Profile | None = None, steps: int = 30) -> io.NodeOutput:
        check_profile_socket(profile)
        images = comfy_adapter.to_core_images(image)
        checked = check_images(images)
        with comfy_adapter.inspected_model(vae, image) as autoencoder:
            known = fitting_profile(autoencoder, profile)
            scored = score_images(autoencoder, checked, known) if known is not None else []
            trace = invert(
                autoencoder, images, steps=steps, on_step=comfy_adapter.progress_reporter(live_preview=False)
            )
        if known is None:
            verdicts = [verdict_from_threshold(float(loss), None) for loss in trace.loss]
        else:
            side = min(trace.images.shape[-2:])
            verdicts = [verdict_from_profile(one.value, known, one.stage, shortest_side=side) for one in scored]
            if profile is None:
                trace = dataclasses.replace(trace, notes=(*trace.notes, BUILTIN_NOTE))
        return verdict_result(cls, trace, verdicts)
