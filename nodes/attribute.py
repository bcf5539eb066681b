"""Attribute Image: which of up to four VAEs made this image, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..core import LIMITS, Attribution, InvalidProfileError, Tracer, UnsupportedAutoencoderError
from ..core.files.picture import FileFacts
from ..core.images.tensors import check_each
from ..core.profiles.thresholds import shown_rate
from ..core.reports.pictures import attribution_chart, note_card, picture_tensor
from ..core.reports.plain import plain_attribution
from ..core.tracing.attribute import attribute_all
from . import comfy_adapter
from .folder_sockets import check_file_socket, file_input
from .outcome import stack
from .sockets import MORE, ProfileSocket, check_profile_socket
from .source_file import source_file, vae_name
from .trace_image import pictures_of

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
        inputs.append(file_input())
        return io.Schema(
            node_id="LatentTracerAttributeImage",
            display_name="Attribute Image",
            category=MORE,
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
            # Tells which files the VAEs and the image were loaded from.
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, image: Tensor, file: FileFacts | None = None, **candidates: Any) -> io.NodeOutput:
        check_file_socket(file)
        images, unjudged = check_each(comfy_adapter.to_core_images(image))
        pictures = pictures_of(images, file, source_file(cls.hidden.prompt, cls.hidden.unique_id, "image"))
        numbers = [number for number in range(1, CANDIDATES + 1) if has_candidate(candidates, number)]
        for number in numbers:
            with naming(number):
                comfy_adapter.check_vae(candidates.get(f"vae_{number}"))
                check_profile_socket(candidates.get(f"profile_{number}"))
        names = shown_names(cls.hidden, numbers)

        @contextmanager
        def opened(number: int) -> Iterator[Tracer]:
            # One clone of a VAE at a time.
            with (
                naming(number),
                comfy_adapter.inspected_model(candidates[f"vae_{number}"], image, names[number]) as autoencoder,
            ):
                yield Tracer(autoencoder, candidates.get(f"profile_{number}"), name=names[number])

        results = attribute_all(
            [partial(opened, number) for number in numbers], pictures, comfy_adapter.pass_reporter()
        )
        answers = [
            f"image {index + 1}: not judged ({unjudged[index]})" if index in unjudged else describe(index + 1, result)
            for index, result in enumerate(results)
        ]
        report = "\n\n".join([*answers, f"limits: {LIMITS}"])
        made_by = [next((n for n in numbers if names[n] == result.vae), 0) for result in results]
        charts = [
            note_card(f"Picture {index + 1} cannot be judged", [unjudged[index]])
            if index in unjudged
            else attribution_chart(result)
            for index, result in enumerate(results)
        ]
        drawn = stack([picture_tensor(chart) for chart in charts])
        preview = ui.PreviewImage(drawn, cls=cls).as_dict()
        return io.NodeOutput(made_by, report, drawn, ui={**preview, "text": (report,)})


def shown_names(hidden: Any, numbers: list[int]) -> dict[int, str]:
    """By the candidate's number: the file that its VAE was loaded from, with the socket where two share it."""
    names = {number: vae_name(hidden, f"vae_{number}") for number in numbers}
    given = list(names.values())
    return {
        number: name if name and given.count(name) == 1 else f"{name or 'VAE'} (vae_{number})"
        for number, name in names.items()
    }


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
    plain = plain_attribution(result)
    lines = [
        f"image {index}: {plain.headline}. {plain.certainty}",
        f"  Next: {plain.advice}",
        f"  {result.vae or 'no candidate'} ({result.reason})",
        f"  an image of none of them is attributed to one at a rate of at most {shown_rate(result.fpr)}",
    ]
    for candidate in sorted(result.candidates, key=lambda one: one.name):
        verdict = candidate.verdict
        if verdict.p_value is None:
            lines.append(f"  {candidate.name}: {verdict.answer}: {verdict.basis}")
            continue
        lines.append(
            f"  {candidate.name}: {verdict.answer}, p = {verdict.p_value:.3g}, false-positive rate"
            f" {shown_rate(verdict.fpr, verdict.fpr_bound)}, condition {verdict.condition}"
        )
    return "\n".join(lines)
