"""The file behind an image input, where the graph shows it: what its metadata claim and whether its format is lossy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import folder_paths
from torch import Tensor

from ..core import InvalidImageError
from ..core.files.claims_of_graphs import loaded_vae_names
from ..core.files.orientation import stored
from ..core.files.picture import Picture, PictureFile


def vae_name(hidden: Any, name: str = "vae") -> str:
    """The file that the input ``name`` of the node was loaded from, as the user chose it; empty where unknown."""
    if hidden is None:  # a script that runs the node itself has no graph
        return ""
    return next(iter(loaded_vae_names(hidden.prompt, str(hidden.unique_id), name)), "")


def node_behind(prompt: Any, node: Any, name: str) -> Any:
    """The id of the node that is connected to input ``name`` of ``node``; ``None`` where the graph does not show it."""
    try:
        return prompt[str(node)]["inputs"][name][0]
    except (KeyError, TypeError, IndexError):
        return None


def source_behind_trace(hidden: Any) -> Picture | None:
    """The file whose image the node connected to the input ``trace`` inverted; ``None`` as :func:`source_file`."""
    if hidden is None:  # a script that runs the node itself has no graph
        return None
    return source_file(hidden.prompt, node_behind(hidden.prompt, hidden.unique_id, "trace"), "image")


LOADERS = frozenset({"LoadImage", "LoadImageOutput"})


def source_file(prompt: Any, node: Any, name: str) -> Picture | None:
    """The file that a loader of core's, connected directly to input ``name`` of ``node``, was given.

    ``None`` where anything stands between, or where the file is not one of ComfyUI's own folders' pictures: then the
    pixels are all that is known.
    """
    try:
        source = prompt[node_behind(prompt, node, name)]
        loader, annotated = source["class_type"], source["inputs"]["image"]
    except (KeyError, TypeError, IndexError):
        return None
    if loader not in LOADERS or not isinstance(annotated, str):
        return None
    path = Path(os.path.realpath(folder_paths.get_annotated_filepath(annotated)))
    folders = (
        folder_paths.get_input_directory(),
        folder_paths.get_output_directory(),
        folder_paths.get_temp_directory(),
    )
    if not any(path.is_relative_to(os.path.realpath(folder)) for folder in folders):
        return None
    try:
        return Picture.read(PictureFile(path, path.name))
    except InvalidImageError:  # the loader reads more formats than we do
        return None


def as_stored(images: Tensor, source: Picture) -> Tensor:
    """``images`` ``[B,3,H,W]`` that ComfyUI's loader made of ``source``, turned back to how the file holds them.

    Which releases of ComfyUI turn which orientations differs: the file's own pixels tell whether this one did.
    """
    turned = stored(images, source.facts.orientation)
    if turned.shape[-2:] != source.pixels.shape[-2:]:
        return images
    if images.shape[-2:] != source.pixels.shape[-2:]:
        return turned
    as_given, as_turned = ((one.cpu() - source.pixels).abs().mean() for one in (images, turned))
    return turned if as_turned < as_given else images
