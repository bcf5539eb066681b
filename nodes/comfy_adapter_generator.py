"""The adapter's second half: a MODEL socket, one sampling step and a VAE become one :class:`Generator`.

With one step at cfg 1 the samplers *euler*, *lcm*, *ddim* and their kin return the model's own prediction of the image,
so the noise is the only input and nothing is random after it. As for a VAE, gradients go through a frozen fp32 clone
that is built from the weights already loaded, with the LoRAs patched onto them.
"""

from __future__ import annotations

import copy
import gc
import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import comfy.lora
import comfy.model_management
import comfy.model_patcher
import comfy.sampler_helpers
import comfy.samplers
import torch
from torch import Tensor

from ..core import AutoencoderGenerator, Generator, UnsupportedGeneratorError, weight_digest
from ..core.models.generator import draw
from .comfy_adapter import check_vae, inspected_model

PREFIX = "diffusion_model."
#: What a conditioning may carry besides its embedding; anything else would change the function unseen.
HARMLESS = {"pooled_output", "width", "height", "crop_w", "crop_h", "target_width", "target_height", "guidance"}


class OneStepGenerator:
    """Noise ``[n,C,h,w]`` of unit variance -> one step of the model -> VAE decode -> images of one size."""

    def __init__(
        self,
        model: Any,
        sampling: Any,
        sigma: Tensor,
        conds: dict[str, Any],
        decoder: AutoencoderGenerator,
        name: str = "",
    ) -> None:
        self.model, self.sampling, self.sigma, self.conds, self.decoder = model, sampling, sigma, conds, decoder
        weights = {**model.diffusion_model.state_dict(), **{f"vae.{k}": v for k, v in _module(decoder).items()}}
        self.fingerprint = weight_digest(weights)
        self.name = name or f"one-step model {self.fingerprint[:8]}"
        self.input_shape, self.image_size = decoder.input_shape, decoder.image_size
        self.device, self.dtype = decoder.device, decoder.dtype
        self.prior = f"N(0,1), sigma {float(sigma):.5g}, condition {_digest(conds)}"
        self.is_video = model.latent_format.latent_dimensions == 3
        # The samplers' own test for "from pure noise".
        largest = float(sampling.sigma_max)
        self.from_noise = math.isclose(largest, float(sigma), rel_tol=1e-5) or float(sigma) > largest

    def sample_inputs(self, n: int, seed: int = 0) -> Tensor:
        return draw(n, self.input_shape, "normal", seed).to(self.device, self.dtype)

    def generate(self, inputs: Tensor) -> Tensor:
        noise = inputs.to(self.device, self.dtype)
        if self.is_video:
            noise = noise[:, :, None]
        start = self.sampling.noise_scaling(self.sigma, noise, torch.zeros_like(noise), self.from_noise)
        conds = {key: cond.process_cond(batch_size=len(noise), area=None).cond for key, cond in self.conds.items()}
        denoised = self.model.apply_model(start, self.sigma.expand(len(noise)), transformer_options={}, **conds)
        latents = self.model.process_latent_out(self.sampling.inverse_noise_scaling(self.sigma * 0, denoised))
        return self.decoder.generate(latents[:, :, 0] if self.is_video else latents)


@contextmanager
def generator_of(
    vae: Any, images: Tensor, model: Any = None, positive: Any = None, sigmas: Any = None, name: str = ""
) -> Iterator[Generator]:
    """The decoder of ``vae``, behind one step of ``model`` where one is given, for images like ``[B,H,W,3]``.

    ``name``: what the user chose it by, where the graph shows that.
    """
    check_vae(vae)
    with inspected_model(vae, images, name if model is None else "") as autoencoder:
        decoder = AutoencoderGenerator(autoencoder, int(images.shape[1]), int(images.shape[2]))
        if model is None:
            yield decoder
            return
        clone = None
        try:
            clone = _clone(model, decoder)
            sampling = clone.model_sampling
            sigma = _single_sigma(sigmas, sampling).to(decoder.device)
            yield OneStepGenerator(clone, sampling, sigma, _conditions(clone, positive, decoder), decoder, name)
        finally:
            if clone is not None:
                clone.diffusion_model.to("meta")
            del clone
            gc.collect()
            comfy.model_management.soft_empty_cache()


def _clone(model: Any, decoder: AutoencoderGenerator) -> Any:
    """A frozen fp32 copy of ``model``'s network with its patches applied; the shared one is only read."""
    if not isinstance(model, comfy.model_patcher.ModelPatcher) or not hasattr(model.model, "diffusion_model"):
        raise UnsupportedGeneratorError(
            f"The model input holds a {type(model).__name__}, not a diffusion model: connect Load Checkpoint or Load"
            " Diffusion Model."
        )
    base = model.model
    channels = base.latent_format.latent_channels
    if channels != decoder.input_shape[0]:
        raise UnsupportedGeneratorError(
            f"The model makes latents of {channels} channels, the VAE decodes {decoder.input_shape[0]}: connect the VAE"
            " that belongs to the model."
        )
    options = {key: value for key, value in model.model_options.items() if value and key != "disable_cfg1_optimization"}
    foreign = sorted([*options, *(key for key in model.object_patches if key != "model_sampling")])
    if foreign:
        raise UnsupportedGeneratorError(
            f"Other nodes changed how the model runs ({', '.join(foreign)}), which an inversion cannot repeat: connect"
            " the model without them (LoRAs may stay)."
        )
    weights = {}
    for key, entries in model.get_key_patches(PREFIX).items():
        weight, convert = entries[0]
        value = convert(weight.detach().to("cpu", torch.float32, copy=True), inplace=True)
        weights[key] = comfy.lora.calculate_weight(entries[1:], value, key) if len(entries) > 1 else value
    size = sum(value.numel() * 4 for value in weights.values())
    comfy.model_management.free_memory(2 * size, decoder.device)
    # Its __getattr__ answers every name, which copy.copy takes for a method of its own.
    config = object.__new__(type(base.model_config))
    vars(config).update(vars(base.model_config))
    config.unet_config = {**config.unet_config, "dtype": torch.float32}
    config.manual_cast_dtype = config.custom_operations = config.quant_config = None
    config.optimizations = {}
    clone = config.get_model(weights, PREFIX)
    clone.diffusion_model.load_state_dict({key.removeprefix(PREFIX): value for key, value in weights.items()})
    clone.model_sampling = copy.deepcopy(model.get_model_object("model_sampling"))
    return clone.eval().requires_grad_(False).to(decoder.device)


def _single_sigma(sigmas: Any, sampling: Any) -> Tensor:
    """The noise level of the only step; raises :class:`UnsupportedGeneratorError` for more than one."""
    if sigmas is None:
        return torch.as_tensor(float(sampling.sigma_max)).reshape(1)
    values = [float(value) for value in sigmas]
    if len(values) != 2 or values[1] != 0 or not values[0] > 0:
        raise UnsupportedGeneratorError(
            f"The sigmas describe {max(0, len(values) - 1)} steps from {values[0] if values else 0:.3g}, only one step"
            " down to 0 is a deterministic function of the noise for every sampler: set the scheduler to 1 step and"
            " denoise 1."
        )
    return torch.tensor(values[:1])


def _conditions(model: Any, positive: Any, decoder: AutoencoderGenerator) -> dict[str, Any]:
    """What the model is conditioned on, as its own network takes it."""
    if positive is None:
        return {}
    if len(positive) != 1 or not set(positive[0][1]) <= HARMLESS:
        extra = ", ".join(sorted({key for entry in positive for key in entry[1]} - HARMLESS)) or "several prompts"
        raise UnsupportedGeneratorError(
            f"The conditioning holds {extra}, which an inversion cannot repeat: connect one plain prompt."
        )
    entry = [[positive[0][0].clone().float(), {k: _plain(v) for k, v in positive[0][1].items()}]]
    noise = torch.zeros(1, *decoder.input_shape, device=decoder.device)
    converted = comfy.sampler_helpers.convert_cond(entry)
    encoded = comfy.samplers.encode_model_conds(model.extra_conds, converted, noise, decoder.device, "positive")
    conds: dict[str, Any] = encoded[0]["model_conds"]
    for cond in conds.values():
        if isinstance(cond.cond, Tensor):
            cond.cond = cond.cond.to(decoder.device)
    return conds


def _plain(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _module(decoder: AutoencoderGenerator) -> dict[str, Tensor]:
    module: Any = decoder.autoencoder
    state: dict[str, Tensor] = module.module.state_dict()
    return state


def _digest(conds: dict[str, Any]) -> str:
    whole = hashlib.sha256()
    for key in sorted(conds):
        value = conds[key].cond
        whole.update(key.encode())
        if isinstance(value, Tensor):
            # In bfloat16, so that the last digits of a text encoder on another card do not matter much.
            whole.update(value.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes())
        else:
            whole.update(repr(value).encode())
    return whole.hexdigest()[:8] if conds else "none"
