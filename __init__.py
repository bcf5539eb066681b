"""Latent Tracer: did this picture come out of *this* model?

At once the Python package ``latent_tracer`` and a ComfyUI node pack: ComfyUI calls :func:`comfy_entrypoint`, and
nothing of ComfyUI is imported before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> ComfyExtension:
    """Called by ComfyUI when it loads the pack."""
    from .nodes import LatentTracerExtension

    return LatentTracerExtension()
