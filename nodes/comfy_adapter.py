"""The only module that touches ``comfy.*``: a VAE socket becomes an :class:`Autoencoder`, progress and cancel go back.

ComfyUI runs nodes under ``torch.inference_mode()``, so VAE weights and IMAGE inputs are inference tensors that autograd
refuses, and the shared module's casts may reuse buffers between forward and backward. Gradients are therefore taken
through a frozen fp32 clone built from the weights already loaded; the shared VAE is only read.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfy.model_management
import comfy.sd
import comfy.utils
import torch
from server import PromptServer
from torch import Tensor

from nodes import VAELoader

from ..core import InvalidImageError, InvalidLatentError, ModuleAutoencoder, Step, UnsupportedAutoencoderError
from ..core.images.tensors import to_picture
from ..core.models.loading import EMBEDDED
from ..core.scores.windows import SIDE, WHOLE_PIXELS

PREVIEW_SECONDS = 0.3
PREVIEW_PIXELS = 512


def check_vae(vae: Any) -> None:
    """Raise :class:`UnsupportedAutoencoderError`, naming what to connect instead, unless ``vae`` is an image VAE."""
    remedy = "connect an image VAE, for example from Load VAE or from a checkpoint loader"
    if vae is None:
        raise UnsupportedAutoencoderError(f"No VAE is connected (a checkpoint may hold none): {remedy}.")
    if not isinstance(vae, comfy.sd.VAE):
        raise UnsupportedAutoencoderError(f"The vae input holds a {type(vae).__name__}, not a VAE: {remedy}.")
    model = getattr(vae, "first_stage_model", None)
    if model is None:
        raise UnsupportedAutoencoderError(f"The checkpoint or file contains no valid VAE: {remedy}.")
    if type(model).__name__ == "PixelspaceConversionVAE":
        raise UnsupportedAutoencoderError(
            "pixel_space is the identity and would explain every image: "
            f"{remedy} that the images' generator really uses."
        )
    if vae.latent_dim not in (2, 3) or vae.output_channels != 3:
        raise UnsupportedAutoencoderError(
            f"This VAE decodes {vae.output_channels} channels in {vae.latent_dim} dimensions (audio or other media), "
            f"not RGB images: {remedy}."
        )


@contextmanager
def inspected_model(
    vae: Any, images: Tensor | None = None, name: str = "", whole: bool = False
) -> Iterator[ModuleAutoencoder]:
    """A differentiable fp32 clone of ``vae`` on its own device, gradients enabled, gone when the block ends.

    ``images`` ``[B,H,W,3]`` tells how much memory forward passes need, ``whole`` that they see large pictures whole;
    for a backward pass, :func:`make_room` again. ``name``: what the user chose it by, where the graph shows that.
    """
    check_vae(vae)
    with torch.inference_mode(False), torch.enable_grad():
        device = torch.device(vae.device)
        if images is not None:
            make_room(vae, images, whole=whole)
        weights = {key: value.detach().to("cpu", torch.float32, copy=True) for key, value in vae.get_sd().items()}
        metadata = None
        if "taesd_decoder.1.weight" in weights:
            metadata = {"tae_latent_channels": vae.latent_channels}
        clone = comfy.sd.VAE(sd=weights, metadata=metadata, dtype=torch.float32, device=device)
        module = clone.first_stage_model.to(device)
        try:
            autoencoder = ModuleAutoencoder("VAE", module, _encoder(clone), _decoder(clone))
            autoencoder.name = name or f"loaded VAE {autoencoder.fingerprint[:8]}"
            yield autoencoder
        finally:
            # The caller's frame still refers to the clone: let its weights go now, not when that frame ends.
            module.to("meta")
            del autoencoder, module, clone, weights
            gc.collect()
            comfy.model_management.soft_empty_cache()


def make_room(vae: Any, images: Tensor, backward: bool = False, whole: bool = False) -> None:
    """Ask ComfyUI to free what passes through a clone of ``vae`` need for ``images`` ``[B,H,W,3]``, and no more."""
    comfy.model_management.free_memory(room_needed(vae, images, backward, whole), torch.device(vae.device))


def room_needed(vae: Any, images: Tensor, backward: bool = False, whole: bool = False) -> int:
    """Bytes for the clone's weights and the passes through it.

    Of large pictures a score sees windows, one at a time, unless the pictures are seen ``whole``; half of ComfyUI's own
    estimate of a decode in fp32 is enough: the tensors alive were counted at a third of it. A differentiable decode
    takes about 2.5 times that estimate (measured), and sees the whole.
    """
    pixels = images.shape[1] * images.shape[2]
    share = 1.0 if backward or whole or pixels <= WHOLE_PIXELS else SIDE**2 / pixels
    ratio = max(1, vae.spacial_compression_decode())
    height, width = (math.ceil(side * math.sqrt(share) / ratio) for side in images.shape[1:3])
    shape = (1, vae.latent_channels, *([1] if vae.latent_dim == 3 else []), height, width)
    passes = vae.memory_used_decode(shape, torch.float32) * (2.5 if backward else 0.5)
    return int(passes) + copied_bytes(vae)


def copied_bytes(vae: Any) -> int:
    """Size of the clone's weights, which are in fp32 whatever those of ``vae`` are in."""
    return 4 * sum(weight.numel() for weight in vae.first_stage_model.parameters())


def memory_note(vae: Any, images: Tensor, backward: bool, peak: int) -> str:
    """What an answer took beside the picture, for the report."""
    copy, asked = copied_bytes(vae), room_needed(vae, images, backward)
    sizes = [f"{size / 2**20:.0f} MiB" for size in (copy, asked, peak)]
    return f"memory: the weights' copy {sizes[0]}, asked of ComfyUI {sizes[1]} with it, used beside it {sizes[2]}"


def _encoder(clone: Any) -> Callable[[Tensor], Tensor]:
    model, process_input, is_video = clone.first_stage_model, clone.process_input, clone.latent_dim == 3

    def encode(images: Tensor) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        pixels = process_input(images.clone())
        if not is_video:
            return model.encode(pixels)
        # A batch would become the frames of one video: image by image, each a video of one frame.
        return torch.cat([model.encode(image[:, :, None])[:, :, 0] for image in pixels.split(1)])

    return encode


def _decoder(clone: Any) -> Callable[[Tensor], Tensor]:
    model, is_video = clone.first_stage_model, clone.latent_dim == 3
    # process_output clamps, and in place. Inside the range it is affine; two points give the unclamped map.
    low, high = (clone.process_output(torch.full((1, 3, 1, 1), value)).flatten()[0].item() for value in (0.25, 0.5))
    slope = (high - low) / 0.25
    offset = low - 0.25 * slope

    def decode(latents: Tensor) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        if not is_video:
            return model.decode(latents) * slope + offset
        frames = [model.decode(latent[:, :, None])[:, :, 0] for latent in latents.split(1)]
        return torch.cat(frames) * slope + offset

    return decode


@contextmanager
def embedded_models() -> Iterator[list[ModuleAutoencoder]]:
    """The autoencoders that ship with the pack, as non-belonging sources for calibration."""
    with torch.inference_mode(False):
        models = []
        for name, path in EMBEDDED.items():
            clone = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(path)), dtype=torch.float32)
            module = clone.first_stage_model.to(clone.device)
            models.append(ModuleAutoencoder(name, module, _encoder(clone), _decoder(clone)))
        try:
            yield models
        finally:
            for model in models:
                model.module.to("meta")


def split(images: Tensor) -> list[Tensor]:
    """``[B,3,H,W]`` as B images ``[1,3,H,W]``."""
    return [images[index : index + 1] for index in range(len(images))]


def split_images(image: Any) -> list[Tensor]:
    """ComfyUI's IMAGE batch as single core images."""
    return split(to_core_images(image))


def to_core_images(image: Any) -> Tensor:
    """ComfyUI's IMAGE ``[B,H,W,C]`` as ordinary (not inference) tensors ``[B,C,H,W]`` on the CPU.

    ComfyUI's may lie on the graphics card (``--gpu-only``), and those of one graph on different devices.
    """
    if not isinstance(image, Tensor) or image.ndim != 4:
        raise InvalidImageError("The image input is not a batch of pictures: connect an IMAGE, for example Load Image.")
    with torch.inference_mode(False):
        return image.to("cpu", torch.float32, copy=True).movedim(-1, 1)


def to_comfy_images(images: Tensor) -> Tensor:
    """Core's ``[B,3,H,W]`` as ComfyUI's IMAGE ``[B,H,W,3]``, clamped to [0,1], float32 on the CPU."""
    return images.detach().cpu().float().clamp(0, 1).movedim(1, -1).contiguous()


def to_core_latents(latent: Any) -> Tensor:
    """ComfyUI's LATENT as ``[B,C,h,w]``; a video latent of one frame loses its frame axis."""
    samples = latent.get("samples") if isinstance(latent, dict) else None
    if not isinstance(samples, Tensor) or samples.ndim not in (4, 5):
        raise InvalidLatentError("The latent input holds no image latent: connect Encode for Trace or VAE Encode.")
    if samples.ndim == 5:
        if samples.shape[2] != 1:
            raise InvalidLatentError(f"The latent has {samples.shape[2]} frames: trace single images, not a video.")
        samples = samples[:, :, 0]
    with torch.inference_mode(False):
        return samples.clone().float()


def images_like(latents: Tensor, vae: Any) -> Tensor:
    """What ``vae`` would decode of core's ``latents`` ``[B,C,h,w]``, as ``[B,H,W,3]`` of that size without values."""
    ratio = max(1, vae.spacial_compression_decode())
    height, width = (ratio * side for side in latents.shape[-2:])
    return torch.empty(len(latents), height, width, 3, device="meta")


def to_comfy_latents(latents: Tensor, vae: Any) -> dict[str, Tensor]:
    """Core's ``[B,C,h,w]`` as the LATENT that ``vae`` decodes (with a frame axis for video VAEs)."""
    return {"samples": latents[:, :, None] if vae.latent_dim == 3 else latents}


def pass_reporter(index: int = 0, of: int = 1) -> Callable[[int, int], None]:
    """An ``on_pass`` callback of picture ``index`` of so many: moves the progress bar, raises when interrupted.

    The bar never goes back: before a no more passes are to come than were expected, and it stays where it is.
    """
    report, shown = count_reporter(), -1

    def told(done: int, expected: int) -> None:
        nonlocal shown
        at = 1000 * index + 1000 * done // expected
        if at > shown:
            shown = at
            report(at, 1000 * of)
        else:
            comfy.model_management.throw_exception_if_processing_interrupted()

    return told


def tell(node: Any, text: str) -> None:
    """Show ``text`` on ``node`` while it still works, where this ComfyUI can."""
    server: Any = getattr(PromptServer, "instance", None)
    if hasattr(server, "send_progress_text"):
        server.send_progress_text(text, str(node), server.client_id)


def stop_if_cancelled() -> None:
    """Raise ComfyUI's own exception when the user interrupts."""
    comfy.model_management.throw_exception_if_processing_interrupted()


def count_reporter() -> Callable[[int, int], None]:
    """A callback (done, total) that moves the progress bar and raises when the user interrupts."""
    bar = comfy.utils.ProgressBar(1)

    def report(done: int, total: int) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(done, total)

    return report


def free_host_memory() -> int:
    """Bytes of main memory that are free now."""
    return int(comfy.model_management.get_free_memory(torch.device("cpu")))


def progress_reporter(live_preview: bool = True, part: tuple[int, int] = (1, 1)) -> Callable[[Step], None]:
    """An ``on_step`` callback: moves ComfyUI's progress bar, shows the reconstruction, and raises when interrupted.

    A node that ends by showing a picture wants no ``live_preview``: the browser keeps it in front of that picture.
    ``part``: this run is number so and so of so many, the bar covers them all.
    """
    bar = comfy.utils.ProgressBar(1)
    last_preview = 0.0

    def report(step: Step) -> None:
        nonlocal last_preview
        comfy.model_management.throw_exception_if_processing_interrupted()
        preview = None
        if live_preview and time.monotonic() - last_preview > PREVIEW_SECONDS:
            last_preview = time.monotonic()
            preview = ("JPEG", to_picture(step.decoded), PREVIEW_PIXELS)
        done, total = (step.image - 1) * step.steps + step.step, step.images * step.steps
        position, parts = part
        bar.update_absolute((position - 1) * total + done, parts * total, preview)

    return report


def loadable_vaes() -> list[str]:
    """What *Load VAE* offers: among it the tiny autoencoders of previews of which both halves are there."""
    offered: list[str] = VAELoader.vae_list(VAELoader)
    return offered


@contextmanager
def loaded_vae(name: str, images: Tensor) -> Iterator[ModuleAutoencoder]:
    """What *Load VAE* loads by this ``name``, as :func:`inspected_model` gives it."""
    (vae,) = VAELoader().load_vae(name)
    with inspected_model(vae, images, name) as autoencoder:
        yield autoencoder
