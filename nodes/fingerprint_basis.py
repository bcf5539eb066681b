"""Build and load a fingerprint basis: which directions of this VAE's latent vary little and survive."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.fingerprints import InvalidBasisError, build_basis, load_basis
from ..core.fingerprints.basis import check_not_taken
from ..core.storage.locking import locked
from . import comfy_adapter
from .fingerprint_files import FOLDER, changed_at, names, new_basis_path, path_called
from .outcome import told
from .sockets import FINGERPRINTS

BasisSocket = io.Custom("LATENT_FINGERPRINT_BASIS")


class BuildFingerprintBasis(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerBuildFingerprintBasis",
            display_name="Build Fingerprint Basis",
            category=FINGERPRINTS,
            description="Measures, once per VAE, which latent directions vary little and survive decoding and storage.",
            search_aliases=["fingerprint", "watermark", "sign images", "principal directions", "pca latent"],
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.Vae.Input("vae", tooltip="The VAE that will decode the marked latents."),
                io.Image.Input("images", tooltip="Any pictures, batch or list: two dozen or more of 256² at least."),
                io.String.Input("name", default="my-vae", tooltip=f"The basis is saved as this under models/{FOLDER}."),
            ],
            outputs=[
                BasisSocket.Output("basis", tooltip="For Embed Fingerprint and Read Fingerprint."),
                io.String.Output("report", tooltip="On how much the basis rests."),
            ],
        )

    @classmethod
    def execute(cls, vae: list[Any], images: list[Tensor], name: list[str]) -> io.NodeOutput:
        path = new_basis_path(name[0])
        pictures = [one for batch in images for one in comfy_adapter.split_images(batch)]
        report_progress = comfy_adapter.count_reporter()
        largest = max(images, key=lambda batch: batch.shape[1] * batch.shape[2])[:, :512, :512]
        with comfy_adapter.inspected_model(vae[0], largest) as autoencoder:
            check_not_taken(path, autoencoder.fingerprint, len(pictures))
            basis = build_basis(autoencoder, pictures, on_image=lambda done: report_progress(done, len(pictures)))
        with locked(Path(path)):
            check_not_taken(path, basis.fingerprint, len(pictures), basis)  # by what was saved meanwhile
            basis.save(path)
        report = (
            f"saved as {os.path.basename(path)}: {basis.words}; {basis.response[basis.chosen].mean():.0%} of a small"
            " change comes back from the picture"
        )
        return io.NodeOutput(basis, report, ui=told(cls, "Fingerprint basis built", report))


class LoadFingerprintBasis(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerLoadFingerprintBasis",
            display_name="Load Fingerprint Basis",
            category=FINGERPRINTS,
            description=f"A basis that was saved under models/{FOLDER}.",
            search_aliases=["fingerprint basis", "watermark basis"],
            inputs=[
                io.Combo.Input(
                    "basis_name",
                    options=names(".safetensors"),
                    tooltip="Saved by Build Fingerprint Basis; press R in the graph to see new ones.",
                ),
            ],
            outputs=[BasisSocket.Output("basis", tooltip="For Embed Fingerprint and Read Fingerprint.")],
        )

    @classmethod
    def execute(cls, basis_name: str) -> io.NodeOutput:
        path = path_called(basis_name)
        try:
            basis = load_basis(path)
        except InvalidBasisError as error:
            raise InvalidBasisError(str(error).replace(path, f"The basis {basis_name}")) from None
        return io.NodeOutput(basis, ui=told(cls, f"Basis {basis_name}", basis.words))

    @classmethod
    def validate_inputs(cls, basis_name: str | None = None) -> bool | str:
        """In place of the server's "value not in list": :meth:`execute` says what to do, and is shown whole."""
        return True

    @classmethod
    def fingerprint_inputs(cls, basis_name: str | None = None) -> str:
        return "missing" if basis_name is None else changed_at(basis_name)
