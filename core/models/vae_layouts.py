"""Recognise VAE weights by their keys and shapes, and bring them into diffusers' layout.

Pure functions on names and shapes: no file is read and no module is built here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

from ..storage.safe_text import clean_text
from .weight_files import WeightFileError


class Shaped(Protocol):
    """A tensor, or one that has not been read yet."""

    @property
    def shape(self) -> Sequence[int]: ...


T = TypeVar("T", bound=Shaped)
Layout = Literal["taesd", "taesd-diffusers", "kl-comfyui", "kl-diffusers"]

# Where whole checkpoints keep their VAE.
CHECKPOINT_PREFIXES = ("first_stage_model.", "vae.")
# What training leaves beside a KL autoencoder: neither encoder nor decoder reads it.
_LEFTOVERS = ("loss.", "model_ema.")
# Stages and layers beyond these exist in no VAE.
MOST_STAGES, MOST_LAYERS = 16, 64

_KL_RENAMES = (
    (r"\bdown\.([0-9]+)\.block\.", r"down_blocks.\1.resnets."),
    (r"\bdown\.([0-9]+)\.downsample\.", r"down_blocks.\1.downsamplers.0."),
    (r"\bup\.([0-9]+)\.block\.", r"up_blocks.\1.resnets."),
    (r"\bup\.([0-9]+)\.upsample\.", r"up_blocks.\1.upsamplers.0."),
    (r"\bmid\.block_1\.", "mid_block.resnets.0."),
    (r"\bmid\.block_2\.", "mid_block.resnets.1."),
    (r"\bmid\.attn_1\.norm\.", "mid_block.attentions.0.group_norm."),
    (r"\bmid\.attn_1\.proj_out\.", "mid_block.attentions.0.to_out.0."),
    (r"\bmid\.attn_1\.([qkv])\.", r"mid_block.attentions.0.to_\1."),
    (r"\bnorm_out\.", "conv_norm_out."),
    (r"\bnin_shortcut\.", "conv_shortcut."),
)
# diffusers before 0.18
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def strip_checkpoint_prefix(state: Mapping[str, T]) -> dict[str, T]:
    """The VAE's part of a whole checkpoint, or ``state`` itself when it holds nothing but a VAE."""
    for prefix in CHECKPOINT_PREFIXES:
        part = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        if part:
            return part
    return dict(state)


def recognise(state: Mapping[str, Shaped]) -> Layout | None:
    """The layout of a VAE's weights, or ``None`` when it is none of those supported."""
    if {"taesd_decoder.1.weight", "taesd_encoder.0.weight"} <= state.keys():
        return "taesd"
    if {"decoder.layers.0.weight", "encoder.layers.0.weight"} <= state.keys():
        return "taesd-diffusers"
    if not {"encoder.conv_in.weight", "decoder.conv_in.weight"} <= state.keys():
        return None
    if len(state["decoder.conv_in.weight"].shape) != 4:
        return None
    if "decoder.up.0.block.0.conv1.weight" in state:
        return "kl-comfyui"
    return "kl-diffusers" if "decoder.up_blocks.0.resnets.0.conv1.weight" in state else None


def describe(state: Mapping[str, Shaped]) -> str:
    """What an unrecognised file holds, for its error message."""
    if not state:
        return "no tensors at all"
    groups = sorted({".".join(key.split(".")[:2]) for key in state})
    shown = ", ".join(clean_text(group, 60) for group in groups[:6]) + (", …" if len(groups) > 6 else "")
    hints = []
    has_decoder = any(key.startswith(("taesd_decoder.", "decoder.")) for key in state)
    if has_decoder and not any("encoder" in key for key in state):
        hints.append("a decoder without its encoder")
    if {"0.weight", "1.weight"} & state.keys():
        hints.append("one half of a TAESD pair: give the common prefix of both names")
    if any(len(value.shape) == 5 for value in state.values()):
        hints.append("three-dimensional convolutions of a video VAE")
    if any(key.startswith("model.diffusion_model.") for key in state):
        hints.append("a diffusion model without its VAE")
    return f"{len(state)} tensors under {shown}" + (f" ({'; '.join(hints)})" if hints else "")


def to_diffusers_tiny(state: Mapping[str, T]) -> dict[str, T]:
    """TAESD's ``taesd_encoder.N`` / ``taesd_decoder.N`` keys as diffusers' ``AutoencoderTiny`` names them.

    Names that are none of TAESD's stay as they are. ComfyUI's latent scale and shift choose a unit and are left out.
    """
    renamed: dict[str, T] = {}
    for key, value in state.items():
        if key in ("vae_scale", "vae_shift") and not value.shape:
            continue
        if m := re.fullmatch(r"taesd_(encoder|decoder)\.([0-9]{1,3})\.(.+)", key):
            # The decoder's list begins with a clamp in TAESD, which diffusers applies outside its list.
            key = f"{m[1]}.layers.{int(m[2]) - (m[1] == 'decoder')}.{m[3]}"
        _add(renamed, key, value)
    return renamed


def pooled_blocks(state: Mapping[str, Shaped]) -> set[str]:
    """Paths of the blocks of TAEF2 that have a pooled branch, in diffusers' layout."""
    found = (re.match(r"((?:encoder|decoder)\.layers\.[0-9]{1,3})\.pool\.", key) for key in state)
    return {m[1] for m in found if m}


def to_diffusers_kl(state: Mapping[str, T]) -> dict[str, T]:
    """An LDM / ComfyUI or older diffusers KL state dict under the names of diffusers' ``AutoencoderKL``."""
    decoder_stages = 1 + max(
        (int(m[1]) for key in state if (m := re.match(r"decoder\.up\.([0-9]{1,3})\.", key))), default=0
    )
    renamed: dict[str, T] = {}
    for key, value in state.items():
        if key.startswith(_LEFTOVERS):
            continue
        # LDM counts decoder stages from the image, diffusers from the latent.
        name = re.sub(r"^decoder\.up\.([0-9]{1,3})\.", lambda m: f"decoder.up.{decoder_stages - 1 - int(m[1])}.", key)
        for pattern, replacement in _KL_RENAMES:
            name = re.sub(pattern, replacement, name)
        _add(renamed, name, value)
    return to_current_attention(renamed)


def to_current_attention(state: Mapping[str, T]) -> dict[str, T]:
    """Attention layers under the names that diffusers has had for them since 0.18."""
    renamed: dict[str, T] = {}
    for key, value in state.items():
        pattern = r"(attentions\.[0-9]+)\.(query|key|value|proj_attn)\.(weight|bias)$"
        _add(renamed, re.sub(pattern, lambda m: f"{m[1]}.{_OLD_ATTENTION[m[2]]}.{m[3]}", key), value)
    return renamed


def _add(renamed: dict[str, T], key: str, value: T) -> None:
    if key in renamed:
        raise WeightFileError(f"two of its tensors are {clean_text(key, 80)}")
    renamed[key] = value


def kl_config(state: Mapping[str, Shaped]) -> dict[str, Any]:
    """Arguments for diffusers' ``AutoencoderKL``, read off the names and shapes of weights in its layout.

    Raises :class:`WeightFileError` where a layer is missing or of no possible shape.
    """
    stages = _count(state, r"encoder\.down_blocks\.([0-9]+)\.", MOST_STAGES, "encoder stages")
    layers = _count(state, r"encoder\.down_blocks\.0\.resnets\.([0-9]+)\.", MOST_LAYERS, "layers per stage")

    def side(key: str, axis: int) -> int:
        shape = state[key].shape if key in state else ()
        if len(shape) != 4:
            raise WeightFileError(f"{key} is missing or no convolution")
        return shape[axis]

    widths = [side(f"encoder.down_blocks.{i}.resnets.0.conv2.weight", 0) for i in range(stages)]
    return {
        "in_channels": side("encoder.conv_in.weight", 1),
        "out_channels": side("decoder.conv_out.weight", 0),
        "down_block_types": ("DownEncoderBlock2D",) * stages,
        "up_block_types": ("UpDecoderBlock2D",) * stages,
        "block_out_channels": tuple(widths),
        "layers_per_block": layers,
        "latent_channels": side("decoder.conv_in.weight", 1),
        "norm_num_groups": min(32, *widths),
        "use_quant_conv": "quant_conv.weight" in state,
        "use_post_quant_conv": "post_quant_conv.weight" in state,
        "mid_block_add_attention": "decoder.mid_block.attentions.0.to_q.weight" in state,
    }


def _count(state: Mapping[str, Shaped], pattern: str, most: int, what: str) -> int:
    numbers = {m[1] for key in state if (m := re.match(pattern, key))}
    if not numbers or max(map(len, numbers)) > 3 or (count := 1 + max(map(int, numbers))) > most:
        raise WeightFileError(f"it has {f'more than {most}' if numbers else 'no'} {what}")
    return count
