"""Embed Fingerprint: between the sampler and VAE Decode."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..core import quantise
from ..core.fingerprints import (
    DEFAULT_BITS,
    DEFAULT_STRENGTH,
    FingerprintBasis,
    InvalidBasisError,
    embed,
    measure_change,
)
from ..core.fingerprints.embed import STRONGEST
from ..core.fingerprints.keys import FEWEST_BITS, MOST_BITS, user_name
from . import comfy_adapter
from .fingerprint_basis import BasisSocket
from .fingerprint_files import changed_at, secret_called, secret_names
from .outcome import told
from .sockets import FINGERPRINTS


def check_basis_socket(basis: object) -> FingerprintBasis:
    if not isinstance(basis, FingerprintBasis):
        raise InvalidBasisError("The basis input holds no basis: connect Build or Load Fingerprint Basis.")
    return basis


class EmbedFingerprint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerEmbedFingerprint",
            display_name="Embed Fingerprint",
            category=FINGERPRINTS,
            description="Writes a user's key into a latent before it is decoded: between sampler and VAE Decode.",
            search_aliases=["watermark", "sign images", "fingerprint", "user key", "invisible mark"],
            is_output_node=True,
            inputs=[
                io.Latent.Input("latent", tooltip="As the sampler returns it; any batch and size."),
                BasisSocket.Input("basis", tooltip="Measured on the VAE that will decode this latent."),
                io.String.Input(
                    "user",
                    default="",
                    tooltip="Whose key to write. This name is saved with the workflow, the key is not.",
                ),
                io.Combo.Input(
                    "secret",
                    options=secret_names(),
                    tooltip="Where the owner's secret lies. Only this name is saved with the workflow.",
                ),
                io.Float.Input(
                    "strength",
                    default=DEFAULT_STRENGTH,
                    min=0.0,
                    max=STRONGEST,
                    step=0.05,
                    tooltip="Margin of every bit: more survives more, and shows more.",
                ),
                io.Int.Input(
                    "key_bits", default=DEFAULT_BITS, min=FEWEST_BITS, max=MOST_BITS, step=4, advanced=True,
                    tooltip="Length of the key. Longer keys change the picture more.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="If connected, the mark is corrected by what the VAE makes of it, and its change reported.",
                ),
            ],
            outputs=[
                io.Latent.Output("latent", tooltip="For VAE Decode."),
                io.String.Output("report", tooltip="What was written, and the change if a VAE is connected."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        latent: dict[str, Tensor],
        basis: FingerprintBasis,
        user: str,
        secret: str,
        strength: float,
        key_bits: int,
        vae: Any = None,
    ) -> io.NodeOutput:
        known, owner = check_basis_socket(basis), secret_called(secret)
        latents = comfy_adapter.to_core_latents(latent)
        key = owner.user_key(user_name(user), key_bits)
        if vae is None:
            moved = embed(latents, known, key, strength=strength, secret=owner)
            changes = []
        else:
            with (
                comfy_adapter.inspected_model(vae, comfy_adapter.images_like(latents, vae), whole=True) as autoencoder,
                torch.no_grad(),
            ):
                known.check(autoencoder)
                moved = embed(latents, known, key, strength=strength, secret=owner, autoencoder=autoencoder)
                changes = [
                    measure_change(*(quantise(autoencoder.decode(one).float().cpu()) for one in pair))
                    for pair in zip(moved.split(1), latents.split(1), strict=True)
                ]
        report = f"{key_bits} bits of user {user!r} in {len(moved)} latents, strength {strength:g}"
        if not known.bound:
            report += "; the basis has format 1: these marks can be moved to other pictures"
        for number, change in enumerate(changes, start=1):
            report += f"\nimage {number}: marked against unmarked {change}"
        samples = latent["samples"]
        shaped = moved.to(samples.dtype).reshape(samples.shape)
        return io.NodeOutput({**latent, "samples": shaped}, report, ui=told(cls, "Fingerprint embedded", report))

    @classmethod
    def validate_inputs(cls, secret: str | None = None) -> bool | str:
        """In place of the server's "value not in list": :meth:`execute` says what to do, and is shown whole."""
        return True

    @classmethod
    def fingerprint_inputs(cls, secret: str | None = None, **others: Any) -> str:
        return "" if secret is None else changed_at(secret)
