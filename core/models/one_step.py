"""Diffusers pipelines that make an image in one step, unconditionally: consistency models, one-step DDIM.

x = f(noise): the scheduler's own one-step rule around the UNet, without pipeline code, so that gradients flow. One step
adds no noise, so the noise is the only input; it has as many values as the image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import UnsupportedGeneratorError
from .diffusers_folder import arguments_for, network_from, read_json
from .generator import ModuleGenerator
from .weight_files import MISFITS, WeightFileError, shortened

SCHEDULERS = ("CMStochasticIterativeScheduler", "DDIMScheduler")
# Pixels per side; unconditional pixel-space models have 256 or 512.
MOST_PIXELS = 1024


class OneStep(nn.Module):
    """Images ``[n,C,H,W]`` in [-1,1] from noise of the same shape, N(0,1)."""

    def __init__(self, unet: nn.Module, scheduler: Any) -> None:
        super().__init__()
        self.unet = unet
        self.scheduler = scheduler

    def forward(self, noise: Tensor) -> Tensor:
        # A scheduler counts its calls: set anew, each call is the first.
        self.scheduler.set_timesteps(1)
        step = self.scheduler.timesteps[0]
        sample = noise * self.scheduler.init_noise_sigma
        output = self.unet(self.scheduler.scale_model_input(sample, step), step).sample
        images: Tensor = self.scheduler.step(output, step, sample).prev_sample
        return images


def load_one_step(folder: Path, name: str) -> ModuleGenerator:
    """The unconditional one-step generator in a diffusers pipeline folder; needs ``diffusers``.

    Raises :class:`UnsupportedGeneratorError` for conditional models, other schedulers and unreadable folders.
    """
    try:
        index = read_json(folder / "model_index.json")
        scheduler_class, unet_class = str(index["scheduler"][1])[:60], str(index["unet"][1])[:60]
    except (WeightFileError, KeyError, IndexError, TypeError):
        raise UnsupportedGeneratorError(
            f"{folder} is no diffusers pipeline with a unet and a scheduler: give the folder with model_index.json."
        ) from None
    if unet_class != "UNet2DModel" or scheduler_class not in SCHEDULERS:
        raise UnsupportedGeneratorError(
            f"{folder} holds {unet_class} with {scheduler_class}: only an unconditional UNet2DModel with"
            f" {' or '.join(SCHEDULERS)} is a one-step function of its noise."
        )
    try:
        import diffusers  # an extra: the core works without it
    except ImportError:
        raise UnsupportedGeneratorError(
            "Loading a diffusers pipeline needs diffusers: pip install 'latent-tracer[cli]'."
        ) from None
    try:
        config = read_json(folder / "unet" / "config.json")
        unet: Any = network_from(diffusers.UNet2DModel, config, folder / "unet")
        settings = read_json(folder / "scheduler" / "scheduler_config.json")
        make_scheduler = getattr(diffusers, scheduler_class)
        scheduler = make_scheduler(**arguments_for(make_scheduler, settings))
    except WeightFileError as error:
        reason = str(error).rstrip(".")
        raise UnsupportedGeneratorError(f"The diffusers folder {folder} cannot be loaded: {reason}.") from None
    except MISFITS as error:
        raise UnsupportedGeneratorError(
            f"The scheduler of {folder} cannot be made ({shortened(error)}): download the folder again."
        ) from None
    if unet.config.num_class_embeds is not None:
        raise UnsupportedGeneratorError(f"{folder} is conditioned on a class: only unconditional models are supported.")
    size = unet.config.sample_size
    sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, int) and 1 <= side <= MOST_PIXELS for side in sides):
        raise UnsupportedGeneratorError(f"{folder} has no possible sample_size (sides from 1 to {MOST_PIXELS}).")
    return ModuleGenerator(name, OneStep(unet, scheduler), (unet.config.in_channels, *sides), output_range=(-1.0, 1.0))
