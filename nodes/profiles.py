"""Calibrate and Load Profile: what is known about a decoder's scores, kept under ``models/latent_trace``."""

from __future__ import annotations

import contextlib
import math
import os
import re
import time
from typing import Any

import folder_paths
from comfy_api.latest import io
from torch import Tensor

from ..core import (
    CONDITIONS,
    InvalidImageError,
    InvalidProfileError,
    InvalidSettingError,
    Profile,
    calibrate,
    check_images,
    crop_to_grid,
    load_profile,
    make_score,
    same_weights,
)
from ..core.calibration.estimate import estimate_words, shown_time
from ..core.calibration.latents import LARGEST_SIDE
from ..core.calibration.pictures import MIN_IMAGES
from ..core.calibration.scores import CalibrationStep
from ..core.profiles import save_profile
from ..core.profiles.table import found_among_belonging
from ..core.profiles.thresholds import shown_rate
from ..core.profiles.trust import also_remember_in, calibration_words
from ..core.scores import default_score
from ..core.scores.any_grid import AnyGrid
from ..core.storage.safe_text import clean_text
from . import comfy_adapter
from .outcome import told
from .sockets import CATEGORY, MORE, Profiles, ProfileSocket, check_profile_socket
from .source_file import vae_name

FOLDER = "latent_trace"
folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))
# Without an extension every file in the folder would be offered.
folder_paths.folder_names_and_paths[FOLDER][1].add(".json")
with contextlib.suppress(OSError):  # read-only models: Calibrate says so when it is asked to write
    os.makedirs(folder_paths.get_folder_paths(FOLDER)[0], exist_ok=True)

# Where ComfyUI's own folders last and the home folder does not, as in containers.
also_remember_in(os.path.join(folder_paths.get_user_directory(), "latent_tracer"))

MAX_NAME_BYTES = 200


def profile_names() -> list[str]:
    """What Load Trace Profile offers now."""
    try:
        return folder_paths.get_filename_list(FOLDER)
    except FileNotFoundError:  # the folder was deleted while the server runs
        return []


def profile_path(name: str) -> str:
    """Where the profile called ``name`` is written; raises :class:`InvalidSettingError` unless that is a plain name
    in a folder that can be written.
    """
    stem = name.removesuffix(".json")
    if not re.fullmatch(r"\w[\w .()+-]*", stem) or ".." in stem or len(stem.encode()) > MAX_NAME_BYTES:
        raise InvalidSettingError(
            f"The name {name[:50]!r} cannot name a profile: use letters, digits, spaces, dots, dashes and underscores."
        )
    folder = os.path.realpath(folder_paths.get_folder_paths(FOLDER)[0])
    path = os.path.realpath(os.path.join(folder, stem + ".json"))
    if os.path.commonpath((folder, path)) != folder:
        raise InvalidSettingError(f"The name {name!r} points outside the profiles folder: use another name.")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise InvalidSettingError(f"models/{FOLDER} cannot be made ({error.strerror}): make it yourself.") from None
    if not os.access(folder, os.W_OK):
        raise InvalidSettingError(f"models/{FOLDER} cannot be written: allow ComfyUI to write there.")
    return path


def check_not_taken(path: str, fingerprint: str) -> None:
    """Raise :class:`InvalidSettingError` if the profile at ``path`` is another VAE's: its calibration would be lost."""
    try:
        existing = load_profile(path)
    except InvalidProfileError:  # there is none, or none that anybody could use
        return
    if not same_weights(existing.fingerprint, fingerprint):
        raise InvalidSettingError(
            f"The name {os.path.basename(path)} is taken by another VAE's profile ({existing.fingerprint[:8]}):"
            " choose another name."
        )


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
            score = make_score(AnyGrid.name if search_grid and search_grid[0] else default_score(condition[0]))
            size = (int(largest.shape[1]), int(largest.shape[2]))
            estimate = estimate_words(autoencoder, score, len(photos), size, len(others), condition[0])
            comfy_adapter.tell(cls.hidden.unique_id, f"calibrating takes {estimate}")
            began = time.perf_counter()
            profile = calibrate(
                autoencoder,
                score,
                photos,
                generated=made,
                others=others,
                condition=condition[0],
                fpr=fpr[0],
                calibrated_on=f"{len(photos)} photographs given in a graph",
                on_image=advance,
            )
        save_profile(profile, path)
        found = found_among_belonging(profile)
        low, high = found.interval
        report = (
            f"saved as {os.path.basename(path)}: condition {profile.condition}, false-positive rate"
            f" {shown_rate(profile.stated_fpr, profile.fpr_bound)}; accepts {shown_rate(found.accepted / found.n)} of"
            f" belonging pictures (95 % interval {shown_rate(low)} to {shown_rate(high)});"
            f" {profile.pictures_counted} of {profile.pictures_given} pictures counted"
        )
        report = "; ".join([report, *profile.notes, *filter(None, [profile.shortfall])])
        report = "\n".join([report, *left_out, *unusable])
        took = shown_time(time.perf_counter() - began)
        return io.NodeOutput(profile, report, ui=told(cls, f"Calibrated: {profile.autoencoder}, in {took}", report))


class LoadProfile(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerLoadProfile",
            display_name="Load Trace Profile",
            category=MORE,
            description="A calibration that was saved under models/latent_trace.",
            search_aliases=["trace profile", "load calibration"],
            inputs=[
                io.Combo.Input(
                    "profile_name",
                    options=profile_names(),
                    tooltip="Saved by Calibrate Trace; press R in the graph to see new ones.",
                ),
                ProfileSocket.Input(
                    "with_profile",
                    optional=True,
                    advanced=True,
                    tooltip="A further profile of the same VAE, for another condition: each picture is judged by the"
                    " one that fits what it went through.",
                ),
            ],
            outputs=[ProfileSocket.Output("profile", tooltip="For Trace Image and Attribute Image.")],
        )

    @classmethod
    def execute(cls, profile_name: str, with_profile: Profiles | None = None) -> io.NodeOutput:
        check_profile_socket(with_profile)
        # What an API prompt holds may be anything.
        path = folder_paths.get_full_path(FOLDER, profile_name) if isinstance(profile_name, str) else None
        if path is None:
            raise InvalidProfileError(missing(profile_name))
        try:
            profile = load_profile(path)
        except InvalidProfileError as error:
            # Where ComfyUI lives is of no use to the reader, and shared screenshots should not tell it.
            raise InvalidProfileError(str(error).replace(path, f"The profile {profile_name}")) from None
        further = with_profile if isinstance(with_profile, tuple) else tuple(filter(None, [with_profile]))
        for one in further:
            if not same_weights(one.fingerprint, profile.fingerprint):
                raise InvalidProfileError(
                    f"The profile {profile_name} is for {profile.autoencoder}, with_profile for {one.autoencoder}:"
                    " connect profiles of one VAE."
                )
        together = (profile, *further)
        title = f"{'Profile' if not further else f'{len(together)} profiles'} of {profile.autoencoder}"
        report = "\n".join(map(profile_words, together))
        return io.NodeOutput(together if further else profile, ui=told(cls, title, report))

    @classmethod
    def validate_inputs(cls, profile_name: str | None = None) -> bool | str:
        """Replaces the server's "value not in list", which says nothing where the list is empty: :meth:`execute` says
        what to do, and what it raises is shown whole."""
        return True

    @classmethod
    def fingerprint_inputs(cls, profile_name: str | None = None, **others: Any) -> str:
        """Reload only when the file changed."""
        path = folder_paths.get_full_path(FOLDER, profile_name) if isinstance(profile_name, str) else None
        return "missing" if path is None else str(os.stat(path).st_mtime_ns)


def profile_words(profile: Profile) -> str:
    """What a loaded profile's answers are worth."""
    return "\n".join(
        [
            f"condition {profile.condition}; {calibration_words(profile.calibration)}",
            f"a yes is wrong for {shown_rate(profile.stated_fpr, profile.fpr_bound)}",
            f"a no is wrong for {shown_rate(profile.stated_fnr, profile.fnr_bound)}",
            f"calibrated on {clean_text(profile.calibrated_on, 200)}",
            *filter(None, [profile.shortfall]),
        ]
    )


def missing(name: str) -> str:
    shown = clean_text(str(name), 80)
    return f"There is no profile {shown!r} under models/{FOLDER}: run Calibrate Trace first, or choose another."
