"""Small decoders of the architectures that real VAEs have, as test beds: trained here, never shipped.

    python benchmarks/test_beds.py --minutes 12     # resumable: interrupt and repeat

``kl``: AutoencoderKL, 8 pixels a cell, 16 channels, GroupNorm, attention in the middle; ``kl4``: with 4 channels;
``packed``: the same with 2×2 cells in the channels of one, as Flux.2 has; ``vq``: a vector-quantised one of 4 pixels a
cell; ``f16``: 16 pixels a cell; ``causal``: convolutions in time, on single frames. What could break a score made of
shifted crops are global normalisation and attention, and those are in all of them. Trained on the free pictures of the
data folder but those held out, on random crops by mean square and absolute error, from a fixed seed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderKLWan, VQModel
from latent_tracer.core import ModuleAutoencoder
from latent_tracer.core.storage.atomic import write_bytes
from PIL import Image
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from common import DATA, REPOSITORY, write_json  # isort: skip
from muon import Muon

FOLDER = REPOSITORY / "benchmarks" / "results" / "test-beds"
# Never trained on: quality is told on these, and benchmarks take their pictures from them first.
HELD_OUT = ("kodim04", "kodim07", "kodim13", "kodim14", "kodim15", "kodim16", "coffee", "chelsea", "astronaut",
            "tmshre_riaphotographs_srgb8", "motorcycle_left", "motorcycle_right")  # fmt: skip
# Crops of 64² left 0.8 dB more on pictures held out than of 96², in the same time.
CROP, BATCH, SEED, RATE, MUON_RATE = 64, 6, 11, 2e-3, 2e-2


def _kl(widths: tuple[int, ...], channels: int) -> nn.Module:
    blocks = len(widths)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=8,
    )


def _vq() -> nn.Module:
    return VQModel(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        num_vq_embeddings=2048,
        vq_embed_dim=4,
        norm_num_groups=8,
    )


def _causal() -> nn.Module:
    return AutoencoderKLWan(base_dim=16, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=1)


BEDS: dict[str, Callable[[], nn.Module]] = {
    "kl": lambda: _kl((16, 32, 64, 64), 16),
    "kl4": lambda: _kl((16, 32, 64, 64), 4),
    "packed": lambda: _kl((16, 32, 64, 64), 8),
    "vq": _vq,
    "f16": lambda: _kl((16, 32, 64, 64, 64), 32),
    "causal": _causal,
}


def coders(name: str, module: nn.Module) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Encoder and decoder between pictures in [0,1] and latents of one ``module`` of :data:`BEDS`."""

    def encode(images: Tensor) -> Tensor:
        scaled = 2 * images - 1
        if name == "causal":
            return module.encode(scaled[:, :, None]).latent_dist.mode()[:, :, 0]
        encoded = module.encode(scaled)
        latents = encoded.latents if name == "vq" else encoded.latent_dist.mode()
        return F.pixel_unshuffle(latents, 2) if name == "packed" else latents

    def decode(latents: Tensor) -> Tensor:
        if name == "packed":
            latents = F.pixel_shuffle(latents, 2)
        if name == "causal":
            return (module.decode(latents[:, :, None]).sample[:, :, 0] + 1) / 2
        return (module.decode(latents).sample + 1) / 2

    return encode, decode


def load_bed(name: str) -> ModuleAutoencoder:
    """A trained test bed; raises FileNotFoundError for one that was not trained."""
    module = BEDS[name]()
    module.load_state_dict({key: value.float() for key, value in load_file(FOLDER / f"{name}.safetensors").items()})
    return ModuleAutoencoder(name, module, *coders(name, module))


def pictures() -> tuple[list[Tensor], list[Tensor]]:
    """Pictures ``[3,H,W]`` in [0,1] to train on, each at full and half size, and those held out."""
    training, held_out = [], []
    for path in sorted((DATA / "images").rglob("*")):
        if path.suffix not in {".png", ".jpg"}:
            continue
        picture = Image.open(path).convert("RGB")
        for longest in (768, 384):
            scale = min(1.0, longest / max(picture.size))
            small = picture.resize([max(CROP, round(side * scale)) for side in picture.size], Image.Resampling.LANCZOS)
            pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255
            if path.stem not in HELD_OUT:
                training.append(pixels)
            elif longest == 384:
                held_out.append(pixels[:, : pixels.shape[1] // 16 * 16, : pixels.shape[2] // 16 * 16])
    return training, held_out


def train(name: str, minutes: float, training: list[Tensor], held_out: list[Tensor]) -> None:
    """Until so many ``minutes`` of processor time are spent in all, by what the last run left."""
    torch.manual_seed(SEED)
    module = BEDS[name]()
    encode, decode = coders(name, module)
    matrices, rest = [], []
    for key, parameter in module.named_parameters():
        # A code book is no matrix that acts on anything.
        is_other = parameter.ndim == 1 or any(part in key for part in ("conv_in", "conv_out", "embedding"))
        (rest if is_other else matrices).append(parameter)
    optimisers = {
        MUON_RATE: Muon(matrices, MUON_RATE),
        RATE: torch.optim.AdamW(rest, RATE, betas=(0.9, 0.99), weight_decay=0.0),
    }
    resume = FOLDER.parent / "partial" / f"test-bed-{name}.pt"
    step, spent = 0, 0.0
    if resume.exists():
        held = torch.load(resume, weights_only=True)
        module.load_state_dict(held["module"])
        for optimiser, state in zip(optimisers.values(), held["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        step, spent = held["step"], held["spent"]
    rng = np.random.default_rng([SEED, step])
    began = time.process_time()

    def done() -> float:
        return (spent + time.process_time() - began) / (60 * minutes)

    while done() < 1:
        crops = []
        for _ in range(BATCH):
            pixels = training[rng.integers(len(training))]
            top, left = (int(rng.integers(side - CROP + 1)) for side in pixels.shape[-2:])
            crop = pixels[:, top : top + CROP, left : left + CROP]
            crops.append(crop.flip(-1) if rng.random() < 0.5 else crop)
        target = torch.stack(crops)
        commitment: Tensor | float = 0.0
        if name == "vq":
            decoded = module.decode(encode(target))
            error, commitment = (decoded.sample + 1) / 2 - target, 0.1 * decoded.commit_loss.mean()
        else:
            error = decode(encode(target)) - target
        loss = error.square().mean() + 0.1 * error.abs().mean() + commitment
        module.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        for rate, optimiser in optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = rate * max(0.02, 1 - done()) ** 0.7
            optimiser.step()
        step += 1
        if step % 100 == 0 or done() >= 1:
            resume.parent.mkdir(parents=True, exist_ok=True)
            states = [optimiser.state_dict() for optimiser in optimisers.values()]
            held = {"module": module.state_dict(), "optimisers": states, "step": step}
            torch.save(held | {"spent": spent + time.process_time() - began}, resume)
            print(f"{name}: step {step}, {100 * done():.0f} %, loss {loss.item():.4f}", flush=True)
    module.eval()
    with torch.no_grad():
        errors = [(decode(encode(one[None])).clamp(0, 1) - one).square().mean().item() for one in held_out]
    quality = float(np.mean([-10 * np.log10(error) for error in errors]))
    write_bytes(FOLDER / f"{name}.safetensors", save({k: v.half() for k, v in module.state_dict().items()}))
    write_json(FOLDER / f"{name}.json", {"steps": step, "minutes": minutes, "seed": SEED, "held_out_db": quality})
    print(f"{name}: {quality:.2f} dB on {len(held_out)} pictures held out", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beds", default=",".join(BEDS))
    parser.add_argument("--minutes", type=float, default=12, help="of processor time for each")
    arguments = parser.parse_args()
    Path(FOLDER).mkdir(parents=True, exist_ok=True)
    training, held_out = pictures()
    for name in arguments.beds.split(","):
        train(name, arguments.minutes, training, held_out)


if __name__ == "__main__":
    main()
