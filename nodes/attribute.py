"""Attribute Image: which of up to four VAEs made this image, or none."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..core import InvalidProfileError, Profile, attribute, check_images, crop_to_grid, make_score
from . import comfy_adapter
from .sockets import CATEGORY, ProfileSocket

CANDIDATES = 4


class AttributeImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs: list[Any] = [io.Image.Input("image", tooltip="The image under test, as it was saved.")]
        for number in range(1, CANDIDATES + 1):
            optional = number > 1
            inputs += [
                io.Vae.Input(f"vae_{number}", optional=optional, tooltip=f"Candidate {number}."),
                ProfileSocket.Input(
                    f"profile_{number}", optional=optional, tooltip=f"Calibration of candidate {number}."
                ),
            ]
        return io.Schema(
            node_id="LatentTracerAttributeImage",
            display_name="Attribute Image",
            category=CATEGORY,
            description="Which of these VAEs made the image? None of them is an answer, and so is a tie.",
            search_aliases=["which model", "attribution", "compare vaes", "origin", "provenance"],
            is_output_node=True,
            inputs=inputs,
            outputs=[
                io.Int.Output(
                    "candidate", is_output_list=True, tooltip="Number of the candidate, 0 for none; per image."
                ),
                io.String.Output("report", tooltip="Every candidate's p-value, in words."),
            ],
        )

    @classmethod
    def execute(cls, image: Tensor, **candidates: Any) -> io.NodeOutput:
        images = check_images(comfy_adapter.to_core_images(image))
        scores: list[list[tuple[str, float, Profile]]] = [[] for _ in images]
        for number in range(1, CANDIDATES + 1):
            vae, profile = candidates.get(f"vae_{number}"), candidates.get(f"profile_{number}")
            if vae is None and profile is None:
                continue
            if not isinstance(profile, Profile):
                raise InvalidProfileError(
                    f"Candidate {number} has no profile: connect Calibrate or Load Trace Profile."
                )
            with comfy_adapter.inspected_model(vae, image) as autoencoder:
                score = make_score(profile.score)
                profile.check(autoencoder.fingerprint, score.name, dict(score.settings))
                cropped, _ = crop_to_grid(images, autoencoder.spatial_ratio)
                for index, one in enumerate(comfy_adapter.split(cropped)):
                    scores[index].append((str(number), score(autoencoder, one).value, profile))
        results = [attribute(one) for one in scores]
        lines = []
        for index, result in enumerate(results, start=1):
            lines.append(f"image {index}: {'candidate ' + result.vae if result.vae else 'none'} ({result.reason})")
            lines += [
                f"  candidate {c.name}: {c.verdict.answer}, p = {c.verdict.p_value:.3g}" for c in result.candidates
            ]
        report = "\n".join(lines)
        return io.NodeOutput([int(result.vae or 0) for result in results], report, ui=ui.PreviewText(report))
