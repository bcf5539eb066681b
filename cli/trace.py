"""``latent-tracer trace``: does each picture belong to this autoencoder?"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core import (
    SOLVERS,
    InvalidSettingError,
    Inversion,
    LatentTracerError,
    LoadedImage,
    ModuleAutoencoder,
    Profile,
    Step,
    Verdict,
    builtin_profile,
    invert,
    judge,
    load_autoencoder,
    load_image,
    load_profile,
    make_score,
    make_solver,
    verdict_from_threshold,
)
from ..core.atomic import write_picture
from ..core.picture import trace_picture
from ..core.quantiser import check_quantiser
from ..core.report import trace_report
from ..core.solvers import DEFAULT_SOLVER
from .console import emit_json, progress_bar, say, show
from .trace_report import (
    FolderTracer,
    distinct_profiles,
    list_inputs,
    picture_name,
    profile_behind,
    trace_with_report,
)


def trace(
    images: Annotated[list[Path], typer.Argument(help="Pictures to trace, as they were saved, or folders of them.")],
    vae: Annotated[str, typer.Option(help="Inspected model: a TAESD prefix, a .safetensors file, a diffusers folder.")],
    threshold: Annotated[float | None, typer.Option(help="Loss below which an image belongs to this model.")] = None,
    profile: Annotated[
        list[Path] | None,
        typer.Option(help="Calibration of this model, from `calibrate`; repeat for several conditions."),
    ] = None,
    solver: Annotated[str, typer.Option(help=f"One of {', '.join(SOLVERS)}.")] = DEFAULT_SOLVER,
    steps: Annotated[int | None, typer.Option(help="Replaces the solver's own; 1 leaves the search out.")] = None,
    quantiser: Annotated[str, typer.Option(help="How the pictures were stored: auto, round, floor or none.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    picture: Annotated[Path | None, typer.Option(help="Folder for one explaining picture per image.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Folder for a report (CSV, JSON, HTML). The same command again goes on where it stopped."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per image, one per line.")] = False,
) -> int:
    """Trace pictures: invert the decoder for each and say whether it belongs. Unreadable ones are listed, not fatal."""
    make_solver(solver, steps)
    mode = check_quantiser(quantiser)
    if profile and threshold is not None:
        raise InvalidSettingError("Give either --profile or --threshold: they answer for different scores.")
    known = distinct_profiles([load_profile(path) for path in profile or []])
    autoencoder = load_autoencoder(vae, device)
    if not known and threshold is None:
        known = tuple(filter(None, [builtin_profile(autoencoder.fingerprint)]))
    for one in known:
        one.check(autoencoder.fingerprint, make_score(one.score).name, dict(make_score(one.score).settings))
    if report is not None:
        tracer = FolderTracer(autoencoder, vae, known, threshold, solver, steps, mode, picture)
        return trace_with_report(images, report, tracer, as_json)
    failures = 0
    listing = list_inputs(images, [] if picture is None else [picture])
    for refused in listing.refused:
        failures += 1
        say(f"latent-tracer: {refused.name} {refused.error}")
    stems = Counter(file.path.stem for file in listing.files)
    for file in listing.files:
        path = file.path
        try:
            loaded = load_image(path)
            with progress_bar(100, path.name) as (progress, task):

                def advance(step: Step, progress: Any = progress, task: Any = task) -> None:
                    progress.update(task, completed=step.step, total=step.steps)

                inversion = invert(
                    autoencoder, loaded.pixels, solver=solver, steps=steps, quantiser=mode, on_step=advance
                )
            inversion = dataclasses.replace(inversion, notes=(*loaded.notes, *inversion.notes))
            verdict = verdict_on(autoencoder, loaded, inversion, known, threshold)
        except LatentTracerError as error:
            failures += 1
            say(f"latent-tracer: {error}")
            if as_json:
                emit_json({"image": str(path), "vae": vae, "verdict": None, "error": str(error)})
            continue
        if as_json:
            emit_json(trace_record(path, vae, inversion, verdict))
        else:
            show(f"{path}\n{trace_report(inversion, 0, verdict)}\n")
        if picture is not None:
            alone = path in images and stems[path.stem] == 1
            name = f"{path.stem}_trace.png" if alone else picture_name(file.name)
            write_picture(picture / name, trace_picture(inversion, 0, verdict, profile_behind(verdict, known)))
    return 2 if failures else 0


def verdict_on(
    autoencoder: ModuleAutoencoder,
    loaded: LoadedImage,
    inversion: Inversion,
    profiles: Sequence[Profile],
    threshold: float | None,
) -> Verdict:
    """By the inverted loss where a threshold is given, else by the profile's own score."""
    if threshold is not None:
        return verdict_from_threshold(float(inversion.loss[0]), threshold)
    return judge(autoencoder, loaded.pixels, profiles or None, lossy=loaded.lossy)


def trace_record(path: Path, vae: str, inversion: Inversion, verdict: Verdict) -> dict[str, Any]:
    """The JSON object of one traced image. Fields are a promise: added, never renamed."""
    return {
        "image": str(path),
        "vae": vae,
        "verdict": verdict.answer,
        "score": verdict.score if math.isfinite(verdict.score) else None,
        "loss": float(inversion.loss[0]),
        "initial_loss": float(inversion.initial_loss[0]),
        "decoder_passes": inversion.passes[0].decoder,
        "seconds": round(inversion.seconds[0], 3),
        "crop": None if inversion.crop.is_whole else dataclasses.asdict(inversion.crop),
        "quantiser": inversion.quantiser[0],
        "solver": inversion.solver,
        "notes": list(inversion.notes),
        "p_value": verdict.p_value,
        "fpr": verdict.fpr,
        "condition": verdict.condition,
        "stage": verdict.stage,
        "jpeg_quality": verdict.jpeg_quality,
    }
