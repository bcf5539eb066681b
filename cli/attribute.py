"""``latent-tracer attribute``: which of several autoencoders made each picture, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
from ..core.verdicts.attribution import attribution_record
from .ask_each import Advance, ask_each
from .trace_run import list_inputs


def attribute_command(
    images: Annotated[
        list[Path],
        typer.Argument(readable=False, help="Pictures to attribute, as they were saved, or folders of them."),
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

    def ask(picture: Picture, image: str, advance: Advance) -> tuple[dict[str, Any], str]:
        result = attribute(tracers, picture, advance)
        return attribution_record(image, result), f"{result.vae or 'none'} ({result.reason})"

    return ask_each(list_inputs(images, []), "attributing", {"vae": None}, ask, as_json)


def tracer_of(autoencoder: ModuleAutoencoder, name: str, known: list[Profile]) -> Tracer:
    """The candidate with those of the given profiles that are its own, or the one that ships for it."""
    fitting = [profile for profile in known if same_weights(profile.fingerprint, autoencoder.fingerprint)]
    return Tracer(autoencoder, fitting or None, name=name)
