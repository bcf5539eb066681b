"""Trace Image: everything in one node."""

from __future__ import annotations

import dataclasses
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core import LatentTracerError, Picture, Traced, Tracer, Verdict
from ..core.files.orientation import stored
from ..core.files.picture import FileFacts
from ..core.images.tensors import ALPHA_NOTE, check_each
from ..core.reports.pictures import verdict_card
from ..core.reports.plain import plain_verdict
from ..core.tracing.row import TraceRow, failed_row, shown_name
from ..core.verdicts.verdict import NOT_SCORED
from . import comfy_adapter
from .folder_run import add_row, kept_when_cancelled
from .folder_sockets import check_file_socket, file_input
from .outcome import outputs, row_facts, row_output, verdict_outputs, verdict_result
from .sockets import CATEGORY, Profiles, ProfileSocket, check_profile_socket
from .source_file import as_stored, source_file, vae_name

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
            description="Did this image come out of this VAE? Answers in words and as a picture, with its error rate.",
            search_aliases=["is this AI", "which model", "provenance", "belongs to vae", "trace", "origin"],
            is_output_node=True,
            inputs=[
                io.Vae.Input("vae", tooltip="The inspected model: the VAE the image may have come from."),
                io.Image.Input("image", tooltip="The image under test, as it was saved: not resized, not re-encoded."),
                ProfileSocket.Input(
                    "profile",
                    optional=True,
                    tooltip="From Calibrate Trace. Without it a profile that ships for this VAE is used; if there is"
                    " none, rates measured on other VAEs.",
                ),
                io.Int.Input(
                    "steps",
                    default=30,
                    min=1,
                    max=10000,
                    optional=True,
                    advanced=True,
                    tooltip="Steps of the inversion, where explain asks for one.",
                ),
                file_input(),
                io.Boolean.Input(
                    "explain",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Also search the latent that reproduces the image best, and show how close it comes. Takes"
                    " many times as long and the memory of a backward pass; all it can change is to take back a no.",
                ),
            ],
            outputs=[*verdict_outputs(), row_output()],
            # Tells which file the VAE and the image were loaded from.
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        vae: Any,
        image: Tensor,
        profile: Profiles | None = None,
        steps: int = 30,
        file: FileFacts | None = None,
        explain: bool = False,
    ) -> io.NodeOutput:
        check_profile_socket(profile)
        check_file_socket(file)
        images, unjudged = check_each(comfy_adapter.to_core_images(image))
        source = source_file(cls.hidden.prompt, cls.hidden.unique_id, "image")
        pictures = pictures_of(images, file, source)
        name = vae_name(cls.hidden)
        place = (1, 1) if file is None else (file.position, file.total)
        with (
            kept_when_cancelled(cls.hidden.unique_id, file),
            comfy_adapter.inspected_model(vae, image, name) as autoencoder,
        ):
            tracer = Tracer(autoencoder, profile, steps=steps)
            traced: list[Traced] = []
            for number, picture in enumerate(pictures):
                part = (place[0] - 1) * len(pictures) + number, place[1] * len(pictures)
                try:
                    one = tracer.trace(picture, comfy_adapter.pass_reporter(*part))
                    if number in unjudged:
                        basis = unjudged[number]
                        verdict = Verdict("inconclusive", float("nan"), basis, stage=NOT_SCORED)
                        one = dataclasses.replace(one, verdict=verdict)
                    traced.append(one)
                except LatentTracerError as error:
                    if file is None:
                        raise
                    # One picture of a folder must not cost the others their verdicts.
                    row = failed_row(picture.facts, picture.upright, str(error))
                    add_row(cls.hidden.unique_id, file, row)
                    return not_traced(cls, row, tracer.name)
            if explain:
                # Only where the picture is long in coming: the line of text stays, and takes half of the node from it.
                said = "; ".join(plain_verdict(one.verdict, one.model).headline for one in traced)
                comfy_adapter.tell(cls.hidden.unique_id, said)
                comfy_adapter.make_room(vae, image, backward=True)
                report = comfy_adapter.progress_reporter(False, place)
                traced = [
                    one if number in unjudged else tracer.explained(one, steps, report)
                    for number, one in enumerate(traced)
                ]
            alpha = [ALPHA_NOTE] if image.shape[-1] == 4 else []
            shipped = [BUILTIN_NOTE] if tracer.is_builtin and tracer.profiles else []
            traced = [
                dataclasses.replace(
                    one,
                    notes=(
                        *one.notes,
                        comfy_adapter.memory_note(vae, image, explain, one.peak_bytes),
                        *alpha,
                        *shipped,
                    ),
                )
                for one in traced
            ]
            rows = [tracer.row(one) for one in traced]
            for row in rows:
                add_row(cls.hidden.unique_id, file, row)
            return verdict_result(cls, traced, rows)


def pictures_of(images: Tensor, file: FileFacts | None, source: Picture | None) -> list[Picture]:
    """Each image ``[1,3,H,W]`` of the batch, as stored, with its file's facts, or just its number where no file is
    known: ``file`` came with the image, ``source`` was found behind it."""
    if len(images) == 1 and file is not None:
        return [Picture(stored(images, file.orientation) if _is_turned(images, file) else images, file)]
    if len(images) == 1 and source is not None:
        return [Picture(as_stored(images, source), source.facts)]
    return [Picture.of(one, f"image {number}") for number, one in enumerate(comfy_adapter.split(images), start=1)]


def _is_turned(images: Tensor, file: FileFacts) -> bool:
    """Our own loader gives pictures as stored; whatever stands between may have turned them."""
    return images.shape[-2:] != (file.height, file.width) and images.shape[-2:] == (file.width, file.height)


def not_traced(node: type[io.ComfyNode], row: TraceRow, model: str) -> io.NodeOutput:
    """What the node gives for a picture of a folder that cannot be judged."""
    verdict = Verdict("inconclusive", float("nan"), row.error, stage=NOT_SCORED)
    card = verdict_card(verdict, model, None, row_facts(row))
    return outputs(node, [verdict], [f"NOT TRACED: {shown_name(row)}: {row.error}"], [card], [row])
