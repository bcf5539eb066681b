"""Train one of the two small autoencoders that the project ships for its demo and tests.

The file it writes is in the single-file TAESD layout (``taesd_encoder.*`` / ``taesd_decoder.*``, 64 channels wide), so
the same file loads in ComfyUI's ``VAELoader`` and, renamed, in diffusers' ``AutoencoderTiny``. Trained with a plain
mean squared error on random crops: nothing perceptual, no discriminator, so that the result depends on nothing but the
images, the seed and the number of steps.

    python tools/train_demo_autoencoder.py --seed 1 --output core/embedded/vae/zz-latent-tracer-demo-a.safetensors
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from latent_tracer.core.storage.atomic import write_bytes
from PIL import Image
from safetensors.torch import save
from torch import autocast

# Never trained on: the reconstruction quality is reported on these.
HELD_OUT = ("kodim13", "kodim14", "kodim15", "kodim16", "coffee", "chelsea", "u76c0g_bliznaca_srgb8")
# Scans, microscopy and pure textures are poor teachers for photographs.
UNSUITABLE = ("cell", "retina", "ihc", "moon", "hubble_deep_field", "coins", "camera", "flower.png.im_q85_444")
LATENT_CHANNELS = 8


def load_images(folder: Path) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Training and held-out pictures as float ``[3,H,W]`` in [0,1]; each training picture at full and half size."""
    training: list[torch.Tensor] = []
    held_out: list[torch.Tensor] = []
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".png", ".jpg"})
    for path in paths:
        if path.stem in UNSUITABLE:
            continue
        picture = Image.open(path).convert("RGB")
        if path.stem in HELD_OUT:
            held_out.append(to_tensor(picture))
            continue
        # A smaller copy has more detail per pixel, and no picture may crowd the others out.
        for longest in (768, 384):
            scale = min(1.0, longest / max(picture.size))
            size = tuple(max(96, round(side * scale)) for side in picture.size)
            training.append(to_tensor(picture.resize(size, Image.Resampling.LANCZOS)))
    return training, held_out


def to_tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


def random_crops(pictures: list[torch.Tensor], count: int, size: int, rng: np.random.Generator) -> torch.Tensor:
    """``[count,3,size,size]``: uniformly over pictures, then over positions, mirrored half of the time."""
    crops = []
    for _ in range(count):
        picture = pictures[rng.integers(len(pictures))]
        top = rng.integers(picture.shape[1] - size + 1)
        left = rng.integers(picture.shape[2] - size + 1)
        crop = picture[:, top : top + size, left : left + size]
        crops.append(crop.flip(-1) if rng.random() < 0.5 else crop)
    return torch.stack(crops)


def build_model(seed: int, pictures: list[torch.Tensor]) -> AutoencoderTiny:
    """A TAESD-shaped network whose encoder starts as the linear map to the principal components of 8×8 patches.

    From random weights a few thousand steps are not enough; from this start the decoder learns from meaningful latents
    at once. Each seed rotates the components differently, so that two models do not share a latent space.
    """
    torch.manual_seed(seed)
    model = AutoencoderTiny(latent_channels=LATENT_CHANNELS)
    for name, parameter in model.named_parameters():
        if name.endswith("conv.4.weight") or name.endswith("conv.4.bias"):
            parameter.data.zero_()  # every residual block starts as the identity
    for layer in model.decoder.layers:
        if isinstance(layer, torch.nn.Conv2d) and layer.in_channels == layer.out_channels:
            layer.weight.data.mul_(0.5)
            layer.weight.data[:, :, 1, 1] += torch.eye(64)
    with torch.no_grad():
        start_encoder_at_principal_components(model.encoder.layers, pictures, seed)
    return model


def start_encoder_at_principal_components(layers: torch.nn.Sequential, pictures: list[torch.Tensor], seed: int) -> None:
    crops = random_crops(pictures, 400, 64, np.random.default_rng(seed))
    patches = torch.nn.functional.pixel_unshuffle(crops, 8).permute(0, 2, 3, 1).reshape(-1, 192)
    mean = patches.mean(0)
    _, deviations, components = torch.linalg.svd(patches - mean, full_matrices=False)
    rotation = torch.linalg.qr(torch.randn(LATENT_CHANNELS, LATENT_CHANNELS))[0]
    whitening = components[:LATENT_CHANNELS] / deviations[:LATENT_CHANNELS, None] * len(patches) ** 0.5
    projection = rotation @ whitening  # [C,192], unit variance in every direction

    convolutions = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    first, halve1, halve2, halve3, last = convolutions
    for convolution in convolutions:
        convolution.weight.mul_(0.2)
    first.weight[:3] = 0
    first.bias[:3] = 0
    for channel in range(3):
        first.weight[channel, channel, 1, 1] = 1
    # Pixels are not negative, so rearranging them into channels passes every ReLU unchanged.
    for halve, channels in ((halve1, 3), (halve2, 12)):
        halve.weight[: 4 * channels] = 0
        for channel in range(channels):
            for down in (0, 1):
                for right in (0, 1):
                    halve.weight[4 * channel + 2 * down + right, channel, 1 + down, 1 + right] = 1
    # Components are signed and the next layer is a ReLU: keep the positive and the negative part apart.
    signed = torch.zeros(LATENT_CHANNELS, 64, 3, 3)
    for source in range(48):
        channel, fine, coarse = source // 16, (source // 4) % 4, source % 4
        for down in (0, 1):
            for right in (0, 1):
                row = fine // 2 + 2 * (coarse // 2) + 4 * down
                column = fine % 2 + 2 * (coarse % 2) + 4 * right
                signed[:, source, 1 + down, 1 + right] = projection[:, channel * 64 + row * 8 + column]
    halve3.weight[: 2 * LATENT_CHANNELS] = torch.cat([signed, -signed])
    last.weight.zero_()
    for channel in range(LATENT_CHANNELS):
        last.weight[channel, channel, 1, 1] = 1
        last.weight[channel, LATENT_CHANNELS + channel, 1, 1] = -1
    last.bias.copy_(-projection @ mean)


@torch.no_grad()
def held_out_psnr(model: AutoencoderTiny, pictures: list[torch.Tensor], size: int = 256) -> float:
    """Mean PSNR in dB of the central ``size``² crops after encode and decode."""
    model.eval()
    values = []
    for picture in pictures:
        top, left = (picture.shape[1] - size) // 2, (picture.shape[2] - size) // 2
        crop = picture[None, :, top : top + size, left : left + size]
        decoded = (model.decoder(model.encoder(crop * 2 - 1)) + 1) / 2
        values.append(-10 * math.log10((decoded.clamp(0, 1) - crop).square().mean().item()))
    model.train()
    return float(np.mean(values))


def taesd_state(model: AutoencoderTiny) -> dict[str, torch.Tensor]:
    """The weights under ComfyUI's names: the decoder's list there begins with a clamp, hence the shift."""
    state = {}
    for key, value in model.state_dict().items():
        part, _, rest = key.partition(".layers.")
        index, _, tail = rest.partition(".")
        shift = 1 if part == "decoder" else 0
        state[f"taesd_{part}.{int(index) + shift}.{tail}"] = value.to(torch.float16).contiguous()
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("LATENT_TRACER_DATA", Path(__file__).resolve().parents[2] / "shared"))
    parser.add_argument("--images", type=Path, default=data / "images")
    parser.add_argument("--seed", type=int, required=True, help="initial weights and the order of the crops")
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    training, held_out = load_images(args.images)
    rng = np.random.default_rng(args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_model(args.seed, training).to(device, memory_format=torch.channels_last)
    held_out = [picture.to(device) for picture in held_out]
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, betas=(0.9, 0.98), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.learning_rate, args.steps, pct_start=0.1)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))

    began = time.time()
    recent: list[float] = []
    for step in range(args.steps):
        crops = random_crops(training, args.batch, args.crop, rng).to(device, memory_format=torch.channels_last)
        with autocast(device.type, torch.bfloat16):
            latents = model.encoder(crops * 2 - 1)
            decoded = (model.decoder(latents) + 1) / 2
        # The decoder squashes its input with 3·tanh(z/3); a faint pull keeps latents where that is nearly linear.
        loss = (decoded.float() - crops).square().mean() + 1e-5 * latents.float().square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimiser.step()
        schedule.step()
        average.update_parameters(model)
        recent.append(loss.item())
        if (step + 1) % 250 == 0:
            psnr = held_out_psnr(average.module, held_out)
            minutes = (time.time() - began) / 60
            print(
                f"step {step + 1:5d}  loss {np.mean(recent[-100:]):.5f}  held-out {psnr:.2f} dB  {minutes:.1f} min",
                flush=True,
            )

    psnr = held_out_psnr(average.module, held_out)
    record = {
        "seed": args.seed,
        "steps": args.steps,
        "batch": args.batch,
        "crop": args.crop,
        "held_out_psnr_db": round(psnr, 2),
        "held_out": HELD_OUT,
        "training_pictures": len(training),
    }
    write_bytes(args.output, save(taesd_state(average.module), {"latent_tracer": json.dumps(record)}))
    print(f"wrote {args.output} ({args.output.stat().st_size / 1e6:.2f} MB), held-out PSNR {psnr:.2f} dB")


if __name__ == "__main__":
    main()
