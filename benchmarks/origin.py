"""How well does RONAN tell a generator's images from those of its siblings and from photographs? Resumable.

Three generators of one architecture (DCGAN at 32×32): the published face generator, and two trained by
``tools/train_dcgan.py`` on the same photographs from different seeds, the hardest siblings there can be. For each as
inspected model: images it made, images of its siblings, and 32² crops of pictures that none was trained on. A
calibration part sets profiles and Grubbs' thresholds, a separate part is judged. The second table repeats RONAN's case
study: a VAE decoder started at random, and from its encoder.

    python benchmarks/origin.py run --stage lm      # then adam, control, vae; interrupt and repeat at will
    python benchmarks/origin.py report
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import DATA, RESULTS, Rows, crop_of, decoder

from latent_tracer.core import (  # isort: skip
    AutoencoderGenerator, Generator, image_entropy, invert_inputs, load_generator, quantise,
)  # fmt: skip
from latent_tracer.core.calibration.origin import made_image
from latent_tracer.core.images.quantiser import ROUNDING_FLOOR, mean_squared_residual
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from train_dcgan import SIDE, load, pictures_of

CACHE = Path("~/.cache/latent_tracer").expanduser()
GENERATORS = {
    "faces": DATA / "weights" / "dcgan_celeba32.safetensors",
    "photographs-1": CACHE / "photographs-1.safetensors",
    "photographs-2": CACHE / "photographs-2.safetensors",
}
#: Images per source: numbers below CALIBRATION set thresholds, the others up to ALL are judged.
CALIBRATION, ALL = 20, 40
#: One batch holds so many numbers of every source.
ADAM_STEPS, ADAM_NUMBERS = 1500, 5
VAE, VAE_OTHER, VAE_SIDE, VAE_PICTURES = "taesd", "taesdxl", 64, 3


@dataclass(frozen=True)
class Case:
    """Image ``number`` of ``source`` under one inspected generator."""

    inspected: str
    source: str
    number: int

    @property
    def belongs(self) -> bool:
        return self.source == self.inspected

    @property
    def key(self) -> str:
        return f"{self.inspected}/{self.source}/{self.number}"


def real_images() -> list[Tensor]:
    """One 32² crop ``[1,3,32,32]`` of each picture no generator was trained on, prepared as the training crops were."""
    paths = pictures_of(DATA / "images" / "real", unseen=True)
    paths += sorted(p for p in (DATA / "images" / "generated").rglob("*") if p.suffix.lower() in {".png", ".jpg"})
    crops = []
    for path in sorted(paths, key=lambda p: hashlib.sha256(p.name.encode()).hexdigest()):
        rng = np.random.default_rng(int(hashlib.sha256(path.name.encode()).hexdigest()[:8], 16))
        picture = load(path)
        top, left = (int(rng.integers(side - SIDE + 1)) for side in picture.shape[1:])
        crops.append(quantise((picture[None, :, top : top + SIDE, left : left + SIDE].float() + 1) / 2))
    return crops


def cases() -> Iterator[Case]:
    """In an order of which every prefix is balanced."""
    for number in range(ALL):
        for inspected in GENERATORS:
            for source in (*GENERATORS, "real"):
                yield Case(inspected, source, number)


ROWS = Rows(RESULTS / "origin-rows.jsonl", ("stage", "key"))


class Images:
    """The images of all cases."""

    def __init__(self) -> None:
        self.generators: dict[str, Generator] = {name: load_generator(path) for name, path in GENERATORS.items()}
        self.real = real_images()

    def __getitem__(self, case: Case) -> Tensor:
        if case.source == "real":
            return self.real[case.number]
        return made_image(self.generators[case.source], case.number)


def run_lm(images: Images, deadline: float) -> None:
    """Our default solver, two starts, one image at a time."""
    for case in cases():
        if not ROWS.lacks("lm", case.key) or time.monotonic() > deadline:
            continue
        image = images[case]
        found = invert_inputs(images.generators[case.inspected], image, starts=2)
        starts = [loss for loss in found.start_losses[0] if loss < float("inf")]
        ROWS.add({"stage": "lm", "key": case.key, "loss": float(found.loss[0]), "starts": starts,
                  "entropy": image_entropy(image), "generator_images": found.passes[0].decoder,
                  "seconds": found.seconds[0]})  # fmt: skip


def adam_batch(generator: Generator, images: Tensor, steps: int) -> tuple[list[float], float]:
    """RONAN's 1500 Adam steps at 0.1 from one N(0, I) start per image, many images at once; losses and seconds.

    The same steps as the ``adam-ronan`` solver takes, of which every image has its own: only the batch is shared.
    """
    began = time.perf_counter()
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(1, *generator.input_shape, generator=source).repeat(len(images), 1).requires_grad_()
    optimiser = torch.optim.Adam([inputs], lr=0.1)
    best = torch.full((len(images),), torch.inf)
    for _ in range(steps):
        made = generator.generate(inputs)
        losses = torch.stack([mean_squared_residual(made, images, q) for q in ("round", "floor")]).min(0).values
        (inputs.grad,) = torch.autograd.grad(losses.sum(), inputs)
        best = torch.fmin(best, losses.detach())
        optimiser.step()
    return best.tolist(), time.perf_counter() - began


def run_adam(images: Images, deadline: float) -> None:
    # Alone, for the time of one image; the batches below are cheaper per image.
    for name, generator in images.generators.items():
        case = Case(name, name, CALIBRATION)
        if ROWS.lacks("adam-alone", case.key):
            found = invert_inputs(generator, images[case], starts=1, solver="adam-ronan")
            ROWS.add({"stage": "adam-alone", "key": case.key, "loss": float(found.loss[0]),
                      "seconds": found.seconds[0]})  # fmt: skip
    for first in range(0, ALL, ADAM_NUMBERS):
        for inspected in GENERATORS:
            numbers = range(first, first + ADAM_NUMBERS)
            part = [c for c in cases() if c.inspected == inspected and c.number in numbers]
            part = [c for c in part if ROWS.lacks("adam", c.key)]
            if not part or time.monotonic() > deadline:
                continue
            batch = torch.cat([images[case] for case in part])
            losses, seconds = adam_batch(images.generators[inspected], batch, ADAM_STEPS)
            for case, loss in zip(part, losses, strict=True):
                ROWS.add({"stage": "adam", "key": case.key, "loss": loss, "seconds": seconds / len(part)})


def run_control(images: Images, deadline: float) -> None:
    """The regenerated control of our solver for the first generator: a third score of the same images."""
    for case in cases():
        if case.inspected != "faces" or not ROWS.lacks("control", case.key) or time.monotonic() > deadline:
            continue
        generator = images.generators[case.inspected]
        found = invert_inputs(generator, images[case], starts=2)
        again = invert_inputs(generator, quantise(found.reconstruction, found.quantiser[0]), starts=2, seed=1)
        ROWS.add({"stage": "control", "key": case.key, "loss": float(found.loss[0]), "control": float(again.loss[0]),
                  "seconds": found.seconds[0] + again.seconds[0]})  # fmt: skip


@torch.no_grad()
def vae_images() -> Iterator[tuple[str, str, Tensor]]:
    """(kind, picture, image): crops decoded by the inspected VAE, decoded by another, and as they are."""
    own, other = decoder(VAE), decoder(VAE_OTHER)
    for path in sorted((DATA / "images" / "real" / "kodak").glob("*.png"))[:VAE_PICTURES]:
        crop = crop_of(f"real/kodak/{path.name}", VAE_SIDE)
        yield "belonging", path.stem, quantise(own.decode(own.encode(crop)))
        yield VAE_OTHER, path.stem, quantise(other.decode(other.encode(crop)))
        yield "real", path.stem, crop


def run_vae(deadline: float) -> None:
    """One random start with our solver, RONAN's Adam from one random start (few images), and the encoder's start."""
    generator = AutoencoderGenerator(decoder(VAE), VAE_SIDE, VAE_SIDE)
    ways: dict[str, dict[str, Any]] = {
        "encoder, L-BFGS 60": {"from_encoder": True, "solver": "lbfgs-whitened", "steps": 60},
        "random, L-BFGS 200": {"starts": 1, "solver": "lbfgs-whitened", "steps": 200},
        "random, Adam 1500": {"starts": 1, "solver": "adam-ronan"},
    }
    for way, settings in ways.items():
        for index, (kind, picture, image) in enumerate(list(vae_images())):
            key = f"{way}/{kind}/{picture}"
            if not ROWS.lacks("vae", key) or time.monotonic() > deadline or ("Adam" in way and index >= 3):
                continue
            found = invert_inputs(generator, image, **settings)
            ROWS.add({"stage": "vae", "key": key, "loss": float(found.loss[0]), "first": float(found.initial_loss[0]),
                      "entropy": image_entropy(image), "seconds": found.seconds[0]})  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("run", "report"))
    parser.add_argument("--stage", choices=("lm", "adam", "control", "vae"), default="lm")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop starting new images after this long")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.task == "report":
        from origin_report import write_report

        write_report(ROWS, RESULTS)
        return
    deadline = time.monotonic() + 60 * arguments.minutes
    if arguments.stage == "vae":
        run_vae(deadline)
    else:
        {"lm": run_lm, "adam": run_adam, "control": run_control}[arguments.stage](Images(), deadline)
    print(f"{len(ROWS)} rows; the 8-bit floor is {ROUNDING_FLOOR:.3g}")


if __name__ == "__main__":
    main()
