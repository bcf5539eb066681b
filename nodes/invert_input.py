"""Invert Generator Input: the input, found from random starts, whose image is the given one."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core import INPUT_SOLVERS, check_images, invert_inputs
from ..core.inversion.inputs import STARTS
from . import comfy_adapter
from .comfy_adapter_generator import generator_of
from .sockets import GENERATORS, Origin
from .source_file import vae_name


class InvertGeneratorInput(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerInvertInput",
            display_name="Invert Generator Input",
            category=GENERATORS,
            description=(
                "Searches the input that makes the image, from several random starts: of a VAE's decoder, or of a model"
                " that makes an image in one step. Works on fp32 copies; model and VAE stay as they are."
            ),
            search_aliases=["RONAN", "generator inversion", "noise inversion", "one step", "turbo", "origin"],
            inputs=[
                io.Vae.Input("vae", tooltip="The decoder; only its decoder is inverted, the start is random."),
                io.Image.Input("image", tooltip="The image under test, as it was saved: not resized, not re-encoded."),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="A model that makes an image in one step (Turbo, LCM …). Open: the decoder alone.",
                ),
                io.Conditioning.Input(
                    "positive", optional=True, tooltip="The prompt, where the model needs one; cfg 1 is assumed."
                ),
                io.Sigmas.Input(
                    "sigmas", optional=True, tooltip="One step, from a scheduler. Open: the model's largest sigma."
                ),
                io.Latent.Input(
                    "initial_inputs", optional=True, tooltip="Inputs to start from instead of random ones; one or more."
                ),
                io.Int.Input("starts", default=STARTS, min=1, max=100, tooltip="Random starts per image."),
                io.Int.Input(
                    "start_seed", default=0, min=0, max=2**31 - 1, advanced=True, tooltip="Of the random starts."
                ),
                io.Combo.Input(
                    "solver",
                    options=["automatic", *INPUT_SOLVERS],
                    default="automatic",
                    advanced=True,
                    tooltip="How to search. adam-ronan is the published method's own loop.",
                ),
                io.Int.Input(
                    "steps", default=0, min=0, max=10000, advanced=True, tooltip="Steps per start. 0: the solver's own."
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
                Origin.Output("trace", tooltip="Everything the inversion found, for Origin Verdict."),
                io.Latent.Output("inputs", tooltip="The best input: a latent, or the noise of a one-step model."),
                io.Image.Output("reconstruction", tooltip="What the best input generates."),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],  # tells which file the model was loaded from
        )

    @classmethod
    def execute(
        cls,
        vae: Any,
        image: Tensor,
        starts: int,
        start_seed: int = 0,
        solver: str = "automatic",
        steps: int = 0,
        quantiser: Any = "auto",
        model: Any = None,
        positive: Any = None,
        sigmas: Any = None,
        initial_inputs: dict[str, Tensor] | None = None,
    ) -> io.NodeOutput:
        images = comfy_adapter.to_core_images(image)
        check_images(images)
        name = vae_name(cls.hidden, "vae" if model is None else "model")
        begin = None if initial_inputs is None else comfy_adapter.to_core_latents(initial_inputs)
        with generator_of(vae, image, model, positive, sigmas, name) as generator:
            trace = invert_inputs(
                generator,
                images,
                starts=starts,
                seed=start_seed,
                solver=None if solver == "automatic" else solver,
                steps=steps or None,
                initial_inputs=begin,
                quantiser=quantiser,
                on_step=comfy_adapter.progress_reporter(),
            )
        return io.NodeOutput(
            trace,
            comfy_adapter.to_comfy_latents(trace.latents, vae),
            comfy_adapter.to_comfy_images(trace.reconstruction),
        )
