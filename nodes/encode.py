"""Encode for Trace: the encoder's start E(x) and the picture it decodes to."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..core import check_images, crop_to_grid
from . import comfy_adapter
from .sockets import STEPS


class EncodeForTrace(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerEncode",
            display_name="Encode for Trace",
            category=STEPS,
            description=(
                "Encoder-based initialisation: the latent from which the inversion of this VAE's decoder starts."
            ),
            search_aliases=["encoder initialisation", "initial latent", "trace encode", "provenance"],
            inputs=[
                io.Vae.Input("vae", tooltip="The inspected model: the VAE the image may have come from."),
                io.Image.Input("image", tooltip="The image under test, as it was saved: not resized, not re-encoded."),
            ],
            outputs=[
                io.Latent.Output("initial_latents", tooltip="E(x), the start of Invert Latent; an ordinary LATENT."),
                io.Image.Output("first_reconstruction", tooltip="D(E(x)): what one encode and decode make of it."),
            ],
        )

    @classmethod
    def execute(cls, vae: Any, image: Tensor) -> io.NodeOutput:
        images = check_images(comfy_adapter.to_core_images(image))
        with comfy_adapter.inspected_model(vae, image) as autoencoder, torch.no_grad():
            cropped, _ = crop_to_grid(images, autoencoder.spatial_ratio)
            latents = torch.cat([autoencoder.encode(one).cpu() for one in cropped.split(1)])
            first = torch.cat([autoencoder.decode(one).cpu() for one in latents.split(1)])
        return io.NodeOutput(
            comfy_adapter.to_comfy_latents(latents, vae),
            comfy_adapter.to_comfy_images(first),
        )
