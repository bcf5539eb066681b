"""``latent-tracer attribute``: which of several autoencoders made each picture, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..core import (
    Attribution,
    InvalidSettingError,
    LatentTracerError,
    ModuleAutoencoder,
    Profile,
    attribute,
    builtin_profile,
    load_autoencoder,
    load_image,
    load_profile,
    make_score,
)
from ..core.history import History, profile_for
from ..core.scores import on_cells
from .console import emit_json, progress_bar, say, show
from .trace_report import distinct_profiles


def attribute_command(
    images: Annotated[list[Path], typer.Argument(help="Pictures to attribute, as they were saved.")],
    vae: Annotated[list[str], typer.Option(help="A candidate; repeat for each.")],
    profile: Annotated[
        list[Path] | None,
        typer.Option(help="Profiles of the candidates, in any order, for one or several conditions each."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per image, one per line.")] = False,
) -> int:
    """Say which candidate made each picture, if one did. Every candidate needs a profile (see calibrate)."""
    autoencoders = [load_autoencoder(name, device) for name in vae]
    known = [load_profile(path) for path in profile or []]
    profiles = [profiles_of(autoencoder, known) for autoencoder in autoencoders]
    failures = 0
    with progress_bar(len(images) * len(vae), "attributing") as (progress, task):
        for path in images:
            try:
                loaded = load_image(path)
                history = History.of(loaded.pixels)
                scores = []
                for name, autoencoder, candidates in zip(vae, autoencoders, profiles, strict=True):
                    own = profile_for(history, candidates)
                    score = make_score(own.score)
                    own.check(autoencoder.fingerprint, score.name, score.settings)
                    placed = on_cells(score, loaded.pixels, autoencoder.spatial_ratio)
                    scores.append((name, score(autoencoder, placed).value, own))
                    progress.advance(task)
            except LatentTracerError as error:
                failures += 1
                say(f"latent-tracer: {error}")
                if as_json:
                    emit_json({"image": str(path), "vae": None, "error": str(error)})
                continue
            shortest_side = min(loaded.pixels.shape[-2:])
            result = attribute(scores, shortest_side=shortest_side, lossy=loaded.lossy, history=history)
            if as_json:
                emit_json(attribution_record(path, result))
            else:
                show(f"{path}: {result.vae or 'none'} ({result.reason})")
    return 2 if failures else 0


def profiles_of(autoencoder: ModuleAutoencoder, known: list[Profile]) -> tuple[Profile, ...]:
    """The given profiles that fit ``autoencoder``, each for another condition, or the built-in one."""
    fitting = distinct_profiles([profile for profile in known if profile.fingerprint == autoencoder.fingerprint])
    builtin = None if fitting else builtin_profile(autoencoder.fingerprint)
    if not fitting and builtin is None:
        raise InvalidSettingError(
            f"No profile fits {autoencoder.name} ({autoencoder.fingerprint[:8]}): calibrate it and pass --profile."
        )
    return fitting if builtin is None else (builtin,)


def attribution_record(path: Path, result: Attribution) -> dict[str, Any]:
    """The JSON object of one attributed image. Fields are a promise: added, never renamed."""
    return {
        "image": str(path),
        "vae": result.vae,
        "reason": result.reason,
        "tied": list(result.tied),
        "candidates": [
            {
                "vae": candidate.name,
                "verdict": candidate.verdict.answer,
                "score": candidate.verdict.score,
                "p_value": candidate.verdict.p_value,
                "standing": candidate.standing,
            }
            for candidate in result.candidates
        ],
    }
