"""``latent-tracer demo``: who made which picture, shown on two embedded autoencoders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.table import Table
from torch import Tensor

from ..core import (
    DEFAULT_SCORE,
    ModuleAutoencoder,
    Profile,
    builtin_profile,
    load_autoencoder,
    make_score,
    to_tensor,
    verdict_from_profile,
)
from ..core.atomic import write_picture
from ..core.demo import demo_images
from ..core.errors import UnsupportedAutoencoderError
from ..core.history import History
from ..core.inversion import invert
from ..core.picture import trace_picture
from .console import emit_json, progress_bar, show

# Photographs that scikit-image ships in its wheel, all free; none was used to train the embedded autoencoders.
PHOTOGRAPHS = ("coffee", "chelsea")
SIZE = 256


def demo(
    output: Annotated[Path, typer.Option(help="Folder for the explaining pictures.")] = Path("demo-output"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per row, one per line.")] = False,
) -> int:
    """Decode pictures with one small autoencoder, trace them and the photographs with two. No download, no GPU."""
    autoencoders = [load_autoencoder(name) for name in ("demo-a", "demo-b")]
    profiles = {autoencoder.name: shipped_profile(autoencoder) for autoencoder in autoencoders}
    score = make_score(DEFAULT_SCORE)
    images = list(demo_images(photographs(), autoencoders[0]))
    table = Table("image", "inspected model", "expected", "verdict", "p-value", title="Which model made this picture?")
    rows = 0
    with progress_bar(len(images) * len(autoencoders), "tracing") as (progress, task):
        for image in images:
            history = History.of(image.pixels)
            for autoencoder in autoencoders:
                scored = score(autoencoder, image.pixels)
                verdict = verdict_from_profile(scored.value, profiles[autoencoder.name], scored.stage, history=history)
                expected = "belonging" if image.made_by == autoencoder.name else "non-belonging"
                if as_json:
                    emit_json({
                        "image": image.name, "vae": autoencoder.name, "expected": expected, "verdict": verdict.answer,
                        "p_value": verdict.p_value, "fpr": verdict.fpr, "score": verdict.score,
                    })  # fmt: skip
                right = "green" if verdict.answer == expected else "red"
                table.add_row(
                    image.name, autoencoder.name, expected, f"[{right}]{verdict.answer}[/]", f"{verdict.p_value:.3f}"
                )
                rows += 1
                if rows <= len(autoencoders):
                    inversion = invert(autoencoder, image.pixels, steps=20)
                    drawn = trace_picture(inversion, 0, verdict, profiles[autoencoder.name])
                    write_picture(output / f"demo_{autoencoder.name}.png", drawn)
                progress.advance(task)
    if not as_json:
        show(table)
        rate = next(iter(profiles.values())).stated_fpr
        show(f"False-positive rate of a belonging answer: {rate:.1%}. Pictures are in {output}/.")
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


def shipped_profile(autoencoder: ModuleAutoencoder) -> Profile:
    """The built-in profile of an embedded autoencoder; one without is a broken installation."""
    profile = builtin_profile(autoencoder.fingerprint)
    if profile is None:
        raise UnsupportedAutoencoderError(f"The built-in profile of {autoencoder.name} is missing: install again.")
    return profile
