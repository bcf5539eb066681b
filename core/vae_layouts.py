"""Recognise VAE weights by their keys and shapes, and bring them into diffusers' layout.

Pure functions on state dicts: no file is read and no module is built here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from torch import Tensor

State = dict[str, Tensor]
Layout = Literal["taesd", "kl-diffusers", "kl-comfyui"]

# Where whole checkpoints keep their VAE.
CHECKPOINT_PREFIXES = ("first_stage_model.", "vae.")

_KL_RENAMES = (
    (r"\bdown\.(\d+)\.block\.", r"down_blocks.\1.resnets."),
    (r"\bdown\.(\d+)\.downsample\.", r"down_blocks.\1.downsamplers.0."),
    (r"\bup\.(\d+)\.block\.", r"up_blocks.\1.resnets."),
    (r"\bup\.(\d+)\.upsample\.", r"up_blocks.\1.upsamplers.0."),
    (r"\bmid\.block_1\.", "mid_block.resnets.0."),
    (r"\bmid\.block_2\.", "mid_block.resnets.1."),
    (r"\bmid\.attn_1\.norm\.", "mid_block.attentions.0.group_norm."),
    (r"\bmid\.attn_1\.proj_out\.", "mid_block.attentions.0.to_out.0."),
    (r"\bmid\.attn_1\.([qkv])\.", r"mid_block.attentions.0.to_\1."),
    (r"\bnorm_out\.", "conv_norm_out."),
    (r"\bnin_shortcut\.", "conv_shortcut."),
    # Names of diffusers before 0.18.
    (r"\battentions\.0\.query\.", "attentions.0.to_q."),
    (r"\battentions\.0\.key\.", "attentions.0.to_k."),
    (r"\battentions\.0\.value\.", "attentions.0.to_v."),
    (r"\battentions\.0\.proj_attn\.", "attentions.0.to_out.0."),
)


def strip_checkpoint_prefix(state: Mapping[str, Tensor]) -> State:
    """The VAE's part of a whole checkpoint, or ``state`` itself when it holds nothing but a VAE."""
    for prefix in CHECKPOINT_PREFIXES:
        part = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        if part:
            return part
    return dict(state)


def recognise(state: Mapping[str, Tensor]) -> Layout | None:
    """The layout of a VAE's state dict, or ``None`` when it is none of those supported."""
    if "taesd_decoder.1.weight" in state and "taesd_encoder.0.weight" in state:
        return "taesd"
    if not {"encoder.conv_in.weight", "decoder.conv_in.weight"} <= state.keys():
        return None
    if state["decoder.conv_in.weight"].ndim != 4:
        return None
    if "decoder.up.0.block.0.conv1.weight" in state:
        return "kl-comfyui"
    return "kl-diffusers" if "decoder.up_blocks.0.resnets.0.conv1.weight" in state else None


def describe(state: Mapping[str, Tensor]) -> str:
    """What an unrecognised file holds, for its error message."""
    if not state:
        return "no tensors at all"
    groups = sorted({".".join(key.split(".")[:2]) for key in state})
    shown = ", ".join(groups[:6]) + (", …" if len(groups) > 6 else "")
    hints = []
    has_decoder = any(key.startswith(("taesd_decoder.", "decoder.")) for key in state)
    if has_decoder and not any("encoder" in key for key in state):
        hints.append("a decoder without its encoder")
    if any(value.ndim == 5 for value in state.values()):
        hints.append("three-dimensional convolutions of a video VAE")
    if any(key.startswith("model.diffusion_model.") for key in state):
        hints.append("a diffusion model without its VAE")
    return f"{len(state)} tensors under {shown}" + (f" ({'; '.join(hints)})" if hints else "")


def to_diffusers_tiny(state: Mapping[str, Tensor]) -> State:
    """TAESD's ``taesd_encoder.N`` / ``taesd_decoder.N`` keys as diffusers' ``AutoencoderTiny`` names them."""
    renamed: State = {}
    for key, value in state.items():
        part, _, rest = key.partition(".")
        if part not in ("taesd_encoder", "taesd_decoder"):
            continue
        index, _, tail = rest.partition(".")
        # The decoder's list begins with a clamp in TAESD, which diffusers applies outside its list.
        position = int(index) - (part == "taesd_decoder")
        renamed[f"{part.removeprefix('taesd_')}.layers.{position}.{tail}"] = value
    return renamed


def to_diffusers_kl(state: Mapping[str, Tensor]) -> State:
    """An LDM / ComfyUI or older diffusers KL state dict under the names of diffusers' ``AutoencoderKL``."""
    decoder_stages = 1 + max((int(m[1]) for key in state if (m := re.match(r"decoder\.up\.(\d+)\.", key))), default=0)
    renamed: State = {}
    for key, value in state.items():
        if not key.startswith(("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")):
            continue
        # LDM counts decoder stages from the image, diffusers from the latent.
        name = re.sub(r"^decoder\.up\.(\d+)\.", lambda m: f"decoder.up.{decoder_stages - 1 - int(m[1])}.", key)
        for pattern, replacement in _KL_RENAMES:
            name = re.sub(pattern, replacement, name)
        if re.search(r"attentions\.0\.to_\w+\.(0\.)?weight$", name) and value.ndim == 4:
            value = value[:, :, 0, 0]  # 1×1 convolution to linear layer
        renamed[name] = value
    return renamed


def kl_config(state: Mapping[str, Tensor]) -> dict[str, object]:
    """Arguments for diffusers' ``AutoencoderKL``, read off the shapes of a state dict in its layout."""
    stages = 1 + max(int(m[1]) for key in state if (m := re.match(r"encoder\.down_blocks\.(\d+)\.", key)))
    widths = [state[f"encoder.down_blocks.{i}.resnets.0.conv2.weight"].shape[0] for i in range(stages)]
    layers = 1 + max(int(m[1]) for key in state if (m := re.match(r"encoder\.down_blocks\.0\.resnets\.(\d+)\.", key)))
    return {
        "in_channels": state["encoder.conv_in.weight"].shape[1],
        "out_channels": state["decoder.conv_out.weight"].shape[0],
        "down_block_types": ("DownEncoderBlock2D",) * stages,
        "up_block_types": ("UpDecoderBlock2D",) * stages,
        "block_out_channels": tuple(widths),
        "layers_per_block": layers,
        "latent_channels": state["decoder.conv_in.weight"].shape[1],
        "norm_num_groups": min(32, *widths),
        "use_quant_conv": "quant_conv.weight" in state,
        "use_post_quant_conv": "post_quant_conv.weight" in state,
        "mid_block_add_attention": "decoder.mid_block.attentions.0.to_q.weight" in state,
    }
