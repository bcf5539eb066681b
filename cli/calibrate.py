"""``latent-tracer calibrate``: measure one autoencoder's scores on photographs and keep them as a profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from torch import Tensor

from ..core import (
    CONDITIONS,
    InvalidImageError,
    InvalidSettingError,
    calibrate,
    load_autoencoder,
    load_image,
    make_score,
)
from ..core.calibration import CalibrationStep
from ..core.input_inversion import STARTS
from ..core.loading import EMBEDDED
from ..core.scores import default_score
from .calibrate_generator import calibrate_generator
from .console import progress_bar, say, show

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def calibrate_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write the profile (JSON).")],
    vae: Annotated[str | None, typer.Option(help="Inspected model, as for trace.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of photographs that are not this model's.")] = None,
    fpr: Annotated[float, typer.Option(help="False-positive rate of a belonging answer.")] = 0.01,
    fnr: Annotated[float, typer.Option(help="False-negative rate of a non-belonging answer.")] = 0.01,
    generated: Annotated[Path | None, typer.Option(help="Folder of pictures this model really made.")] = None,
    other: Annotated[list[str] | None, typer.Option(help="Further decoders as non-belonging sources.")] = None,
    score: Annotated[
        str | None, typer.Option(help="The score to calibrate; by default the one that suits the condition.")
    ] = None,
    condition: Annotated[str, typer.Option(help=f"One of {', '.join(CONDITIONS)}.")] = "clean",
    seed: Annotated[int, typer.Option(help="Of the perturbed belonging samples.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    generator: Annotated[str | None, typer.Option(help="Instead of --vae: a generator, as for origin.")] = None,
    belonging: Annotated[int, typer.Option(help="With --generator: how many images it makes.")] = 100,
    complexity: Annotated[str, typer.Option(help="With --generator: entropy, regenerated or none.")] = "entropy",
    starts: Annotated[int, typer.Option(help="With --generator: random starts per image.")] = STARTS,
    solver: Annotated[str | None, typer.Option(help="With --generator: as for origin.")] = None,
    steps: Annotated[int | None, typer.Option(help="With --generator: steps of the solver.")] = None,
) -> int:
    """Calibrate on photographs: what the model makes of them belongs, they themselves do not.

    With --generator, images that it makes from random inputs belong; --images and --other name what does not.
    """
    if condition not in CONDITIONS:
        raise InvalidSettingError(f"Unknown condition {condition!r}: choose one of {', '.join(CONDITIONS)}.")
    if (vae is None) == (generator is None):
        raise InvalidSettingError("Give either --vae or --generator: exactly one model is calibrated.")
    if generator is not None:
        return calibrate_generator(
            generator,
            read_folder(images) if images is not None else [],
            read_folder(generated) if generated is not None else [],
            other or [],
            output,
            belonging=belonging,
            complexity=complexity,
            starts=starts,
            solver=solver,
            steps=steps,
            condition=condition,
            fpr=fpr,
            fnr=fnr,
            seed=seed,
            device=device,
        )
    if vae is None or images is None:
        raise InvalidSettingError("Calibrating a VAE needs --images: a folder of photographs.")
    method = make_score(score or default_score(condition))
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
