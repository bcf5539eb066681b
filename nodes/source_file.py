"""The file behind an image input, where the graph shows it: what its metadata claim and whether its format is lossy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import folder_paths

from ..core import InvalidImageError
from ..core.folder import FileFacts, PictureFile, read_picture

LOADERS = frozenset({"LoadImage", "LoadImageOutput"})


def source_file(prompt: Any, node: Any, name: str) -> FileFacts | None:
    """Facts about the file that a loader of core's, connected directly to input ``name`` of ``node``, was given.

    ``None`` where anything stands between, or where the file is not one of ComfyUI's own folders' pictures: then the
    pixels are all that is known.
    """
    try:
        source = prompt[prompt[str(node)]["inputs"][name][0]]
        loader, annotated = source["class_type"], source["inputs"]["image"]
    except (KeyError, TypeError, IndexError):
        return None
    if loader not in LOADERS or not isinstance(annotated, str):
        return None
    path = os.path.realpath(folder_paths.get_annotated_filepath(annotated))
    folders = (
        folder_paths.get_input_directory(),
        folder_paths.get_output_directory(),
        folder_paths.get_temp_directory(),
    )
    if not any(os.path.commonpath((os.path.realpath(folder), path)) == os.path.realpath(folder) for folder in folders):
        return None
    try:
        return read_picture(PictureFile(Path(path), os.path.basename(path)))[1]
    except InvalidImageError:  # the loader reads more formats than we do
        return None
