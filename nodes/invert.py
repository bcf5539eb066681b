"""Invert Latent: the latent that reproduces the image best."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core import SOLVERS, invert
from ..core.inversion.solvers import DEFAULT_SOLVER
from . import comfy_adapter
from .sockets import STEPS, Trace
from .source_file import vae_name


class InvertLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerInvert",
            display_name="Invert Latent",
            category=STEPS,
            description=(
                "Searches the latent whose decoding is the image. Works on its own fp32 copy; the VAE stays as it is."
            ),
            search_aliases=["latent inversion", "decoder inversion", "invert vae", "trace image"],
            inputs=[
                io.Vae.Input("vae", tooltip="The inspected model: the VAE the image may have come from."),
                io.Image.Input("image", tooltip="The image under test, as it was saved: not resized, not re-encoded."),
                io.Latent.Input(
                    "initial_latents",
                    optional=True,
                    tooltip="Where to start, from Encode for Trace. Left open, the encoder's own latent is used.",
                ),
                io.Combo.Input(
                    "solver",
                    options=list(SOLVERS),
                    default=DEFAULT_SOLVER,
                    advanced=True,
                    tooltip="How to search. adam-paper is the published method's own loop.",
                ),
                io.Int.Input(
                    "steps", default=100, min=1, max=10000, advanced=True, tooltip="Upper limit of the search's steps."
                ),
                io.Combo.Input(
                    "quantiser",
                    options=["auto", "round", "floor", "none"],
                    default="auto",
                    advanced=True,
                    tooltip="How the image was stored as 8 bit. ComfyUI's Save Image truncates (floor), most software"
                    " rounds; auto decides per image.",
                ),
            ],
            outputs=[
                Trace.Output("trace", tooltip="Everything the inversion found, for Trace Verdict."),
                io.Latent.Output("latents", tooltip="The best latent; an ordinary LATENT."),
                io.Image.Output("reconstruction", tooltip="What the best latent decodes to."),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],  # tells which file the VAE was loaded from
        )

    @classmethod
    def execute(
        cls,
        vae: Any,
        image: Tensor,
        solver: str,
        steps: int,
        quantiser: Any,
        initial_latents: dict[str, Tensor] | None = None,
    ) -> io.NodeOutput:
        images = comfy_adapter.to_core_images(image)
        start = None if initial_latents is None else comfy_adapter.to_core_latents(initial_latents)
        with comfy_adapter.inspected_model(vae, image, vae_name(cls.hidden)) as autoencoder:
            trace = invert(
                autoencoder,
                images,
                initial_latents=start,
                solver=solver,
                steps=steps,
                quantiser=quantiser,
                on_step=comfy_adapter.progress_reporter(),
            )
        return io.NodeOutput(
            trace,
            comfy_adapter.to_comfy_latents(trace.latents, vae),
            comfy_adapter.to_comfy_images(trace.reconstruction),
        )
