"""Calibrate and Load Profile: what is known about a decoder's scores, kept under ``models/latent_trace``."""

from __future__ import annotations

import os
import re
from typing import Any

import folder_paths
from comfy_api.latest import io, ui
from torch import Tensor

from ..core import (
    CONDITIONS,
    InvalidProfileError,
    InvalidSettingError,
    calibrate,
    check_images,
    load_profile,
    make_score,
)
from ..core.calibration import CalibrationStep
from . import comfy_adapter
from .sockets import CATEGORY, ProfileSocket

FOLDER = "latent_trace"
folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


def profile_path(name: str) -> str:
    """Where the profile called ``name`` is written; raises :class:`InvalidSettingError` unless it is a plain name."""
    if not re.fullmatch(r"[\w][\w .()+-]{0,99}", name) or ".." in name:
        raise InvalidSettingError(
            f"{name[:50]!r} cannot name a profile: use letters, digits, spaces, dots, dashes and underscores."
        )
    folder = os.path.realpath(folder_paths.get_folder_paths(FOLDER)[0])
    path = os.path.realpath(os.path.join(folder, name.removesuffix(".json") + ".json"))
    if os.path.commonpath((folder, path)) != folder:
        raise InvalidSettingError(f"{name!r} points outside the profiles folder: use a plain name.")
    return path


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
                io.Image.Input("photographs", tooltip="Pictures that did not come out of this VAE; about 40 or more."),
                io.String.Input(
                    "name", default="my-vae", tooltip="The profile is saved as this under models/latent_trace."
                ),
                io.Float.Input(
                    "fpr",
                    default=0.01,
                    min=0.0001,
                    max=0.5,
                    step=0.001,
                    round=0.0001,
                    advanced=True,
                    tooltip="How often an image that does not belong may be called belonging.",
                ),
                io.Combo.Input(
                    "condition",
                    options=list(CONDITIONS),
                    default="clean",
                    advanced=True,
                    tooltip="What happened to the images under test since they were made; calibration repeats it.",
                ),
                io.Image.Input(
                    "generated",
                    optional=True,
                    advanced=True,
                    tooltip="Pictures this VAE really made, if there are any.",
                ),
            ],
            outputs=[
                ProfileSocket.Output("profile", tooltip="For Trace Image and Attribute Image."),
                io.String.Output("report", tooltip="Error rates as measured."),
            ],
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
    ) -> io.NodeOutput:
        path = profile_path(name[0])
        photos = [one for batch in photographs for one in comfy_adapter.split_images(batch)]
        made = [one for batch in generated or [] for one in comfy_adapter.split_images(batch)]
        for one in photos + made:
            check_images(one)
        report_progress = comfy_adapter.count_reporter()

        def advance(step: CalibrationStep) -> None:
            report_progress(step.done, step.total)

        with (
            comfy_adapter.inspected_model(vae[0], photographs[0]) as autoencoder,
            comfy_adapter.embedded_models() as others,
        ):
            profile = calibrate(
                autoencoder,
                make_score(),
                photos,
                generated=made,
                others=others,
                condition=condition[0],
                fpr=fpr[0],
                calibrated_on=f"{len(photos)} photographs given in a graph",
                on_image=advance,
            )
        profile.save(path)
        low, high = profile.error_rates["interval_95"]
        report = (
            f"saved as {os.path.basename(path)}: condition {profile.condition}, false-positive rate"
            f" {profile.stated_fpr:.1%}; accepts {profile.error_rates['true_positive_rate']:.1%} of belonging samples"
            f" (95 % interval {low:.1%} to {high:.1%}); {'; '.join(profile.notes)}"
        )
        if profile.stated_fpr > fpr[0]:
            report += f". So few photographs cannot support {fpr[0]:.1%}: add more."
        return io.NodeOutput(profile, report, ui=ui.PreviewText(report))


class LoadProfile(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerLoadProfile",
            display_name="Load Trace Profile",
            category=CATEGORY,
            description="A calibration that was saved under models/latent_trace.",
            search_aliases=["trace profile", "load calibration"],
            inputs=[
                io.Combo.Input(
                    "profile_name", options=folder_paths.get_filename_list(FOLDER), tooltip="Saved by Calibrate Trace."
                )
            ],
            outputs=[ProfileSocket.Output("profile", tooltip="For Trace Image and Attribute Image.")],
        )

    @classmethod
    def execute(cls, profile_name: str) -> io.NodeOutput:
        path = folder_paths.get_full_path(FOLDER, profile_name)
        if path is None:
            raise InvalidProfileError(f"There is no profile {profile_name!r} under models/{FOLDER}: calibrate first.")
        return io.NodeOutput(load_profile(path))

    @classmethod
    def fingerprint_inputs(cls, profile_name: str) -> str:
        """Reload only when the file changed."""
        path = folder_paths.get_full_path(FOLDER, profile_name)
        return "missing" if path is None else str(os.stat(path).st_mtime_ns)
