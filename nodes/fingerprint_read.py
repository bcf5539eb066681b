"""Read Fingerprint: the key in an image, and the user it belongs to."""

from __future__ import annotations

from functools import partial
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..core.fingerprints import DEFAULT_BITS, FingerprintBasis, attribute_user, load_register, read
from ..core.fingerprints.keys import FEWEST_BITS, MOST_BITS
from ..core.fingerprints.read import REFINING_STEPS
from ..core.fingerprints.register import InvalidRegisterError
from ..core.images.tensors import check_each, to_tensor
from ..core.reports.pictures import note_card, picture_tensor
from ..core.reports.pictures.reading_panel import reading_picture
from ..core.reports.reading import reading_report
from . import comfy_adapter
from .fingerprint_basis import BasisSocket
from .fingerprint_embed import check_basis_socket
from .fingerprint_files import (
    NO_REGISTER,
    changed_at,
    path_called,
    register_names,
    secret_called,
    secret_names,
)
from .outcome import stack
from .sockets import FINGERPRINTS


class ReadFingerprint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="LatentTracerReadFingerprint",
            display_name="Read Fingerprint",
            category=FINGERPRINTS,
            description="Reads the key that Embed Fingerprint wrote. No key is an answer.",
            search_aliases=["watermark", "read fingerprint", "who made this", "user key"],
            is_output_node=True,
            inputs=[
                io.Vae.Input("vae", tooltip="The VAE that decoded the image."),
                io.Image.Input("image", tooltip="The image; as it was saved, or turned, resized or cropped since."),
                BasisSocket.Input("basis", tooltip="The basis the image was marked with."),
                io.Combo.Input("secret", options=secret_names(), tooltip="Where the owner's secret lies."),
                io.Combo.Input(
                    "register",
                    options=register_names(),
                    default=NO_REGISTER,
                    tooltip="Register of users, made by latent-tracer fingerprint register; names the user of a key.",
                ),
                io.Int.Input(
                    "key_bits", default=DEFAULT_BITS, min=FEWEST_BITS, max=MOST_BITS, step=4, advanced=True,
                    tooltip="Length of the key.",
                ),
                io.Int.Input(
                    "steps", default=REFINING_STEPS, min=0, max=1000, advanced=True,
                    tooltip="Steps of latent inversion where one encoder pass is not decisive; 0: never.",
                ),
                io.Boolean.Input(
                    "search", default=True, advanced=True,
                    tooltip="Where nothing is read, look as if the image had been turned, resized or cropped.",
                ),
            ],
            outputs=[
                io.String.Output("key", is_output_list=True, tooltip="Hexadecimal, empty for no key; one per image."),
                io.Float.Output(
                    "confidence", is_output_list=True, tooltip="Probability that the least certain bit is right."
                ),
                io.String.Output("report", tooltip="In words, without the keys."),
                io.Image.Output("picture", tooltip="The image and how certain each bit is."),
                io.String.Output("user", is_output_list=True, tooltip="Registered user, or empty; one per image."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls,
        vae: Any,
        image: Tensor,
        basis: FingerprintBasis,
        secret: str,
        register: str,
        key_bits: int,
        steps: int,
        search: bool = True,
    ) -> io.NodeOutput:
        known, owner = check_basis_socket(basis), secret_called(secret)
        users = None
        if register != NO_REGISTER:
            path = path_called(register)
            try:
                users = load_register(path)
            except InvalidRegisterError as error:
                raise InvalidRegisterError(str(error).replace(path, f"The register {register}")) from None
            users.require(owner)
        images, unjudged = check_each(comfy_adapter.to_core_images(image))
        keys, confidences, reports, pictures, found = [], [], [], [], []
        with comfy_adapter.inspected_model(vae, image, whole=True) as autoencoder:
            for number, one in enumerate(images.split(1), start=1):
                problem = unjudged.get(number - 1)
                if problem is not None:
                    # One picture of a batch must not cost the others their answers.
                    keys.append("")
                    confidences.append(0.0)
                    reports.append(f"image {number}: not read ({problem})")
                    pictures.append(picture_tensor(note_card(f"Picture {number} cannot be read", [problem])))
                    found.append("")
                    continue
                reading = read(
                    autoencoder, one, known, key_bits=key_bits, secret=owner, refining_steps=steps, search=search,
                    on_step=comfy_adapter.progress_reporter(live_preview=False),
                    before_refining=partial(comfy_adapter.make_room, vae, image, backward=True),
                )  # fmt: skip
                user = None if users is None else attribute_user(reading, users, owner)
                keys.append("" if reading.key is None else reading.key.hexadecimal)
                confidences.append(min(reading.bit_confidence))
                reports.append(f"image {number}: {reading_report(reading, user)}")
                pictures.append(to_tensor(reading_picture(one, reading, user)).movedim(1, -1))
                found.append("" if user is None or user.user is None else user.user)
        report = "\n".join(reports)
        batch = stack(pictures)
        preview = ui.PreviewImage(batch, cls=cls).as_dict()
        return io.NodeOutput(keys, confidences, report, batch, found, ui={**preview, "text": (report,)})

    @classmethod
    def validate_inputs(cls, secret: str | None = None, register: str | None = None) -> bool | str:
        """In place of the server's "value not in list": :meth:`execute` says what to do, and is shown whole."""
        return True

    @classmethod
    def fingerprint_inputs(cls, secret: str | None = None, register: str | None = None, **others: Any) -> str:
        return changed_at(*[name for name in (secret, register) if name is not None])
