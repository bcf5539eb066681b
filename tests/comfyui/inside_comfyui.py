"""Run by ComfyUI's own Python inside its folder: compares the pack's clone of a VAE with independent computations.

    python inside_comfyui.py COMFYUI PACK WEIGHTS OUTPUT

Everything runs under ``torch.inference_mode()``, as in a graph. Measures only; ``test_clone_of_the_vae.py`` judges.
"""

# ruff: noqa: E402
from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMFYUI, PACK, WEIGHTS, OUTPUT = (Path(argument).resolve() for argument in sys.argv[1:5])
sys.path.insert(0, str(COMFYUI))
sys.argv = [sys.argv[0], "--cpu"]

import comfy.options

comfy.options.enable_args_parsing()

import comfy.ldm.wan.vae
import comfy.model_management
import comfy.sd
import comfy.utils
import folder_paths
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from comfy.taesd.taesd import TAESD
from comfy_api.latest import io
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import Conv2d

import nodes

spec = importlib.util.spec_from_file_location(
    "latent_tracer", PACK / "__init__.py", submodule_search_locations=[str(PACK)]
)
assert spec is not None and spec.loader is not None
latent_tracer = importlib.util.module_from_spec(spec)
sys.modules["latent_tracer"] = latent_tracer
spec.loader.exec_module(latent_tracer)

from latent_tracer.core import Picture, Tracer, invert, synthetic_photograph
from latent_tracer.core.scores.decoder_grid import grid_of
from latent_tracer.nodes import comfy_adapter
from latent_tracer.nodes.attribute import AttributeImage
from latent_tracer.nodes.invert import InvertLatent
from latent_tracer.nodes.outcome import stack
from latent_tracer.nodes.trace_image import TraceImage

TAESD_NAMES = ("taesd", "taesdxl", "taesd3", "taef1", "taef2")
KL_CONFIG = {
    "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
    "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
}  # fmt: skip
WAN_CONFIG = {
    "dim": 16, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_scales": [],
    "temperal_downsample": [False, True, True], "dropout": 0.0,
}  # fmt: skip

Decode = Callable[[Tensor], Tensor]


class Squash(nn.Module):
    def forward(self, latents: Tensor) -> Tensor:
        return torch.tanh(latents / 3) * 3


class ResidualBlock(nn.Module):
    """TAESD's block, written from the paper's description with plain torch layers."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = (Conv2d(64, 64, 3, padding=1) for _ in range(3))
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.conv(features) + features)


def plain_taesd(name: str, scale: float, shift: float) -> Decode:
    """TAESD's decoder in ordinary torch, its weights read from the file again, for VAELoader's unscaled latents."""
    state = load_file(WEIGHTS / f"{name}_decoder.safetensors")
    layers: list[nn.Module] = [Squash(), Conv2d(state["1.weight"].shape[1], 64, 3, padding=1), nn.ReLU()]
    for _ in range(3):
        layers += [ResidualBlock(), ResidualBlock(), ResidualBlock(), nn.Upsample(scale_factor=2)]
        layers += [Conv2d(64, 64, 3, padding=1, bias=False)]
    layers += [ResidualBlock(), Conv2d(64, 3, 3, padding=1)]
    module = nn.Sequential(*layers)
    module.load_state_dict({key: value.float() for key, value in state.items()})
    return lambda latents: module((latents - shift) * scale)


def comfy_taef2() -> Decode:
    """ComfyUI's class with weights loaded the ordinary way, outside inference mode and model management."""
    state = {}
    for part in ("encoder", "decoder"):
        for key, value in load_file(WEIGHTS / f"taef2_{part}.safetensors").items():
            state[f"taesd_{part}.{key}"] = value.float()
    module = TAESD(latent_channels=128)
    module.load_state_dict(state, strict=False)
    return lambda latents: (module.decode(latents) + 1) / 2


def random_weights(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """A state dict of ``module`` that keeps activations in a natural range."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, value in module.state_dict().items():
        if value.ndim >= 2 and not key.endswith("gamma"):
            spread = value[0].numel() ** -0.5
            state[key] = torch.randn(value.shape, generator=generator) * spread
        else:
            state[key] = torch.ones(value.shape) if key.endswith(("weight", "gamma")) else torch.zeros(value.shape)
    return state


def loss_gradient(decode: Decode, latents: Tensor, target: Tensor) -> Tensor:
    with torch.inference_mode(False), torch.enable_grad():
        variable = latents.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((decode(variable) - target).square().mean(), variable)
        return gradient


def relative(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def weights_digest(vae: Any) -> str:
    whole = hashlib.sha256()
    for key, value in sorted(vae.first_stage_model.state_dict().items()):
        whole.update(key.encode() + value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def compare(vae: Any, reference: Decode, image: Tensor, measure_grid: bool = False) -> dict[str, Any]:
    """One VAE against an independent decoder with the same weights. ``image`` ``[1,3,H,W]``."""
    before = weights_digest(vae)
    with comfy_adapter.inspected_model(vae, image.movedim(1, -1)) as autoencoder:
        module = weakref.ref(autoencoder.module)
        with torch.no_grad():
            latents = autoencoder.encode(image)
            decoded = autoencoder.decode(latents)
        clone_gradient = loss_gradient(autoencoder.decode, latents, image)
        facts = {
            "fingerprint": autoencoder.fingerprint,
            "spatial_ratio": autoencoder.spatial_ratio,
            "latent_shape": list(latents.shape),
            "dtype": str(autoencoder.dtype),
        }
        if measure_grid:
            grid = grid_of(autoencoder)
            facts["grid"] = [grid.period, grid.phase]
        trace = invert(autoencoder, image, solver="adam-paper", steps=4)
    del autoencoder
    comfy_latents = comfy_adapter.to_comfy_latents(latents, vae)["samples"]
    plain = vae.decode(comfy_latents).flatten(0, -4).movedim(-1, 1)
    with torch.inference_mode(False), torch.no_grad():
        expected = reference(latents.clone())
    encoded = vae.encode(image.movedim(1, -1))
    settings = {entry.id: entry.default for entry in InvertLatent.define_schema().inputs if hasattr(entry, "default")}
    settings |= {"vae": vae, "image": image.movedim(1, -1), "solver": "adam-paper", "steps": 2}
    node = InvertLatent.execute(**settings)
    node_latents, node_reconstruction = node.result[1:3]
    again = vae.decode(node_latents["samples"]).flatten(0, -4)
    return facts | {
        "comfy_latent_shape": list(comfy_latents.shape),
        "node_latent_shape": list(node_latents["samples"].shape),
        "node_image_shape": list(node_reconstruction.shape),
        "node_decode_difference": float((again - node_reconstruction).abs().max()),
        "encode_difference": relative(latents, encoded.reshape(latents.shape)),
        "decode_difference": float((decoded.clamp(0, 1) - plain).abs().max()),
        "reference_difference": float((decoded - expected).abs().max()),
        "outside_range": float(((decoded < 0) | (decoded > 1)).float().mean()),
        "gradient_difference": relative(clone_gradient, loss_gradient(reference, latents, image)),
        "gradient_size": float(clone_gradient.abs().max()),
        "losses": list(trace.loss_history[0]),
        "weights_unchanged": weights_digest(vae) == before,
        "gradients_left": sum(value.grad is not None for value in vae.first_stage_model.parameters()),
        "module_alive": module() is not None,
        "inference_mode": torch.is_inference_mode_enabled(),
    }


class Requests(list[int]):
    """Bytes of every request to ComfyUI to free memory, while the block runs; nothing is freed."""

    def __enter__(self) -> Requests:
        self.real = comfy.model_management.free_memory
        comfy.model_management.free_memory = lambda needed, *_, **__: self.append(int(needed))
        return self

    def __exit__(self, *failure: Any) -> None:
        comfy.model_management.free_memory = self.real


def in_a_graph(node: Any, **inputs: Any) -> io.NodeOutput:
    """``node`` as the server runs it, without a prompt around it."""
    hidden = {io.Hidden.unique_id: "1", io.Hidden.prompt: {"1": {"class_type": "node", "inputs": {}}}}
    clone: Any = node.PREPARE_CLASS_CLONE({"hidden_inputs": hidden})
    return clone.execute(**inputs)


def requests_of_a_verdict(vae: Any, side: int) -> dict[str, Any]:
    """What Trace Image and Attribute Image ask ComfyUI to free for a picture of ``side`` pixels, and what they take."""
    image = synthetic_photograph(6, side).movedim(1, -1)
    with Requests() as verdict:
        in_a_graph(TraceImage, vae=vae, image=image)
    with Requests() as attribution:
        in_a_graph(AttributeImage, image=image, vae_1=vae)
    with Requests() as explained:
        in_a_graph(TraceImage, vae=vae, image=image, explain=True, steps=1)
    with comfy_adapter.inspected_model(vae, image) as autoencoder:
        traced = Tracer(autoencoder).trace(Picture.of(image.movedim(-1, 1).clone()))
    return {"verdict": verdict, "attribution": attribution, "explained": explained, "peak": traced.peak_bytes}


def requests_at(vae: Any, side: int) -> dict[str, int]:
    """What the passes of a verdict and of an inversion ask for, no pass run."""
    image = torch.zeros(1, side, side, 3)
    with Requests() as forward, comfy_adapter.inspected_model(vae, image):
        pass
    with Requests() as backward:
        comfy_adapter.make_room(vae, image, backward=True)
    return {
        "forward": sum(forward),
        "backward": sum(backward),
        "comfyui": vae.memory_used_decode((1, 4, side // 8, side // 8), torch.float32),
    }


def bfloat16_fingerprint(vae: Any, **arguments: Any) -> tuple[str, str]:
    """Fingerprint and weight type of the same VAE as a card with bf16 holds it."""
    cast = comfy.sd.VAE(sd=vae.get_sd(), dtype=torch.bfloat16, **arguments)
    with comfy_adapter.inspected_model(cast) as autoencoder:
        return autoencoder.fingerprint, str(next(cast.first_stage_model.parameters()).dtype)


def taesd_facts(name: str) -> dict[str, Any]:
    loaded = nodes.VAELoader().load_vae(name)[0]
    scale, shift = (float(getattr(loaded.first_stage_model, f"vae_{part}")) for part in ("scale", "shift"))
    with torch.inference_mode(False):
        reference = comfy_taef2() if name == "taef2" else plain_taesd(name, scale, shift)
    facts = compare(loaded, reference, synthetic_photograph(3, 128)[..., :64, :96], measure_grid=True)
    facts["requests"] = requests_of_a_verdict(loaded, 96)
    facts["bfloat16"] = bfloat16_fingerprint(loaded, metadata={"tae_latent_channels": loaded.latent_channels})
    return facts


def kl_facts() -> dict[str, Any]:
    """SD's KL VAE at full size with random weights, stored in half precision as most downloads are."""
    with torch.inference_mode(False):
        module = AutoencoderKL(ddconfig=KL_CONFIG, embed_dim=4).eval()
        state = {key: value.half() for key, value in random_weights(module, 7).items()}
        module.load_state_dict({key: value.float() for key, value in state.items()})
    save_file(state, OUTPUT / "random_kl.safetensors")
    loaded = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(OUTPUT / "random_kl.safetensors")))
    facts = compare(loaded, lambda z: (module.decode(z) + 1) / 2, synthetic_photograph(4, 64))
    facts["bfloat16"] = bfloat16_fingerprint(loaded)
    facts["requests_at_1024"] = requests_at(loaded, 1024)
    return facts


def wan_facts() -> dict[str, Any]:
    """The VAE of Wan and Qwen-Image, narrowed, with random weights: its latents have a frame axis."""
    with torch.inference_mode(False):
        module = comfy.ldm.wan.vae.WanVAE(**WAN_CONFIG).eval()
        state = random_weights(module, 8)
        module.load_state_dict(state)
    loaded = comfy.sd.VAE(sd=state)
    return compare(loaded, lambda z: (module.decode(z[:, :, None])[:, :, 0] + 1) / 2, synthetic_photograph(5, 64))


def stacked_pictures() -> list[list[float]]:
    """The first column of red of two pictures of different heights, made one batch."""
    return stack([torch.full((1, 2, 3, 3), 0.5), torch.arange(1.0, 4).view(1, 3, 1, 1).repeat(1, 1, 3, 3)])[
        :, :, 0, 0
    ].tolist()


def main() -> None:
    folder_paths.set_temp_directory(str(OUTPUT / "temp"))
    folder_paths.add_model_folder_path("vae_approx", str(WEIGHTS), is_default=True)
    available = [name for name in TAESD_NAMES if name in nodes.VAELoader.vae_list(nodes.VAELoader)]
    with torch.inference_mode():
        facts = {name: taesd_facts(name) for name in available}
        facts["random_kl"] = kl_facts()
        facts["random_wan"] = wan_facts()
        facts["stacked_pictures"] = stacked_pictures()
    (OUTPUT / "measurements.json").write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
