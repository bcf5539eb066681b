"""A network in a diffusers folder: ``config.json`` with the arguments of its class, and one .safetensors file.

Both may come from anywhere. diffusers' own loader fills gaps with random values, drops weights that no layer takes and
builds whatever size is asked for; here everything must fit before anything is allocated.
"""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from typing import Any

from torch import nn

from . import vae_layouts
from .vae_layouts import MOST_LAYERS, MOST_STAGES
from .weight_files import PICKLED, WeightFileError, fill, open_weights

WEIGHTS = "diffusion_pytorch_model"
MOST_CONFIG_BYTES = 1 << 20
MOST_CODES = 1 << 20
MOST_OTHER = 1 << 16
MOST_UPSAMPLING = 4


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a small file; raises :class:`WeightFileError` for anything else."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_CONFIG_BYTES + 1)
        content = json.loads(text.decode("utf-8")) if len(text) <= MOST_CONFIG_BYTES else None
    except OSError as error:
        raise WeightFileError(f"{path} cannot be read ({error.strerror}): check its permissions.") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise WeightFileError(f"{path} is not a diffusers configuration: download the folder again.")
    return content


def network_from(network: Any, config: dict[str, Any], folder: Path) -> nn.Module:
    """The diffusers class ``network`` with ``config`` and the weights in ``folder``, in float32 on the CPU.

    Raises :class:`WeightFileError` where they do not fit each other.
    """
    arguments = arguments_for(network, config)
    stored = vae_layouts.to_current_attention(open_weights(_weights_in(folder)))
    return fill(lambda: network(**arguments), stored)


def _weights_in(folder: Path) -> Path:
    """The one weight file of a folder: float32 before fp16 before bf16, whatever else lies beside it."""
    names = sorted(path.name for path in folder.glob(f"{WEIGHTS}*.safetensors"))
    if any("-of-" in name for name in names):
        raise WeightFileError("its weights are split over several files: merge them into one")
    for variant in ("", ".fp16", ".bf16"):
        if (name := f"{WEIGHTS}{variant}.safetensors") in names:
            return folder / name
    if len(names) == 1:
        return folder / names[0]
    if names:
        raise WeightFileError(f"it holds {', '.join(names[:4])}: give the file that is meant")
    pickled = sorted(path.name for path in folder.glob("*") if path.suffix in (".bin", ".pth", ".pt", ".ckpt"))
    what = f" but {pickled[0]}, {PICKLED}" if pickled else ": download it too"
    raise WeightFileError(f"it holds no {WEIGHTS}.safetensors{what}")


def arguments_for(network: Any, config: dict[str, Any]) -> dict[str, Any]:
    """What ``config`` says to the constructor of ``network``; raises :class:`WeightFileError` for impossible values."""
    accepted = inspect.signature(network.__init__).parameters.keys() - {"self"}
    chosen = {key: value for key, value in config.items() if key in accepted}
    for key, value in chosen.items():
        entries = value if isinstance(value, list) else [value]
        if len(entries) > MOST_STAGES and key not in ("latents_mean", "latents_std"):
            raise WeightFileError(f"its configuration has {len(entries)} entries of {key}, at most {MOST_STAGES} exist")
        if not all(_sound(key, entry) for entry in entries):
            raise WeightFileError(f"its configuration has no possible value for {key}")
    return chosen


def _sound(key: str, value: Any) -> bool:
    if isinstance(value, int):  # True and False too
        most = MOST_LAYERS if "layers" in key or key.endswith("_blocks") else MOST_OTHER
        most = {"num_vq_embeddings": MOST_CODES, "upsampling_scaling_factor": MOST_UPSAMPLING}.get(key, most)
        return 0 <= value <= most
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, str) and len(value) <= 64)
