"""Which Family: which family of models made this image, through the tiny autoencoders of ComfyUI's own previews."""

from __future__ import annotations

from functools import partial

from comfy_api.latest import io, ui
from torch import Tensor

from ..core import Picture
from ..core.files.picture import FileFacts
from ..core.images.tensors import check_each
from ..core.profiles.families import shipped_families
from ..core.reports.pictures import note_card, picture_tensor
from ..core.tracing.family import which_family
from ..core.verdicts.family import CANNOT, FAMILY_LIMITS, FamilyVerdict
from . import comfy_adapter
from .folder_sockets import check_file_socket, file_input
from .outcome import stack
from .sockets import MORE
from .source_file import source_file
from .trace_image import pictures_of

WHERE_DOCUMENTED = "ComfyUI's documentation of previews (TAESD) names the files and the folder, models/vae_approx"


class WhichFamily(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerWhichFamily",
            display_name="Which Family",
            category=MORE,
            description=(
                "Which family of models made the image: SD1/SD2, SDXL, …? Needs no model, only the tiny autoencoders of"
                " ComfyUI's previews."
            ),
            search_aliases=["which model", "is this AI", "taesd", "vae_approx", "sd15 or sdxl", "provenance"],
            is_output_node=True,
            inputs=[io.Image.Input("image", tooltip="The image under test, as it was saved."), file_input()],
            outputs=[
                io.String.Output("answer", is_output_list=True, tooltip="family, none or cannot tell; one per image."),
                io.String.Output(
                    "family", is_output_list=True, tooltip="SD1/SD2, SDXL, …, empty without an answer; one per image."
                ),
                io.String.Output("report", tooltip="What each tiny autoencoder shows, in words."),
                io.Image.Output("picture", tooltip="The answer as a card; one per image."),
            ],
            # Tells which file the image was loaded from.
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, image: Tensor, file: FileFacts | None = None) -> io.NodeOutput:
        check_file_socket(file)
        images, unjudged = check_each(comfy_adapter.to_core_images(image))
        pictures = pictures_of(images, file, source_file(cls.hidden.prompt, cls.hidden.unique_id, "image"))
        wanted = dict.fromkeys(one.proxy for one in shipped_families().proxies)
        offered = comfy_adapter.loadable_vaes()
        there = [name for name in wanted if name in offered]
        opened = [partial(comfy_adapter.loaded_vae, name, image) for name in there]
        verdicts = which_family(opened, pictures, on_pass=comfy_adapter.pass_reporter())
        note = missing_note([name for name in wanted if name not in there])
        answers = [
            (CANNOT, f"This picture cannot be judged: {unjudged[index]}")
            if index in unjudged
            else (*verdict.lines, *score_lines(verdict), *claim_lines(picture), *note)
            for index, (picture, verdict) in enumerate(zip(pictures, verdicts, strict=True))
        ]
        parts = [f"image {number}: " + "\n  ".join(lines) for number, lines in enumerate(answers, start=1)]
        report = "\n\n".join([*parts, f"limits: {FAMILY_LIMITS}"])
        drawn = stack([picture_tensor(note_card(head, lines)) for head, *lines in answers])
        preview = ui.PreviewImage(drawn, cls=cls).as_dict()
        judged = [None if index in unjudged else verdict for index, verdict in enumerate(verdicts)]
        return io.NodeOutput(
            ["cannot tell" if verdict is None else verdict.answer for verdict in judged],
            [(verdict and verdict.family) or "" for verdict in judged],
            report,
            drawn,
            ui={**preview, "text": (report,)},
        )


def claim_lines(picture: Picture) -> list[str]:
    """What the metadata claim, where the file is known."""
    facts = picture.facts
    return [f"metadata, which anyone can write: {facts.claims.sentence}"] if facts.format else []


def score_lines(verdict: FamilyVerdict) -> list[str]:
    """What each proxy shows, in a line each."""
    lines = []
    for one in verdict.scores:
        if one.p_value is None or one.evidence is None:
            shown = one.error_text
        else:
            shown = f"{-one.evidence:.1f} deviations, p = {one.p_value:.2g}"
        quiet = "" if one.shows else " (no picture of this family shows a trace through it)"
        lines.append(f"{one.family} through {one.proxy}: {shown}{quiet}")
    return lines


def missing_note(names: list[str]) -> list[str]:
    """Which proxies are not there, and where their names are documented."""
    return [f"missing: {', '.join(names)}; {WHERE_DOCUMENTED}"] if names else []
