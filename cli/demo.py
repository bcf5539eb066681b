"""``latent-tracer demo``: who made which picture, shown on two embedded autoencoders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL import Image
from rich.table import Table
from rich.text import Text
from torch import Tensor

from ..core import Autoencoder, Picture, Tracer, load_autoencoder, quantise, to_tensor
from ..core.errors import UnsupportedAutoencoderError
from ..core.profiles.thresholds import shown_rate
from ..core.reports.pictures import trace_picture
from ..core.storage.atomic import check_writable, write_picture
from .console import emit_json, progress_bar, show

# Photographs that scikit-image ships in its wheel, all free; none was used to train the embedded autoencoders.
PHOTOGRAPHS = ("coffee", "chelsea")
SIZE = 256


@dataclass(frozen=True)
class DemoImage:
    """A picture ``[1,3,H,W]`` of known origin; ``made_by`` names an autoencoder, or is ``None`` for a photograph."""

    name: str
    pixels: Tensor
    made_by: str | None


@torch.no_grad()
def demo_images(photographs: dict[str, Tensor], maker: Autoencoder) -> Iterator[DemoImage]:
    """For each photograph ``[1,3,H,W]``: what ``maker`` decodes from its latent, as 8 bit, and the picture itself."""
    for name, pixels in photographs.items():
        decoded = quantise(maker.decode(maker.encode(pixels)).cpu())
        yield DemoImage(f"{name}, decoded by {maker.name}", decoded, maker.name)
        yield DemoImage(f"{name}, the photograph", pixels, None)


def demo(
    output: Annotated[Path, typer.Option(help="Folder for the explaining pictures.")] = Path("demo-output"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per row, one per line.")] = False,
) -> int:
    """Decode pictures with one small autoencoder, trace them and the photographs with two. No download, no GPU."""
    tracers = [shipped_tracer(name) for name in ("demo-a", "demo-b")]
    places = {tracer.name: output / f"demo_{tracer.name}.png" for tracer in tracers}
    for place in places.values():
        check_writable(place)
    images = list(demo_images(photographs(), tracers[0].autoencoder))
    table = Table("image", "inspected model", "expected", "verdict", "p-value", title="Which model made this picture?")
    drawn: set[str] = set()
    with progress_bar(len(images) * len(tracers), "tracing") as (progress, task):
        for image in images:
            for tracer in tracers:
                # Of these pictures everybody knows how they lie: looking for other placements would take minutes.
                traced = tracer.trace(Picture.of(image.pixels, image.name), checks_refusal=False)
                verdict = traced.verdict
                expected = "belonging" if image.made_by == tracer.name else "non-belonging"
                if as_json:
                    emit_json({**tracer.row(traced).to_json(image.name, tracer.name), "expected": expected})
                right = "green" if verdict.answer == expected else "red"
                table.add_row(
                    image.name, tracer.name, expected, Text(verdict.answer, style=right), f"{verdict.p_value:.3f}"
                )
                if tracer.name not in drawn:
                    drawn.add(tracer.name)
                    explained = tracer.explained(traced, 20)
                    write_picture(places[tracer.name], trace_picture(explained))
                progress.advance(task)
    if not as_json:
        show(table)
        profile = tracers[0].profiles[0]
        rate = shown_rate(profile.stated_fpr, profile.fpr_bound)
        show(f"False-positive rate of a belonging answer: {rate}. Pictures are in {output}/.")
    return 0


def photographs() -> dict[str, Tensor]:
    """The demo's photographs, cropped to the middle: name to ``[1,3,256,256]``."""
    try:
        import skimage
    except ImportError:
        raise UnsupportedAutoencoderError(
            "The demo's photographs come with scikit-image: pip install 'latent-tracer[demo]'."
        ) from None
    folder = Path(skimage.__file__).parent / "data"
    pictures = {}
    for name in PHOTOGRAPHS:
        with Image.open(folder / f"{name}.png") as picture:
            left, top = (picture.width - SIZE) // 2, (picture.height - SIZE) // 2
            pictures[name] = to_tensor(picture.convert("RGB").crop((left, top, left + SIZE, top + SIZE)))
    return pictures


def shipped_tracer(name: str) -> Tracer:
    """An embedded autoencoder with its built-in profile; one without is a broken installation."""
    tracer = Tracer(load_autoencoder(name))
    if not tracer.profiles:
        raise UnsupportedAutoencoderError(f"The built-in profile of {name} is missing: install again.")
    return tracer
