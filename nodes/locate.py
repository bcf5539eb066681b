"""Find Foreign Regions: which part of the picture did this VAE not make, or which part alone did it make?"""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..core import Crop, ForeignMap, InvalidImageError, Tracer, check_images, locate_foreign, locate_own
from ..core.images.tensors import to_picture, whole_cells
from ..core.reports.pictures import note_card, picture_tensor
from ..core.reports.pictures.foreign_map import heat_map
from ..core.reports.pictures.style import WIDTH
from ..core.reports.pictures.verdict_card import stacked
from ..core.verdicts.localisation import profile_of_map
from . import comfy_adapter
from .outcome import stack
from .sockets import CATEGORY, Profiles, ProfileSocket, check_profile_socket
from .source_file import vae_name

FOREIGN, OWN = "foreign", "own"


class FindForeignRegions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerFindForeignRegions",
            display_name="Find Foreign Regions",
            category=CATEGORY,
            description="Which part of this image did the VAE not make? A map of what was pasted or painted in later.",
            search_aliases=["heat map", "edited region", "inpainting", "splice", "localisation", "which part"],
            is_output_node=True,
            inputs=[
                io.Vae.Input("vae", tooltip="The inspected model: the VAE that made the rest of the image."),
                io.Image.Input("image", tooltip="The image under test, as it was saved: not resized, not re-encoded."),
                ProfileSocket.Input(
                    "profile",
                    optional=True,
                    tooltip="From Calibrate Trace: its false-alarm rate then holds. Open: the one that ships for this"
                    " VAE, else a threshold without a stated rate.",
                ),
                io.Combo.Input(
                    "look_for",
                    options=[FOREIGN, OWN],
                    default=FOREIGN,
                    optional=True,
                    advanced=True,
                    tooltip=f"{FOREIGN}: what this VAE did not make, in an image that it made. {OWN}: what it made and"
                    " somebody put into an image that it did not make, as inpainting does.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "heat_map", tooltip="The image darkened, foreign regions orange, own ones blue, with a white edge."
                ),
                io.Mask.Output("mask", tooltip="1 in the regions that were looked for; for core's mask nodes."),
                io.Float.Output("share", is_output_list=True, tooltip="Share of the image under the mask, per image."),
                io.String.Output("report", tooltip="Share, threshold, false-alarm rate and limits, in words."),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],  # tells which file the VAE was loaded from
        )

    @classmethod
    def execute(
        cls, vae: Any, image: Tensor, profile: Profiles | None = None, look_for: str = FOREIGN
    ) -> io.NodeOutput:
        check_profile_socket(profile)
        images = check_images(comfy_adapter.to_core_images(image))
        maps: list[ForeignMap] = []
        with comfy_adapter.inspected_model(vae, image, vae_name(cls.hidden)) as autoencoder:
            profiles = Tracer(autoencoder, profile).profiles
            # From the corner, as scores are: centred, the cells of a picture that lost a few rows would be missed.
            cropped = whole_cells(images, autoencoder.spatial_ratio)
            report = comfy_adapter.count_reporter()
            for number, one in enumerate(comfy_adapter.split(cropped), start=1):
                try:
                    if look_for == OWN:
                        maps.append(locate_own(autoencoder, one))
                    else:
                        maps.append(locate_foreign(autoencoder, one, profile_of_map(profiles, one)))
                except InvalidImageError as error:
                    raise InvalidImageError(f"Image {number} of {len(cropped)}: {error}") from None
                report(number, len(cropped))
        pictures = torch.cat([heat_map(o, m) for o, m in zip(comfy_adapter.split(cropped), maps, strict=True)])
        if look_for == OWN:
            # Grey stays grey, and orange becomes the blue of what belongs.
            pictures = pictures.flip(1)
        shown = comfy_adapter.to_comfy_images(pictures)
        crop = Crop(0, 0, cropped.shape[-1], cropped.shape[-2], images.shape[-1], images.shape[-2])
        notes = "" if crop.is_whole else f"\ncrop: {crop}"
        text = "\n\n".join(f"image {number}: {found.sentence}" for number, found in enumerate(maps, start=1)) + notes
        drawn = stack([captioned(one, found) for one, found in zip(shown.split(1), maps, strict=True)])
        preview = ui.PreviewImage(drawn, cls=cls).as_dict()
        masks = torch.stack([found.mask.float() for found in maps])
        return io.NodeOutput(shown, masks, [m.share for m in maps], text, ui={**preview, "text": (text,)})


def captioned(shown: Tensor, found: ForeignMap) -> Tensor:
    """The map ``[1,H,W,3]`` under what it says: alone, one that is dark all over tells nothing."""
    what = "shows this VAE's trace" if found.is_own else "stands out"
    title = f"{found.share:.0%} of it {what}" if found.mask.any() else "Nothing stands out"
    heat = to_picture(shown.movedim(-1, 1))
    heat = heat.resize((WIDTH, max(1, round(WIDTH * heat.height / heat.width))))
    return picture_tensor(stacked([note_card(title, [found.sentence]), heat]))
