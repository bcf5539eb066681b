"""``latent-tracer trace``: does each picture belong to this autoencoder?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core import SOLVERS, InvalidSettingError, Tracer, load_autoencoder, load_profiles, make_solver
from ..core.images.quantiser import check_quantiser
from ..core.inversion.solvers import DEFAULT_SOLVER
from .trace_run import TraceRun

EXPLAIN_STEPS = 30


def trace(
    images: Annotated[
        list[Path], typer.Argument(readable=False, help="Pictures to trace, as they were saved, or folders of them.")
    ],
    vae: Annotated[str, typer.Option(help="Inspected model: a TAESD prefix, a .safetensors file, a diffusers folder.")],
    threshold: Annotated[float | None, typer.Option(help="Loss below which an image belongs to this model.")] = None,
    profile: Annotated[
        list[Path] | None,
        typer.Option(help="Calibration of this model, from `calibrate`; repeat for several conditions."),
    ] = None,
    explain: Annotated[
        int | None,
        typer.Option(
            metavar="[STEPS]",
            help=f"After each answer invert the decoder in so many steps ({EXPLAIN_STEPS}), and say what that found.",
        ),
    ] = None,
    solver: Annotated[str, typer.Option(help=f"Of inversions: one of {', '.join(SOLVERS)}.")] = DEFAULT_SOLVER,
    steps: Annotated[int | None, typer.Option(help="Steps of inversions; asks for one, as --explain does.")] = None,
    quantiser: Annotated[str, typer.Option(help="How the pictures were stored: auto, round, floor or none.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    picture: Annotated[Path | None, typer.Option(help="Folder for one explaining picture per image.")] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Folder for a report (CSV, JSON, HTML). The same command again goes on where it stopped."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per image, one per line.")] = False,
) -> int:
    """Say of each picture whether it belongs to this model. Unreadable ones are listed, not fatal."""
    wanted = explain if explain is not None else steps
    make_solver(solver, wanted)
    mode = check_quantiser(quantiser)
    if profile and threshold is not None:
        raise InvalidSettingError("Give either --profile or --threshold: they answer for different scores.")
    profiles = [one for path in profile for one in load_profiles(path)] if profile else None
    autoencoder = load_autoencoder(vae, device)
    tracer = Tracer(
        autoencoder, profiles, threshold=threshold, known_as=(vae,), solver=solver, steps=wanted, quantiser=mode
    )
    return TraceRun(tracer, vae, wanted, picture, as_json)(images, report)
