"""``latent-tracer calibrate``: measure one autoencoder's scores on photographs and keep them as a profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from torch import Tensor

from ..core import (
    CONDITIONS,
    DEFAULT_SCORE,
    InvalidImageError,
    InvalidSettingError,
    calibrate,
    load_autoencoder,
    load_image,
    make_score,
)
from ..core.calibration import CalibrationStep
from ..core.loading import EMBEDDED
from .console import progress_bar, say, show

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def calibrate_command(
    vae: Annotated[str, typer.Option(help="Inspected model, as for trace.")],
    images: Annotated[Path, typer.Option(help="Folder of photographs that did not come out of this model.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write the profile (JSON).")],
    fpr: Annotated[float, typer.Option(help="False-positive rate of a belonging answer.")] = 0.01,
    fnr: Annotated[float, typer.Option(help="False-negative rate of a non-belonging answer.")] = 0.01,
    generated: Annotated[Path | None, typer.Option(help="Folder of pictures this model really made.")] = None,
    other: Annotated[list[str] | None, typer.Option(help="Further decoders as non-belonging sources.")] = None,
    score: Annotated[str, typer.Option(help="The score to calibrate.")] = DEFAULT_SCORE,
    condition: Annotated[str, typer.Option(help=f"One of {', '.join(CONDITIONS)}.")] = "clean",
    seed: Annotated[int, typer.Option(help="Of the perturbed belonging samples.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
) -> int:
    """Calibrate on photographs: what the model makes of them belongs, they themselves do not."""
    if condition not in CONDITIONS:
        raise InvalidSettingError(f"Unknown condition {condition!r}: choose one of {', '.join(CONDITIONS)}.")
    method = make_score(score)
    autoencoder = load_autoencoder(vae, device)
    others = [load_autoencoder(name, device) for name in (other or EMBEDDED)]
    photographs = read_folder(images)
    made = read_folder(generated) if generated is not None else []
    with progress_bar(1, "calibrating") as (progress, task):

        def advance(step: CalibrationStep, progress: Any = progress, task: Any = task) -> None:
            progress.update(task, completed=step.done, total=step.total)

        profile = calibrate(
            autoencoder,
            method,
            photographs,
            generated=made,
            others=others,
            condition=condition,
            fpr=fpr,
            fnr=fnr,
            seed=seed,
            calibrated_on=f"{len(photographs)} photographs in a folder named {images.name}",
            on_image=advance,
        )
    profile.save(output)
    rates = profile.error_rates
    low, high = rates["interval_95"]
    show(
        f"{output}: {profile.autoencoder}, condition {condition}, false-positive rate {profile.stated_fpr:.1%}; accepts"
        f" {rates['true_positive_rate']:.1%} of belonging samples (95 % interval {low:.1%} to {high:.1%})."
    )
    if profile.stated_fpr > fpr:
        say(f"{len(photographs)} photographs support {profile.stated_fpr:.1%} at best, not {fpr:.1%}: add photographs.")
    return 0


def read_folder(folder: Path) -> list[Tensor]:
    """Every picture under ``folder``; unreadable ones are counted and listed, not fatal."""
    if not folder.is_dir():
        raise InvalidSettingError(f"{folder} is not a folder: give a folder of pictures.")
    pictures, unreadable = [], []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES):
        try:
            pictures.append(load_image(path).pixels)
        except InvalidImageError as error:
            unreadable.append(str(error))
    if unreadable:
        say(f"skipped {len(unreadable)} unreadable of {len(pictures) + len(unreadable)} files in {folder}:")
        for line in unreadable:
            say(f"  {line}")
    if not pictures:
        raise InvalidSettingError(
            f"There is no readable picture in {folder}: give a folder of PNG, JPEG or WebP files."
        )
    return pictures
