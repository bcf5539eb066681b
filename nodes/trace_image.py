"""Trace Image: everything in one node."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core import (
    InvalidProfileError,
    Profile,
    check_images,
    crop_to_grid,
    invert,
    make_score,
    verdict_from_profile,
    verdict_from_threshold,
)
from . import comfy_adapter
from .outcome import verdict_outputs, verdict_result
from .sockets import CATEGORY, ProfileSocket


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
                    "profile", optional=True, tooltip="From Calibrate Trace. Without it the answer stays inconclusive."
                ),
                io.Int.Input(
                    "steps",
                    default=30,
                    min=1,
                    max=10000,
                    optional=True,
                    advanced=True,
                    tooltip="Decoder passes of the inversion that the picture shows.",
                ),
            ],
            outputs=verdict_outputs(),
        )

    @classmethod
    def execute(cls, vae: Any, image: Tensor, profile: Profile | None = None, steps: int = 30) -> io.NodeOutput:
        if profile is not None and not isinstance(profile, Profile):
            raise InvalidProfileError("The profile input holds no profile: connect Calibrate or Load Trace Profile.")
        images = comfy_adapter.to_core_images(image)
        with comfy_adapter.inspected_model(vae, image) as autoencoder:
            stages = ["inversion"] * len(images)
            scores: list[float] = []
            if profile is not None:
                score = make_score(profile.score)
                profile.check(autoencoder.fingerprint, score.name, dict(score.settings))
                cropped, _ = crop_to_grid(check_images(images), autoencoder.spatial_ratio)
                scored = [score(autoencoder, one) for one in comfy_adapter.split(cropped)]
                scores, stages = [one.value for one in scored], [one.stage for one in scored]
            trace = invert(autoencoder, images, steps=steps, on_step=comfy_adapter.progress_reporter())
        if profile is None:
            scores = [float(loss) for loss in trace.loss]
            verdicts = [verdict_from_threshold(score, None) for score in scores]
        else:
            verdicts = [verdict_from_profile(s, profile, stage) for s, stage in zip(scores, stages, strict=True)]
        return verdict_result(cls, trace, verdicts)
