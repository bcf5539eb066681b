"""Attribute Image: which of up to four VAEs made this image, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..core import (
    LIMITS,
    Attribution,
    InvalidProfileError,
    Profile,
    UnsupportedAutoencoderError,
    attribute,
    check_images,
)
from ..core.history import History
from ..core.picture import attribution_chart, picture_tensor
from . import comfy_adapter
from .outcome import stack
from .scoring import check_profile_socket, fitting_profile, score_images
from .sockets import CATEGORY, ProfileSocket

CANDIDATES = 4


class AttributeImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs: list[Any] = [io.Image.Input("image", tooltip="The image under test, as it was saved.")]
        for number in range(1, CANDIDATES + 1):
            inputs += [
                io.Vae.Input(f"vae_{number}", optional=number > 1, tooltip=f"Candidate {number}."),
                ProfileSocket.Input(
                    f"profile_{number}",
                    optional=True,
                    tooltip=f"Calibration of candidate {number}; may stay open for a VAE whose profile ships.",
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
                io.Image.Output(
                    "picture", tooltip="A bar of evidence per candidate, and the mark it has to reach; one per image."
                ),
            ],
        )

    @classmethod
    def execute(cls, image: Tensor, **candidates: Any) -> io.NodeOutput:
        images = check_images(comfy_adapter.to_core_images(image))
        numbers = [number for number in range(1, CANDIDATES + 1) if has_candidate(candidates, number)]
        for number in numbers:
            with naming(number):
                comfy_adapter.check_vae(candidates.get(f"vae_{number}"))
                check_profile_socket(candidates.get(f"profile_{number}"))
        report_progress = comfy_adapter.count_reporter()
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            report_progress(done, len(numbers) * len(images))

        scores: list[list[tuple[str, float, Profile]]] = [[] for _ in images]
        for number in numbers:
            with naming(number), comfy_adapter.inspected_model(candidates[f"vae_{number}"], image) as autoencoder:
                profile = fitting_profile(autoencoder, candidates.get(f"profile_{number}"))
                if profile is None:
                    raise InvalidProfileError("No profile ships for it: connect Calibrate Trace or Load Trace Profile.")
                for index, scored in enumerate(score_images(autoencoder, images, profile, advance)):
                    scores[index].append((f"candidate {number}", scored.value, profile))
        shortest_side, histories = min(images.shape[-2:]), map(History.of, comfy_adapter.split(images))
        results = [
            attribute(one, shortest_side=shortest_side, history=history)
            for one, history in zip(scores, histories, strict=True)
        ]
        answers = [describe(index, result) for index, result in enumerate(results, start=1)]
        report = "\n\n".join([*answers, f"limits: {LIMITS}"])
        made_by = [int(result.vae.removeprefix("candidate ")) if result.vae else 0 for result in results]
        pictures = stack([picture_tensor(attribution_chart(result)) for result in results])
        preview = ui.PreviewImage(pictures, cls=cls).as_dict()
        return io.NodeOutput(made_by, report, pictures, ui={**preview, "text": (report,)})


def has_candidate(candidates: dict[str, Any], number: int) -> bool:
    """The first one always counts, so that an empty socket there is refused and not passed over."""
    return number == 1 or any(candidates.get(f"{kind}_{number}") is not None for kind in ("vae", "profile"))


@contextmanager
def naming(number: int) -> Iterator[None]:
    """Puts the candidate's number before what is wrong with it."""
    try:
        yield
    except (InvalidProfileError, UnsupportedAutoencoderError) as error:
        raise type(error)(f"Candidate {number}: {error}") from None


def describe(index: int, result: Attribution) -> str:
    lines = [
        f"image {index}: {result.vae or 'no candidate'} ({result.reason})",
        f"  an image of none of them is attributed to one at a rate of at most {result.fpr:.2%}",
    ]
    for candidate in sorted(result.candidates, key=lambda one: one.name):
        verdict = candidate.verdict
        lines.append(
            f"  {candidate.name}: {verdict.answer}, p = {verdict.p_value:.3g}, stated false-positive rate"
            f" {verdict.fpr:.2%}, condition {verdict.condition}"
        )
    return "\n".join(lines)
