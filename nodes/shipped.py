"""What the pack brings, offered beside the user's own files: two decoders, example pictures, a profile, a basis.

Our folders are appended to ComfyUI's search paths, never put first: ComfyUI saves and downloads into the first one, and
a user's file of the same name goes before ours. The decoders are ordinary KL autoencoders in diffusers' key layout,
which *Load VAE* recognises and builds itself.
"""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ..core.models.loading import EMBEDDED

EXAMPLES = Path(__file__).resolve().parent.parent / "workflows" / "examples"
#: Folders of pictures that *Load Images to Trace* offers after the user's own.
PICTURES = {f"latent-tracer examples/{path.name}": path for path in sorted((EXAMPLES / "pictures").glob("*/"))}


def register() -> None:
    """Offer them. The folders of models hold nothing but what may be listed."""
    for folder in {path.parent for path in EMBEDDED.values()}:
        folder_paths.add_model_folder_path("vae", str(folder))
    for name in ("latent_trace", "latent_fingerprints"):
        folder_paths.add_model_folder_path(name, str(EXAMPLES / name))
