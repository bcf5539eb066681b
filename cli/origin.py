"""``latent-tracer origin``: did each picture come out of this generator, inverted from random starts?"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from ..core import (
    INPUT_SOLVERS,
    CalibratedLoss,
    InputInversion,
    InvalidSettingError,
    LatentTracerError,
    OriginVerdict,
    Step,
    judge_origin,
    load_generator,
    load_image,
    load_profile,
    origin_report,
    score_for,
)
from ..core.errors import visible
from ..core.inversion.inputs import STARTS
from ..core.reports.folder_trace import reason_of
from ..core.reports.pictures import trace_picture
from ..core.scores.ronan import Complexity
from ..core.storage.atomic import write_picture
from ..core.tracing.traced import Traced
from .console import emit_json, progress_bar, say, show

GENERATOR_HELP = (
    "Inspected generator: a .safetensors file of the 32×32 DCGAN, NAME.pt?input=100 (TorchScript), a diffusers folder"
    " of an unconditional one-step pipeline, or vae:AUTOENCODER for a decoder from random latents."
)


def origin(
    images: Annotated[list[Path], typer.Argument(readable=False, help="Pictures to judge, as they were saved.")],
    generator: Annotated[str, typer.Option(help=GENERATOR_HELP)],
    profile: Annotated[Path | None, typer.Option(help="From `calibrate --generator`; sets all the following.")] = None,
    starts: Annotated[int, typer.Option(help="Random starts per picture.")] = STARTS,
    solver: Annotated[str | None, typer.Option(help=f"One of {', '.join(INPUT_SOLVERS)}; what fits, if open.")] = None,
    steps: Annotated[int | None, typer.Option(help="Replaces the solver's own number of steps.")] = None,
    complexity: Annotated[str, typer.Option(help=f"One of {', '.join(get_args(Complexity))}.")] = "entropy",
    seed: Annotated[int, typer.Option(help="Of the random starts.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    picture: Annotated[Path | None, typer.Option(help="Folder for one explaining picture per image.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per image, one per line.")] = False,
) -> int:
    """Judge pictures by inverting a generator from random starts. Unreadable ones are listed, not fatal."""
    known = load_profile(profile) if profile is not None else None
    inspected = load_generator(generator, image_size=first_size(images), device=device)
    if known is not None:
        score = score_for(inspected, known)
    else:
        score = CalibratedLoss(
            inspected, complexity=check_complexity(complexity), starts=starts, seed=seed, solver=solver, steps=steps
        )
    failures = 0
    for path in images:
        try:
            loaded = load_image(path)
            with progress_bar(100, path.name) as (progress, task):

                def advance(step: Step, progress: Any = progress, task: Any = task) -> None:
                    progress.update(task, completed=step.step, total=step.steps)

                scored = score(loaded.pixels, on_step=advance)
            judged = judge_origin(scored.value, known, loaded.pixels, lossy=loaded.lossy)
        except Exception as error:  # one picture's failure must not cost the others their answers
            failures += 1
            reason = f"{visible(str(path))} {reason_of(error, str(path))}"
            say(f"latent-tracer: {reason}")
            if as_json:
                emit_json({"image": str(path), "generator": generator, "verdict": None, "error": reason})
            continue
        assert isinstance(scored.inversion, InputInversion)
        inversion = dataclasses.replace(scored.inversion, notes=(*loaded.notes, *scored.inversion.notes))
        if as_json:
            emit_json(origin_record(path, generator, inversion, judged))
        else:
            show(f"{visible(str(path))}\n{origin_report(inversion, 0, judged)}\n")
        if picture is not None:
            try:
                drawn = trace_picture(Traced.of_inversion(inversion, 0, judged.verdict, known))
                write_picture(picture / f"{path.stem}_origin.png", drawn)
            except Exception as error:  # the answer stands
                failures += 1
                say(f"latent-tracer: {visible(str(path))}: there is no drawing of it: {reason_of(error, str(path))}")
    return 2 if failures else 0


def first_size(images: list[Path]) -> tuple[int, int] | None:
    """(height, width) of the first readable picture: a VAE decoder has no size of its own."""
    for path in images:
        with contextlib.suppress(LatentTracerError):
            pixels = load_image(path).pixels
            return pixels.shape[-2], pixels.shape[-1]
    return None


def check_complexity(name: str) -> Complexity:
    for known in get_args(Complexity):
        if name == known:
            return known
    raise InvalidSettingError(f"Unknown complexity {name!r}: choose one of {', '.join(get_args(Complexity))}.")


def origin_record(path: Path, generator: str, inversion: InputInversion, judged: OriginVerdict) -> dict[str, Any]:
    """The JSON object of one judged image. Fields are a promise: added, never renamed."""
    verdict = judged.verdict
    return {
        "image": str(path),
        "generator": generator,
        "verdict": verdict.answer,
        "score": verdict.score,
        "loss": float(inversion.loss[0]),
        # A start left out because an earlier one explained the image has no loss.
        "start_losses": [loss for loss in inversion.start_losses[0] if math.isfinite(loss)],
        "generator_images": inversion.passes[0].decoder,
        "backward_passes": inversion.passes[0].backward,
        "seconds": round(inversion.seconds[0], 3),
        "quantiser": inversion.quantiser[0],
        "solver": inversion.solver,
        "seed": inversion.seed,
        "notes": list(inversion.notes),
        "p_value": verdict.p_value,
        "fpr": verdict.fpr,
        "condition": verdict.condition,
        "stage": verdict.stage,
        "grubbs": None if judged.grubbs is None else judged.grubbs.answer,
        "grubbs_threshold": None if judged.grubbs is None else judged.grubbs.threshold,
        "fpr_bound": verdict.fpr_bound,
        "fnr": verdict.fnr,
        "fnr_bound": verdict.fnr_bound,
        "belonging_p_value": verdict.belonging_p_value,
        "calibration": verdict.calibration,
    }
