"""Trace Image: everything in one node."""

from __future__ import annotations

import dataclasses
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core import (
    InvalidImageError,
    InvalidSettingError,
    Inversion,
    Profile,
    Verdict,
    check_images,
    invert,
    judge,
)
from ..core.claims_of_graphs import loaded_vae_names
from ..core.picture import verdict_card
from ..core.picture_file import FileFacts
from ..core.trace_row import TraceRow, failed_row, traced_row
from . import comfy_adapter
from .folder_sockets import FileSocket
from .outcome import outputs, row_facts, row_output, verdict_outputs, verdict_result
from .scoring import check_profile_socket, fitting_profile
from .sockets import CATEGORY, ProfileSocket
from .source_file import source_file

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
                    tooltip="Steps of the inversion that the picture shows. 1: only the first reconstruction, fastest;"
                    " the verdict is the same.",
                ),
                FileSocket.Input(
                    "file",
                    optional=True,
                    tooltip="From Load Images to Trace: what the file tells beside its pixels. Not needed for core's"
                    " Load Image when it is connected directly.",
                ),
            ],
            outputs=[*verdict_outputs(), row_output()],
            # Tells which file the VAE and the image were loaded from.
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, vae: Any, image: Tensor, profile: Profile | None = None, steps: int = 30, file: FileFacts | None = None
    ) -> io.NodeOutput:
        check_profile_socket(profile)
        if file is not None and not isinstance(file, FileFacts):
            raise InvalidSettingError("The file input holds no file: connect Load Images to Trace.")
        images = comfy_adapter.to_core_images(image)
        checked = check_images(images)
        source = source_file(cls.hidden.prompt, cls.hidden.unique_id, "image")
        known_file = file or (source.facts if source is not None else None)
        facts = facts_of(checked, known_file)
        part = (1, 1) if file is None else (file.position, file.total)
        try:
            with comfy_adapter.inspected_model(vae, image) as autoencoder:
                known = fitting_profile(autoencoder, profile)
                verdicts = [
                    judge(autoencoder, one, known, lossy=facts[0].lossy) for one in comfy_adapter.split(checked)
                ]
                trace = invert(autoencoder, images, steps=steps, on_step=comfy_adapter.progress_reporter(False, part))
        except InvalidImageError as error:
            if file is None:
                raise
            # One picture of a folder must not cost the others their verdicts.
            return not_traced(cls, facts[0], checked[:1], str(error))
        if known is not None and profile is None:
            trace = dataclasses.replace(trace, notes=(*trace.notes, BUILTIN_NOTE))
        names = loaded_vae_names(cls.hidden.prompt, str(cls.hidden.unique_id))
        return verdict_result(cls, trace, verdicts, known, rows_of(trace, verdicts, facts, names))


def facts_of(images: Tensor, file: FileFacts | None) -> list[FileFacts]:
    """Per image of the batch: the file's facts, or just its size and number where no file is known."""
    height, width = images.shape[-2:]
    if file is not None and len(images) == 1:
        return [file]
    return [FileFacts(f"image {number}", "", 0, "", width, height, False) for number in range(1, len(images) + 1)]


def rows_of(
    trace: Inversion, verdicts: list[Verdict], facts: list[FileFacts], names: tuple[str, ...]
) -> list[TraceRow]:
    return [
        traced_row(
            fact,
            trace.images[index : index + 1],
            verdict,
            model=names[0] if names else trace.autoencoder,
            fingerprint=trace.fingerprint,
            inspected=names,
            loss=float(trace.loss[index]),
            notes=trace.notes,
        )
        for index, (fact, verdict) in enumerate(zip(facts, verdicts, strict=True))
    ]


def not_traced(node: type[io.ComfyNode], facts: FileFacts, image: Tensor, reason: str) -> io.NodeOutput:
    """What the node gives for a picture of a folder that cannot be judged."""
    verdict = Verdict("inconclusive", float("nan"), reason)
    row = failed_row(facts, image, reason)
    card = verdict_card(verdict, "not asked", None, row_facts(row))
    return outputs(node, [verdict], [f"NOT TRACED: {facts.name}: {reason}"], [card], [row])
