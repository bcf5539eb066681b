"""Load an autoencoder outside ComfyUI: architectures from diffusers, weights from local files, never the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Conv2d, GroupNorm

from ..errors import UnknownAutoencoderError, UnsupportedAutoencoderError
from ..storage.safe_text import clean_text
from . import vae_layouts
from .autoencoder import ModuleAutoencoder
from .device import usable_device
from .diffusers_folder import network_from, read_json
from .weight_files import MISFITS, PICKLED, StoredTensor, WeightFileError, fill, open_weights, shortened

# A folder of weights only, since ComfyUI lists it beside the user's own VAEs: under names that no user's file has, and
# last, because Load VAE offers the first name before anybody chooses.
EMBEDDED = {
    name: Path(__file__).parent.parent / "embedded" / "vae" / f"zz-latent-tracer-{name}.safetensors"
    for name in ("demo-a", "demo-b")
}
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
    Raises :class:`UnknownAutoencoderError` with what was found instead, :class:`InvalidSettingError` for a device that
    cannot be used. Needs ``diffusers``.
    """
    place = usable_device(device)
    try:
        path = EMBEDDED.get(str(spec), Path(spec).expanduser())
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, RuntimeError) as error:  # names that are too long, homes that do not exist
        raise UnknownAutoencoderError(f"{spec} cannot be opened ({shortened(error)}): check its name.") from None
    name = str(spec) if str(spec) in EMBEDDED else path.stem if is_file else path.name
    with torch.inference_mode(False):
        try:
            if is_folder:
                autoencoder = _load_diffusers_folder(path, name)
            else:
                stored = vae_layouts.strip_checkpoint_prefix(open_weights(path)) if is_file else _open_pair(path)
                autoencoder = _build(stored, name, str(path))
        except WeightFileError as error:
            raise UnknownAutoencoderError(str(error)) from None
        autoencoder.module.to(place)
        _check_that_it_runs(autoencoder, str(path))
    return autoencoder


def _open_pair(prefix: Path) -> dict[str, StoredTensor]:
    stored: dict[str, StoredTensor] = {}
    for part in ("encoder", "decoder"):
        stem = f"{prefix.name}_{part}"
        path = prefix.parent / f"{stem}.safetensors"
        if not path.is_file():
            pickled = next((n for n in (f"{stem}.pth", f"{stem}.pt") if (prefix.parent / n).is_file()), None)
            found = f" ({pickled} is {PICKLED})" if pickled else ""
            raise UnknownAutoencoderError(
                f"There is no autoencoder at {prefix}: neither a file or folder of that name nor {path.name}{found};"
                f" supported are {SUPPORTED}."
            )
        stored |= {f"taesd_{part}.{key}": value for key, value in open_weights(path).items()}
    return stored


def _build(stored: Mapping[str, StoredTensor], name: str, where: str) -> ModuleAutoencoder:
    layout = vae_layouts.recognise(stored)
    if layout is None:
        raise UnknownAutoencoderError(
            f"No supported autoencoder in {where}: found {vae_layouts.describe(stored)}; supported are {SUPPORTED}."
        )
    try:
        if layout.startswith("taesd"):
            return _tiny(_fill_tiny(vae_layouts.to_diffusers_tiny(stored)), name)
        renamed = vae_layouts.to_diffusers_kl(stored)
        config, network = vae_layouts.kl_config(renamed), _network("AutoencoderKL")
        return _kl(fill(lambda: network(**config), renamed), name)
    except WeightFileError as error:
        raise UnknownAutoencoderError(
            f"{where} looks like a {layout} autoencoder but its weights do not fit that architecture: {error}."
        ) from None


def _check_that_it_runs(autoencoder: ModuleAutoencoder, where: str) -> None:
    """One small picture through encoder and decoder, as its digest takes anyway."""
    config: Any = autoencoder.module.config
    try:
        runs = bool(autoencoder.fingerprint) and (config.in_channels, config.out_channels) == (3, 3)
        reason = f"it takes {config.in_channels} channels and makes {config.out_channels}, not RGB pictures"
    except MISFITS as error:
        runs, reason = False, shortened(error)
    if not runs:
        raise UnknownAutoencoderError(f"The autoencoder in {where} cannot be run: {reason}.")


def _network(name: str) -> Any:
    """A class of diffusers."""
    try:
        import diffusers  # an extra: only loading outside ComfyUI needs it

        return getattr(diffusers, name)
    except (ImportError, RuntimeError):  # none, or one whose own parts are missing
        raise UnsupportedAutoencoderError(
            "Loading an autoencoder outside ComfyUI needs diffusers: pip install 'latent-tracer[cli]'."
        ) from None


def _fill_tiny(stored: Mapping[str, StoredTensor]) -> nn.Module:
    first = stored["decoder.layers.0.weight"].shape
    if len(first) != 4:
        raise WeightFileError("decoder.layers.0.weight is no convolution")
    pooled, network = vae_layouts.pooled_blocks(stored), _network("AutoencoderTiny")

    def build() -> nn.Module:
        module: nn.Module = network(latent_channels=first[1])
        for path in pooled:
            parent, _, index = path.rpartition(".")
            layers: Any = module.get_submodule(parent)
            layers[int(index)] = PooledBlock(layers[int(index)], channels=64)
        return module

    # The pool wraps the block that diffusers has: its own parameters move one level down.
    renamed = {}
    for key, value in stored.items():
        owner = ".".join(key.split(".")[:3])
        inner = owner in pooled and not key.startswith(f"{owner}.pool.")
        renamed[f"{owner}.block{key[len(owner) :]}" if inner else key] = value
    return fill(build, renamed)


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
    places = (folder, *(folder / inner for inner in ("vae", "movq", "vqvae")))
    place = next((place for place in places if (place / "config.json").is_file()), None)
    if place is None:
        raise UnknownAutoencoderError(f"The folder {folder} has no config.json; supported are {SUPPORTED}.")
    config = read_json(place / "config.json")
    class_name = config.get("_class_name")
    if not isinstance(class_name, str) or class_name not in _FOLDER_CLASSES:
        raise UnknownAutoencoderError(
            f"{place} holds a {clean_text(str(class_name), 60)}; supported diffusers classes are"
            f" {', '.join(_FOLDER_CLASSES)}."
        )
    try:
        module = network_from(_network(class_name), config, place)
    except WeightFileError as error:
        raise UnknownAutoencoderError(
            f"The diffusers folder {place} cannot be loaded: {str(error).rstrip('.')}."
        ) from None
    return _FOLDER_CLASSES[class_name](module, name)
