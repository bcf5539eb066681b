"""Calibrate Trace: measure how photographs and this VAE's own pictures score, and keep that as a profile."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core import (
    CONDITIONS,
    InvalidImageError,
    InvalidSettingError,
    Profile,
    calibrate_conditions,
    check_images,
    crop_to_grid,
    make_score,
)
from ..core.calibration.estimate import TimeLeft, shown_time, work_words
from ..core.calibration.kept import KeptScores
from ..core.calibration.latents import LARGEST_SIDE
from ..core.calibration.pictures import MIN_IMAGES
from ..core.calibration.scores import CalibrationStep
from ..core.images.conditions import USUAL
from ..core.profiles import save_profiles
from ..core.profiles.table import found_among_belonging
from ..core.profiles.thresholds import shown_rate
from ..core.scores import default_score
from ..core.scores.any_grid import AnyGrid
from ..version import VERSION
from . import comfy_adapter
from .outcome import told
from .profiles import check_not_taken, profile_path
from .sockets import CATEGORY, ProfileSocket
from .source_file import vae_name


def usable(images: list[Tensor], label: str, ratio: int) -> tuple[list[Tensor], list[str]]:
    """The images that can be scored, and a sentence about each that cannot."""
    good, left_out = [], []
    for number, image in enumerate(images, start=1):
        try:
            crop_to_grid(check_images(image), ratio)
            good.append(image)
        except InvalidImageError as error:
            left_out.append(f"{label} {number} of {len(images)} was left out. {error}")
    return good, left_out


class Calibrate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerCalibrate",
            display_name="Calibrate Trace",
            category=CATEGORY,
            description="Measures how photographs and this VAE's own pictures score, so that verdicts state errors.",
            search_aliases=["calibrate vae", "false positive rate", "trace profile", "threshold"],
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.Vae.Input("vae", tooltip="The inspected model."),
                io.Image.Input(
                    "photographs", tooltip="Pictures that did not come out of this VAE; 99 for a rate of 1 %."
                ),
                io.String.Input(
                    "name", default="my-vae", tooltip="The profile is saved as this under models/latent_trace."
                ),
                io.Float.Input(
                    "fpr",
                    default=0.01,
                    min=0.0001,
                    max=0.49,
                    step=0.001,
                    round=0.0001,
                    advanced=True,
                    tooltip="How often an image that does not belong may be called belonging.",
                ),
                io.Combo.Input(
                    "condition",
                    options=[*CONDITIONS, ", ".join(USUAL)],
                    default=", ".join(USUAL),
                    advanced=True,
                    tooltip="What happened to the images under test since they were made; calibration repeats it. Of"
                    " several each image takes the one that its pixels show. clean alone takes about a third of the"
                    " time.",
                ),
                io.Image.Input(
                    "generated",
                    optional=True,
                    advanced=True,
                    tooltip="Pictures this VAE really made, if there are any.",
                ),
                io.Boolean.Input(
                    "search_grid",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="For images that may have been cropped or mirrored: search the latent grid first. Costs"
                    " about 130 passes through a small region per image, here and with every trace.",
                ),
            ],
            outputs=[
                ProfileSocket.Output("profile", tooltip="For Trace Image and Attribute Image."),
                io.String.Output("report", tooltip="Error rates as measured."),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],  # tells which file the VAE was loaded from
        )

    @classmethod
    def execute(
        cls,
        vae: list[Any],
        photographs: list[Tensor],
        name: list[str],
        fpr: list[float],
        condition: list[str],
        generated: list[Tensor] | None = None,
        search_grid: list[bool] | None = None,
    ) -> io.NodeOutput:
        path = profile_path(name[0])
        photos = [one for batch in photographs for one in comfy_adapter.split_images(batch)]
        made = [one for batch in generated or [] for one in comfy_adapter.split_images(batch)]
        largest = max(photographs, key=lambda batch: batch.shape[1] * batch.shape[2])[:, :LARGEST_SIDE, :LARGEST_SIDE]
        report_progress = comfy_adapter.count_reporter()

        def advance(step: CalibrationStep) -> None:
            report_progress(step.done, step.total or step.done)
            words = time_left.after(step)
            if words:
                comfy_adapter.tell(cls.hidden.unique_id, f"calibrating, {words} on this device")

        with (
            comfy_adapter.inspected_model(vae[0], largest, vae_name(cls.hidden)) as autoencoder,
            comfy_adapter.embedded_models() as others,
        ):
            check_not_taken(path, autoencoder.fingerprint)
            ratio = math.lcm(*(model.spatial_ratio for model in (autoencoder, *others)))
            photos, left_out = usable(photos, "Photograph", ratio)
            if left_out and len(photos) < MIN_IMAGES:
                raise InvalidSettingError(
                    f"Only {len(photos)} photographs can be used, {MIN_IMAGES} are needed. {left_out[0]}"
                )
            made, unusable = usable(made, "Generated image", ratio)
            chosen = AnyGrid.name if search_grid and search_grid[0] else None
            scores = {one: make_score(chosen or default_score(one)) for one in condition[0].split(", ")}
            work = work_words(autoencoder, scores, len(photos), others)
            comfy_adapter.tell(cls.hidden.unique_id, f"calibrating {work}")
            began, time_left = time.perf_counter(), TimeLeft()
            with KeptScores(Path(path), autoencoder, VERSION) as kept:
                profiles = calibrate_conditions(
                    autoencoder,
                    scores,
                    photos,
                    generated=made,
                    others=others,
                    fpr=fpr[0],
                    calibrated_on=f"{len(photos)} photographs given in a graph",
                    on_image=advance,
                    kept=kept,
                )
                save_profiles(profiles, path)
                kept.done()
        report = "\n".join([*(calibrated_words(one, os.path.basename(path)) for one in profiles), *left_out, *unusable])
        took = shown_time(time.perf_counter() - began)
        title = f"Calibrated: {profiles[0].autoencoder}, in {took}"
        return io.NodeOutput(profiles if len(profiles) > 1 else profiles[0], report, ui=told(cls, title, report))


def calibrated_words(profile: Profile, name: str) -> str:
    """What a new profile was measured to be worth."""
    found = found_among_belonging(profile)
    low, high = found.interval
    report = (
        f"saved as {name}: condition {profile.condition}, false-positive rate"
        f" {shown_rate(profile.stated_fpr, profile.fpr_bound)}; accepts {shown_rate(found.accepted / found.n)} of"
        f" belonging pictures (95 % interval {shown_rate(low)} to {shown_rate(high)});"
        f" {profile.pictures_counted} of {profile.pictures_given} pictures counted"
    )
    return "; ".join([report, *profile.notes, *filter(None, [profile.shortfall])])
