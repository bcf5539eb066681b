"""Load Images to Trace: a folder under input, picture by picture, with what the files tell beside their pixels."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..core import InvalidImageError, InvalidSettingError
from ..core.files.folder import FolderListing, list_folder
from ..core.files.picture import Picture, UnreadableFile
from ..core.reports.folder_trace import reason_of
from ..core.storage.safe_text import clean_text
from ..core.tracing.row import unreadable_row
from . import comfy_adapter
from .folder_sockets import FileSocket, UnreadableSocket
from .outcome import told
from .shipped import PICTURES
from .sockets import CATEGORY

WHOLE_INPUT = "."
MOST_FOLDERS = 2000


def input_folders() -> list[str]:
    """The folders under input by their path, input itself, and the pack's examples."""
    root = folder_paths.get_input_directory()
    found: list[str] = []
    for current, folders, _ in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.relpath(os.path.join(current, name), root).replace(os.sep, "/") for name in folders]
        if len(found) > MOST_FOLDERS:
            break
    return [*sorted(found)[:MOST_FOLDERS], WHOLE_INPUT, *PICTURES]


def folder_path(name: str) -> Path:
    """The folder called ``name`` under input, or of the pack's examples; raises :class:`InvalidSettingError` if it is
    not there or not inside.
    """
    if isinstance(name, str) and name in PICTURES:
        return PICTURES[name]
    root = Path(os.path.realpath(folder_paths.get_input_directory()))
    is_name = isinstance(name, str) and "\0" not in name  # what an API prompt holds may be anything
    try:
        path = Path(os.path.realpath(root / name)) if is_name else root
        is_folder = path.is_dir()
    except OSError:  # a name that is too long
        path, is_folder = root, False
    if not is_name or not path.is_relative_to(root):
        raise InvalidSettingError(
            f"The folder {clean_text(str(name), 80)!r} lies outside ComfyUI's input: move it there."
        )
    if not is_folder:
        raise InvalidSettingError(
            f"There is no folder {clean_text(name, 80)!r} under ComfyUI's input: put the pictures there, press R and"
            " choose it."
        )
    return path


class LoadImagesToTrace(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerLoadImages",
            display_name="Load Images to Trace",
            category=CATEGORY,
            description=(
                "Every picture of a folder, one after another, as it was saved. Sizes may differ; files that cannot be"
                " read are listed."
            ),
            search_aliases=["load folder", "batch trace", "many images", "is this AI", "provenance", "read metadata"],
            inputs=[
                io.Combo.Input(
                    "folder",
                    options=input_folders(),
                    tooltip="A folder under ComfyUI's input, . is input itself. Press R to see new ones.",
                ),
                io.Boolean.Input(
                    "below", default=True, advanced=True, tooltip="Also the folders inside it. Links are not followed."
                ),
                io.Int.Input(
                    "first", default=1, min=1, max=1_000_000, advanced=True, tooltip="Begin with this file, by name."
                ),
                io.Int.Input(
                    "most",
                    default=500,
                    min=1,
                    max=100_000,
                    advanced=True,
                    tooltip="Load no more than so many files: all pictures are in memory at once.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image", is_output_list=True, tooltip="One picture at a time: connected nodes run once for each."
                ),
                FileSocket.Output(
                    "file",
                    is_output_list=True,
                    tooltip="Name, digest, whether the file is lossy, what its metadata claims; for Trace Image.",
                ),
                UnreadableSocket.Output("unreadable", tooltip="Files without pixels, for Save Trace Report."),
                io.String.Output("report", tooltip="How many were loaded, and which were not and why."),
            ],
        )

    @classmethod
    def execute(cls, folder: str, below: bool = True, first: int = 1, most: int = 500) -> io.NodeOutput:
        listing = list_folder(folder_path(folder), below=below)
        chosen = listing.files[first - 1 : first - 1 + most]
        report_progress = comfy_adapter.count_reporter()
        room = comfy_adapter.free_host_memory() // 2
        images, facts, failed = [], [], []
        for position, file in enumerate(chosen, start=1):
            report_progress(position - 1, len(chosen))
            try:
                picture = Picture.read(file, position=position, total=len(chosen))
            except InvalidImageError as error:
                failed.append(UnreadableFile(file.name, reason_of(error, file.name)))
                continue
            room -= picture.pixels.numel() * picture.pixels.element_size()
            if room < 0:
                raise InvalidSettingError(
                    f"The pictures up to number {first + position - 1} fill half of the free memory: set most to"
                    f" {max(1, position - 1)}, or trace the folder with the command line."
                )
            images.append(comfy_adapter.to_comfy_images(picture.pixels))
            facts.append(picture.facts)
        failed += list(listing.refused)
        report = describe(len(images), failed, listing, len(chosen))
        if not images:
            raise InvalidSettingError(
                f"No picture of the folder {clean_text(folder, 80)!r} can be read. {'; '.join(report.splitlines())}"
            )
        rows = tuple(unreadable_row(file) for file in failed)
        title, *others = report.splitlines()
        display = told(cls, title, "\n".join(others)) | {"text": (report,)}
        return io.NodeOutput(images, facts, rows, report, ui=display)

    @classmethod
    def validate_inputs(cls, folder: str | None = None) -> bool | str:
        """Replaces the server's "value not in list": :meth:`execute` says what to do, and refuses what lies outside;
        what it raises is shown whole."""
        return True

    @classmethod
    def fingerprint_inputs(cls, folder: str | None = None, below: bool = True, first: int = 1, most: int = 500) -> str:
        """Load again only when a file came, went or changed."""
        digest = hashlib.sha256()
        try:
            for file in list_folder(folder_path(folder or WHOLE_INPUT), below=below).files:
                status = file.path.stat()
                digest.update(f"{file.name!a} {status.st_size} {status.st_mtime_ns}\n".encode())
        except (OSError, InvalidSettingError):
            return "missing"
        return digest.hexdigest()


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def describe(loaded: int, failed: list[UnreadableFile], listing: FolderListing, chosen: int) -> str:
    lines = [f"{counted(loaded, 'picture')} loaded, {counted(len(failed), 'file')} could not be read"]
    if chosen < len(listing.files):
        lines.append(f"not asked for (first, most): {counted(len(listing.files) - chosen, 'further picture')}")
    if listing.other_files:
        lines.append(f"passed over, without a picture's extension: {counted(listing.other_files, 'file')}")
    return "\n".join([*lines, *(f"not read: {clean_text(file.name)}: {file.error}" for file in failed)])
