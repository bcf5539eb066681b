"""``latent-tracer attribute``: which of several autoencoders made each picture, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core import (
    InvalidProfileError,
    ModuleAutoencoder,
    Picture,
    Profile,
    Tracer,
    attribute,
    load_autoencoder,
    load_profiles,
    same_weights,
)
from ..core.reports.folder_trace import reason_of
from ..core.verdicts.attribution import attribution_record
from .console import emit_json, progress_bar, say, show
from .trace_run import list_inputs


def attribute_command(
    images: Annotated[
        list[Path], typer.Argument(help="Pictures to attribute, as they were saved, or folders of them.")
    ],
    vae: Annotated[list[str], typer.Option(help="A candidate; repeat for each.")],
    profile: Annotated[
        list[Path] | None,
        typer.Option(help="Profiles of the candidates, in any order, for one or several conditions each."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per image, one per line.")] = False,
) -> int:
    """Say which candidate made each picture, if one did. Every candidate needs a profile (see calibrate)."""
    known = [(path, one) for path in profile or [] for one in load_profiles(path)]
    tracers = [tracer_of(load_autoencoder(name, device), name, [one for _, one in known]) for name in vae]
    for path, one in known:
        if not any(one in tracer.profiles for tracer in tracers):
            raise InvalidProfileError(
                f"The profile {path} was calibrated for {one.autoencoder} ({one.fingerprint[:8]}), which is none of the"
                " candidates: leave it out, or calibrate the candidate anew."
            )
    listing = list_inputs(images, [])
    failures = 0
    with progress_bar(len(listing.files), "attributing") as (progress, task):
        for position, file in enumerate(listing.files):

            def advance(done: int, expected: int, position: int = position) -> None:
                progress.update(task, completed=position + done / (expected + 1))

            try:
                result = attribute(tracers, Picture.read(file), advance)
            except Exception as error:  # one picture's failure must not cost the others their answers
                failures += 1
                reason = reason_of(error, file.name)
                say(f"latent-tracer: {file.name} {reason}")
                if as_json:
                    emit_json({"image": str(file.path), "vae": None, "error": reason})
                continue
            if as_json:
                emit_json(attribution_record(str(file.path), result))
            else:
                show(f"{file.name}: {result.vae or 'none'} ({result.reason})")
    for refused in listing.refused:
        failures += 1
        say(f"latent-tracer: {refused.name} {refused.error}")
        if as_json:
            emit_json({"image": refused.name, "vae": None, "error": refused.error})
    return 2 if failures else 0


def tracer_of(autoencoder: ModuleAutoencoder, name: str, known: list[Profile]) -> Tracer:
    """The candidate with those of the given profiles that are its own, or the one that ships for it."""
    fitting = [profile for profile in known if same_weights(profile.fingerprint, autoencoder.fingerprint)]
    return Tracer(autoencoder, fitting or None, name=name)
