"""Load Trace Profile: what is known about a decoder's scores, kept under ``models/latent_trace``."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any

import folder_paths
from comfy_api.latest import io

from ..core import (
    InvalidProfileError,
    InvalidSettingError,
    Profile,
    load_profiles,
    same_weights,
)
from ..core.profiles.thresholds import shown_rate
from ..core.profiles.trust import also_remember_in, calibration_words
from ..core.storage.safe_text import clean_text
from .outcome import told
from .sockets import MORE, Profiles, ProfileSocket, check_profile_socket

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
    """Raise :class:`InvalidSettingError` if the profile at ``path`` is another VAE's, or one that this release cannot
    read: its calibration would be lost."""
    if not os.path.lexists(path):
        return
    try:
        existing = load_profiles(path)[0]
    except InvalidProfileError:
        raise InvalidSettingError(
            f"{os.path.basename(path)} exists and is no profile that this release reads: choose another name."
        ) from None
    if not same_weights(existing.fingerprint, fingerprint):
        raise InvalidSettingError(
            f"The name {os.path.basename(path)} is taken by another VAE's profile ({existing.fingerprint[:8]}):"
            " choose another name."
        )


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
            profiles = load_profiles(path)
        except InvalidProfileError as error:
            # Where ComfyUI lives is of no use to the reader, and shared screenshots should not tell it.
            raise InvalidProfileError(str(error).replace(path, f"The profile {profile_name}")) from None
        further = with_profile if isinstance(with_profile, tuple) else tuple(filter(None, [with_profile]))
        vae = profiles[0].autoencoder
        for one in further:
            if not same_weights(one.fingerprint, profiles[0].fingerprint):
                raise InvalidProfileError(
                    f"The profile {profile_name} is for {vae}, with_profile for {one.autoencoder}:"
                    " connect profiles of one VAE."
                )
        together = (*profiles, *further)
        title = f"{'Profile' if len(together) == 1 else f'{len(together)} profiles'} of {vae}"
        report = "\n".join(map(profile_words, together))
        return io.NodeOutput(together if len(together) > 1 else together[0], ui=told(cls, title, report))

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
