"""Load an autoencoder outside ComfyUI: architectures from diffusers, weights from local files, never the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import Conv2d, GroupNorm

from . import vae_layouts
from .autoencoder import ModuleAutoencoder
from .errors import UnknownAutoencoderError, UnsupportedAutoencoderError
from .vae_layouts import State

EMBEDDED = {name: Path(__file__).parent / "embedded" / f"{name}.safetensors" for name in ("demo-a", "demo-b")}
SUPPORTED = (
    "a TAESD pair NAME_encoder.safetensors + NAME_decoder.safetensors, given as NAME; one .safetensors file holding a"
    " TAESD autoencoder, an SD1/SD2/SDXL/SD3/Flux KL VAE, or a checkpoint with one inside; a diffusers folder; or"
    f" {' or '.join(EMBEDDED)}"
)


def load_autoencoder(spec: str | Path, device: str | torch.device = "cpu") -> ModuleAutoencoder:
    """Load the autoencoder that ``spec`` names, in float32 on ``device``.

    ``spec`` is the common prefix of a TAESD pair (``weights/taesd``), a ``.safetensors`` file in ComfyUI's or
    diffusers' key layout (recognised by keys and shapes), a diffusers folder, or the name of an embedded demo
    autoencoder. Inside ``torch.inference_mode`` the weights are ordinary tensors too, so that they can be inverted.
    Raises :class:`UnknownAutoencoderError` with what was found instead. Needs ``diffusers``.
    """
    path = EMBEDDED.get(str(spec), Path(spec).expanduser())
    name = str(spec) if str(spec) in EMBEDDED else path.stem if path.is_file() else path.name
    with torch.inference_mode(False):
        if path.is_dir():
            autoencoder = _load_diffusers_folder(path, name)
        elif path.is_file():
            state = vae_layouts.strip_checkpoint_prefix(_read_safetensors(path))
            autoencoder = _build(state, name, str(path))
        else:
            autoencoder = _build(_read_pair(path), name, str(path))
        autoencoder.module.to(device)
    return autoencoder


def _read_safetensors(path: Path) -> State:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UnknownAutoencoderError(
            f"{path} is not a readable .safetensors file ({error}); supported are {SUPPORTED}."
        ) from None


def _read_pair(prefix: Path) -> State:
    state: State = {}
    for part in ("encoder", "decoder"):
        path = prefix.with_name(f"{prefix.name}_{part}.safetensors")
        if not path.is_file():
            raise UnknownAutoencoderError(
                f"There is no autoencoder at {prefix}: neither a file or folder of that name nor {path.name};"
                f" supported are {SUPPORTED}."
            )
        state |= {f"taesd_{part}.{key}": value for key, value in _read_safetensors(path).items()}
    return state


def _build(state: State, name: str, where: str) -> ModuleAutoencoder:
    layout = vae_layouts.recognise(state)
    if layout is None:
        raise UnknownAutoencoderError(
            f"No supported autoencoder in {where}: found {vae_layouts.describe(state)}; supported are {SUPPORTED}."
        )
    try:
        if layout == "taesd":
            return _tiny(_build_tiny(vae_layouts.to_diffusers_tiny(state)), name)
        renamed = vae_layouts.to_diffusers_kl(state)
        module = _diffusers().AutoencoderKL(**vae_layouts.kl_config(renamed))
        module.load_state_dict(_as_float32(renamed))
        return _kl(module, name)
    except (RuntimeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UnknownAutoencoderError(
            f"{where} looks like a {layout} autoencoder but its weights do not fit that architecture: {reason}"
        ) from None


def _diffusers() -> Any:
    try:
        import diffusers  # an extra: only loading outside ComfyUI needs it
    except ImportError:
        raise UnsupportedAutoencoderError(
            "Loading an autoencoder outside ComfyUI needs diffusers: pip install 'latent-tracer[cli]'."
        ) from None
    return diffusers


def _as_float32(state: State) -> State:
    return {key: value.float() for key, value in state.items()}


def _build_tiny(state: State) -> nn.Module:
    channels = state["decoder.layers.0.weight"].shape[1]
    module: nn.Module = _diffusers().AutoencoderTiny(latent_channels=channels)
    pooled = {key.split(".pool.")[0] for key in state if ".pool." in key}
    for path in pooled:
        parent, _, index = path.rpartition(".")
        layers = module.get_submodule(parent)
        assert isinstance(layers, nn.Sequential)
        layers[int(index)] = PooledBlock(layers[int(index)], channels=64)
    # The pool wraps the block that diffusers has: its own parameters move one level down.
    renamed = {}
    for key, value in state.items():
        owner = next((path for path in pooled if key.startswith(path + ".")), None)
        inner = owner is not None and not key.startswith(f"{owner}.pool.")
        renamed[f"{owner}.block{key[len(owner) :]}" if inner and owner else key] = value
    module.load_state_dict(_as_float32(renamed))
    return module


class PooledBlock(nn.Module):
    """A TAESD block preceded by the global 1×1 + group norm branch of TAEF2's middle blocks (diffusers lacks it)."""

    def __init__(self, block: nn.Module, channels: int) -> None:
        super().__init__()
        self.block = block
        self.pool = nn.Sequential(
            Conv2d(channels, 4 * channels, 1, bias=False),
            GroupNorm(4, 4 * channels),
            nn.ReLU(),
            Conv2d(4 * channels, channels, 1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.block(features + self.pool(features))
        return output


def _tiny(module: nn.Module, name: str) -> ModuleAutoencoder:
    vae: Any = module
    # AutoencoderTiny.encode/decode slice and tile on request; the networks themselves are the plain function.
    return ModuleAutoencoder(name, module, lambda x: vae.encoder(2 * x - 1), lambda z: (vae.decoder(z) + 1) / 2)


def _kl(module: nn.Module, name: str) -> ModuleAutoencoder:
    vae: Any = module
    return ModuleAutoencoder(
        name, module, lambda x: vae.encode(2 * x - 1).latent_dist.mode(), lambda z: (vae.decode(z).sample + 1) / 2
    )


def _vq(module: nn.Module, name: str) -> ModuleAutoencoder:
    vae: Any = module

    def encode(images: Tensor) -> Tensor:
        # LatentTracer on VQ models: start from the quantised code, then decode without quantising again.
        latents: Tensor = vae.quantize(vae.encode(2 * images - 1).latents)[0]
        return latents

    return ModuleAutoencoder(name, module, encode, lambda z: (vae.decode(z, force_not_quantize=True).sample + 1) / 2)


_FOLDER_CLASSES = {"AutoencoderKL": _kl, "AutoencoderTiny": _tiny, "VQModel": _vq}


def _load_diffusers_folder(folder: Path, name: str) -> ModuleAutoencoder:
    if not (folder / "config.json").is_file():
        for inner in ("vae", "movq", "vqvae"):
            if (folder / inner / "config.json").is_file():
                return _load_diffusers_folder(folder / inner, name)
        raise UnknownAutoencoderError(f"The folder {folder} has no config.json; supported are {SUPPORTED}.")
    try:
        class_name = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("_class_name")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError):
        raise UnknownAutoencoderError(f"{folder / 'config.json'} is not a diffusers configuration.") from None
    if class_name not in _FOLDER_CLASSES:
        raise UnknownAutoencoderError(
            f"{folder} holds a {class_name}; supported diffusers classes are {', '.join(_FOLDER_CLASSES)}."
        )
    try:
        module, info = getattr(_diffusers(), class_name).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, torch_dtype=torch.float32, output_loading_info=True
        )
        # diffusers leaves missing weights at random values and only logs it.
        if info["missing_keys"]:
            raise ValueError(f"its weights lack {', '.join(sorted(info['missing_keys'])[:3])}")
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UnknownAutoencoderError(f"The diffusers folder {folder} cannot be loaded: {reason}") from None
    return _FOLDER_CLASSES[class_name](module, name)
