"""What does one inversion step of a Stable-Diffusion-size decoder keep in memory?

Three ways: as PyTorch does it, without the inputs of frozen convolutions (our default), and with recomputed blocks
besides (where memory is tight).

Random weights: they change neither time nor memory. On a GPU the allocator's peak counts, on the CPU the bytes of the
tensors alive (workspaces inside one operation are not seen); 1024² is then extrapolated from the two largest sizes,
for activations grow with the number of pixels.

    python benchmarks/memory.py --sizes 256,384,512 --json memory.json

And a verdict, which keeps nothing for a backward pass and looks at windows of large pictures:

    python benchmarks/memory.py --verdicts taesd --sizes 1000,2000,4000,10000
    python benchmarks/memory.py --verdicts random --sizes 1024,2048,4096
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from common import decoder, write_json
from diffusers import AutoencoderKL
from latent_tracer.core import ModuleAutoencoder, Picture, Tracer
from latent_tracer.core.inversion.frozen_convolution import frozen_convolutions
from latent_tracer.core.inversion.memory import PeakMemory, block_checkpointing
from latent_tracer.core.inversion.objective import Objective
from latent_tracer.core.profiles import Grid
from latent_tracer.core.scores import decoder_grid

GIB = 2**30
GOAL_SIDE = 1024
WAYS = ("naive", "frozen", "recomputed")


def stable_diffusion_size(device: str) -> ModuleAutoencoder:
    """The architecture of Stable Diffusion's first stage: 4 latent channels, 49 million weights in the decoder."""
    torch.manual_seed(0)
    module = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        layers_per_block=2,
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    ).to(device)
    return ModuleAutoencoder(
        "random weights, Stable Diffusion's size",
        module,
        lambda images: module.encode(2 * images - 1).latent_dist.mean,
        lambda latents: (module.decode(latents).sample + 1) / 2,
    )


def measure(autoencoder: ModuleAutoencoder, side: int, way: str) -> dict[str, Any]:
    """Peak bytes beyond weights and image, and seconds, of one evaluation with gradient."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, side, side, generator=generator)
    latents = torch.randn(1, 4, side // 8, side // 8, generator=generator).to(autoencoder.device)
    objective = Objective(autoencoder, image)
    began = time.perf_counter()
    with ExitStack() as stack:
        if way != "naive":
            stack.enter_context(frozen_convolutions(autoencoder.module))
        if way == "recomputed":
            stack.enter_context(block_checkpointing(autoencoder.module))
        memory = stack.enter_context(PeakMemory(autoencoder.device))
        objective.evaluate(latents)
    return {"side": side, "way": way, "peak_bytes": memory.peak,
            "seconds": round(time.perf_counter() - began, 2)}  # fmt: skip


def measure_verdict(autoencoder: ModuleAutoencoder, side: int) -> dict[str, Any]:
    """Peak bytes beyond weights and picture, and seconds, of one answer about a picture of noise with an edge."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(1, 3, 64, 64, generator=generator).repeat(1, 1, side // 64 + 1, side // 64 + 1)
    picture = Picture.of(pixels[..., :side, :side].contiguous())
    del pixels
    traced = Tracer(autoencoder).trace(picture)
    return {"side": side, "peak_bytes": traced.peak_bytes, "seconds": round(traced.seconds, 1),
            "stage": traced.verdict.stage}  # fmt: skip


def extrapolated(rows: list[dict[str, Any]], way: str) -> float | None:
    """Peak bytes at 1024² on the line through the two largest sizes, over the number of pixels."""
    known = sorted((r["side"] ** 2, r["peak_bytes"]) for r in rows if r["way"] == way)[-2:]
    if len(known) < 2:
        return None
    (x0, y0), (x1, y1) = known
    return y1 + (y1 - y0) / (x1 - x0) * (GOAL_SIDE**2 - x1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="128² and 192²")
    parser.add_argument("--sizes", default="256,384,512")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--verdicts", help="a decoder of the data folder, or random: measure verdicts instead")
    args = parser.parse_args()
    if args.verdicts:
        model = stable_diffusion_size(args.device)
        if args.verdicts != "random":
            model = decoder(args.verdicts)
            model.module.to(args.device)
        else:  # random weights have no grid to measure, and it changes nothing about memory
            decoder_grid._measured[model.fingerprint, model.spatial_ratio] = Grid(model.spatial_ratio)
        for side in map(int, args.sizes.split(",")):
            row = measure_verdict(model, side)
            print(f"{side}²: {row['peak_bytes'] / GIB:.3f} GiB, {row['seconds']} s, {row['stage']}", flush=True)
        return
    autoencoder = stable_diffusion_size(args.device)
    rows = []
    for side in map(int, ("128,192" if args.quick else args.sizes).split(",")):
        for way in WAYS:
            rows.append(measure(autoencoder, side, way))
            print(f"{side}², {way}: {rows[-1]['peak_bytes'] / GIB:.2f} GiB, {rows[-1]['seconds']} s", flush=True)
    result = {"device": args.device, "rows": rows, "at_1024": {way: extrapolated(rows, way) for way in WAYS}}
    for name, value in result["at_1024"].items():
        print(f"1024², {name}: {'unknown' if value is None else f'{value / GIB:.2f} GiB (extrapolated)'}")
    write_json(args.json, result)


if __name__ == "__main__":
    main()
