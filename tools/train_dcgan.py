"""Train a further generator of the 32×32 DCGAN architecture, for the origin benchmark.

Same architecture as the published face generator, other data and seed: what it makes must not be taken for that one's.
Non-saturating GAN loss, Adam 2e-4 (0.5, 0.999), batches of 32; nothing else to tune. Quality is no aim, a varied range
is. Every second picture of the folder is trained on, the others stay unseen and serve as real images.

    python tools/train_dcgan.py --seed 1 --images ../shared/images/real --output photos-1.safetensors
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from latent_tracer.core.models.dcgan import DCGAN32, INPUTS
from latent_tracer.core.storage.atomic import write_bytes
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import Conv2d

SIDE, BATCH = 32, 32


def pictures_of(folder: Path, unseen: bool) -> list[Path]:
    """Every second picture of ``folder``: those trained on, or the ``unseen`` others."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".png", ".jpg"})
    return paths[int(unseen) :: 2]


def load(path: Path, longest: int = 160) -> Tensor:
    """One picture ``[3,H,W]`` in [-1,1], small enough that a crop of 32² shows more than a texture."""
    picture = Image.open(path).convert("RGB")
    scale = longest / max(picture.size)
    size = tuple(max(SIDE, round(side * scale)) for side in picture.size)
    return torch.from_numpy(np.array(picture.resize(size, Image.Resampling.LANCZOS))).permute(2, 0, 1) / 127.5 - 1


def random_crops(pictures: list[Tensor], count: int, rng: np.random.Generator) -> Tensor:
    crops = []
    for _ in range(count):
        picture = pictures[rng.integers(len(pictures))]
        top, left = (rng.integers(side - SIDE + 1) for side in picture.shape[1:])
        crop = picture[:, top : top + SIDE, left : left + SIDE]
        crops.append(crop.flip(-1) if rng.random() < 0.5 else crop)
    return torch.stack(crops)


def discriminator() -> nn.Module:
    return nn.Sequential(
        Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2),
        Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
        Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(0.2),
        Conv2d(128, 1, 4),
    )  # fmt: skip


def train(seed: int, pictures: list[Tensor], steps: int) -> DCGAN32:
    """Deterministic in its arguments on one machine with one thread."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    generator, critic = DCGAN32(), discriminator()
    for module in (*generator.modules(), *critic.modules()):
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0, 0.02)
    settings = {"lr": 2e-4, "betas": (0.5, 0.999)}
    of_generator = torch.optim.Adam(generator.parameters(), **settings)
    of_critic = torch.optim.Adam(critic.parameters(), **settings)
    for step in range(steps):
        real = random_crops(pictures, BATCH, rng)
        made = generator(torch.rand(BATCH, INPUTS) * 2 - 1)
        # One-sided label smoothing (Salimans et al. 2016) keeps the critic from winning at once.
        loss = F.softplus(-critic(real)).mean() * 0.9 + F.softplus(critic(real)).mean() * 0.1
        loss = loss + F.softplus(critic(made.detach())).mean()
        of_critic.zero_grad()
        loss.backward()
        of_critic.step()
        fooling = F.softplus(-critic(made)).mean()
        of_generator.zero_grad()
        fooling.backward()
        of_generator.step()
        if step % 250 == 0:
            print(f"step {step}: critic {float(loss):.3f}, generator {float(fooling):.3f}", flush=True)
    return generator.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    began = time.perf_counter()
    pictures = [load(path) for path in pictures_of(arguments.images, unseen=False)]
    generator = train(arguments.seed, pictures, arguments.steps)
    with torch.no_grad():
        made = generator(torch.rand(256, INPUTS, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    facts = {
        "seed": arguments.seed,
        "steps": arguments.steps,
        "pictures": len(pictures),
        "seconds": round(time.perf_counter() - began),
        "deviation_between_images": round(float(made.std(0).mean()), 4),
    }
    write_bytes(arguments.output, save(generator.state_dict(), {"training": json.dumps(facts)}))
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
