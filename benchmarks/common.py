"""What every benchmark shares: where the data is, decoders and pictures, resumable rows, tables, how a report was made.

The data folder (``LATENT_TRACER_DATA``, else ``../shared`` beside the repository) holds ``weights/`` and ``images/``.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from latent_tracer.core import ModuleAutoencoder, Profile, load_autoencoder, load_image, load_profile
from latent_tracer.core.models.loading import EMBEDDED as DEMO_WEIGHTS
from latent_tracer.core.profiles.trust import EMBEDDED
from latent_tracer.core.storage.atomic import write_text
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Row = dict[str, Any]
REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("LATENT_TRACER_DATA", REPOSITORY.parent / "shared"))
RESULTS = REPOSITORY / "benchmarks" / "results"
PARTIAL = RESULTS / "partial"  # what is not worth keeping, ignored by git
DECODERS = ("taesd", "taesdxl", "taesd3", "taef1", "taef2")
# Photographs and textures first (the hard ones among them), then generated pictures: the prefix is a fair sample.
PICTURES = (
    "real/kodak/kodim01.png", "real/kodak/kodim05.png", "generated/SD3/comfyexamples_sd3_simple_example.png",
    "real/kodak/kodim13.png", "real/scikit-image/gravel.png", "real/kodak/kodim03.png",
    "generated/FLUX.1-Fill/comfyexamples_flux_fill_inpaint_example.png", "real/scikit-image/astronaut.png",
    "real/kodak/kodim15.png", "real/scikit-image/coffee.png", "real/libjxl/cvo9xd_keong_macan_srgb8.png",
    "generated/HiDream/comfyexamples_hidream_full_example.png", "real/kodak/kodim08.png", "real/scikit-image/brick.png",
    "generated/SDXL/comfyexamples_sdxl_simple_example.png", "real/libjxl/u76c0g_bliznaca_srgb8.png",
)  # fmt: skip


def require_data() -> None:
    if not (DATA / "weights").is_dir():
        raise SystemExit(f"No data at {DATA}: set LATENT_TRACER_DATA to the folder with weights/ and images/.")


@cache
def decoder(name: str) -> ModuleAutoencoder:
    """A decoder of the data folder, or one of the two that ship."""
    return load_autoencoder(name if name in DEMO_WEIGHTS else DATA / "weights" / name)


def decoders(names: Iterable[str] = DECODERS) -> dict[str, ModuleAutoencoder]:
    return {name: decoder(name) for name in names}


@cache
def shipped_profile(name: str) -> Profile:
    return load_profile(EMBEDDED / f"{name}.profile.json")


@cache
def all_pictures() -> tuple[str, ...]:
    """The fixed prefix, then every other picture of the data folder in an order that mixes their sources."""
    folder = DATA / "images"
    found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.suffix in {".png", ".jpg"})
    rest = [name for name in found if name not in PICTURES]
    return (*PICTURES, *sorted(rest, key=lambda name: hashlib.sha256(name.encode()).hexdigest()))


def pixels_of(name: str) -> Tensor:
    return load_image(DATA / "images" / name).pixels


def crop_of(name: str, size: int, multiple: int = 1) -> Tensor:
    """The central ``size``² of a picture (less where it is smaller), at offsets that are multiples of ``multiple``."""
    pixels = pixels_of(name)
    top, left = (max(0, side - size) // 2 // multiple * multiple for side in pixels.shape[-2:])
    return pixels[..., top : top + size, left : left + size]


def pictures_of_side(side: int, count: int | None = None) -> list[str]:
    """The first pictures whose shorter side has so many pixels."""
    return [name for name in all_pictures() if min(Image.open(DATA / "images" / name).size) >= side][:count]


def parser_of(description: str | None, quick: str, **defaults: Any) -> argparse.ArgumentParser:
    """A parser with what benchmarks have in common; ``defaults`` of ``pictures``, ``size``, ``decoders`` add those."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", type=Path, help="write the table as JSON")
    parser.add_argument("--rows", type=Path, help="resumable raw rows (default: under results/partial)")
    parser.add_argument("--report-only", action="store_true", help="summarise the rows there are")
    for name, value in defaults.items():
        if name == "decoders":
            parser.add_argument("--decoders", default=",".join(value))
        else:
            parser.add_argument(f"--{name}", type=int, default=value)
    return parser


def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Rows(list[Row]):
    """Rows of a JSON-lines file; one that is added is on the disk at once, so that a run can be broken off anywhere.

    ``key`` names the fields by which :meth:`lacks` tells what is still to be measured.
    """

    def __init__(self, path: Path, key: Sequence[str] | Callable[[Row], Any]) -> None:
        super().__init__(read_rows(path) if path.is_file() else ())
        self.path = path
        self._key = key if callable(key) else lambda row: tuple(row[name] for name in key)
        self._done = {self._key(row) for row in self}

    def lacks(self, *key: Any) -> bool:
        return key not in self._done

    def add(self, row: Row) -> None:
        self.append(row)
        self._done.add(self._key(row))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")


def rows_of(args: argparse.Namespace, name: str, key: Sequence[str] | Callable[[Row], Any]) -> Rows:
    """The rows that ``args`` ask for: those of a quick run are kept apart."""
    return Rows(args.rows or PARTIAL / f"{name}{'-quick' if args.quick else ''}.jsonl", key)


def table(rows: Sequence[Row], columns: Sequence[str] = ()) -> str:
    """Markdown: ``columns`` of ``rows`` (those of the first by default), empty where a row has none."""
    columns = tuple(columns or rows[0])
    return cells_table(columns, ([row.get(column, "") for column in columns] for row in rows))


def cells_table(heads: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    text = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join([*text, *(f"| {' | '.join(map(str, line))} |" for line in lines)])


def made_by(rows: str) -> str:
    """The lines with which a report begins: command, ``rows``, date and machine."""
    given = [Path(sys.argv[0]).name, *(word if " " not in word else repr(word) for word in sys.argv[1:])]
    made = f"Made by `python benchmarks/{' '.join(given)}` from {rows}, {datetime.date.today()}, on {machine()}"
    return f"{made}; rows that were there before may be another machine's.\n"


def machine() -> str:
    """The processor, how many threads were used, and whether it has matrix units for bfloat16."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    matrix = "with" if any("amx_bf16" in line for line in lines) else "without"
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{torch.get_num_threads()} thread(s) of {name} {matrix} bfloat16 matrix units, torch {torch.__version__}"


def write_json(path: Path | None, content: Any) -> None:
    if path:
        write_text(path, json.dumps(content, indent=1) + "\n")


def area_under_curve(belonging: NDArray[Any], others: NDArray[Any]) -> float:
    """Probability that a belonging image scores lower than another one, ties counting half."""
    return float(((belonging[:, None] < others) + 0.5 * (belonging[:, None] == others)).mean())


def tpr_at_fpr(belonging: NDArray[Any], others: NDArray[Any], fpr: float = 0.01) -> float:
    """Share of belonging images below the threshold that lets at most ``fpr`` of the others through."""
    return float((belonging < np.sort(others)[math.floor(fpr * len(others))]).mean())


class Remembering:
    """An autoencoder that answers a repeated question from memory, for scores that share their reconstructions.

    ``seconds`` holds the time of one real encoder and one real decoder pass.
    """

    def __init__(self, inner: ModuleAutoencoder) -> None:
        self.inner = inner
        self.answers: dict[tuple[str, bytes], Tensor] = {}
        self.seconds = {"encode": 0.0, "decode": 0.0}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def encode(self, images: Tensor) -> Tensor:
        return self._ask("encode", images)

    def decode(self, latents: Tensor) -> Tensor:
        return self._ask("decode", latents)

    def _ask(self, question: str, given: Tensor) -> Tensor:
        key = (question, hashlib.sha256(given.numpy().tobytes()).digest())
        if key not in self.answers:
            began = time.perf_counter()
            self.answers[key] = getattr(self.inner, question)(given)
            self.seconds[question] = time.perf_counter() - began
        return self.answers[key]
