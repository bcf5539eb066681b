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
from ..core.history import History
from ..core.scores import on_cells
from .console import emit_json, progress_bar, say, show


def attribute_command(
    images: Annotated[list[Path], typer.Argument(help="Pictures to attribute, as they were saved.")],
    vae: Annotated[list[str], typer.Option(help="A candidate; repeat for each.")],
    profile: Annotated[list[Path] | None, typer.Option(help="Profiles of the candidates, in any order.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per image, one per line.")] = False,
) -> int:
    """Say which candidate made each picture, if one did. Every candidate needs a profile (see calibrate)."""
    autoencoders = [load_autoencoder(name, device) for name in vae]
    known = {p.fingerprint: p for p in (load_profile(path) for path in profile or [])}
    profiles = [profile_for(autoencoder, known) for autoencoder in autoencoders]
    failures = 0
    with progress_bar(len(images) * len(vae), "attributing") as (progress, task):
        for path in images:
            try:
                loaded = load_image(path)
                scores = []
                for name, autoencoder, own in zip(vae, autoencoders, profiles, strict=True):
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
            shortest_side, history = min(loaded.pixels.shape[-2:]), History.of(loaded.pixels)
            result = attribute(scores, shortest_side=shortest_side, lossy=loaded.lossy, history=history)
            if as_json:
                emit_json(attribution_record(path, result))
            else:
                show(f"{path}: {result.vae or 'none'} ({result.reason})")
    return 2 if failures else 0


def profile_for(autoencoder: ModuleAutoencoder, known: dict[str, Profile]) -> Profile:
    """The given or built-in profile that fits ``autoencoder``."""
    profile = known.get(autoencoder.fingerprint) or builtin_profile(autoencoder.fingerprint)
    if profile is None:
        raise InvalidSettingError(
            f"No profile fits {autoencoder.name} ({autoencoder.fingerprint[:8]}): calibrate it and pass --profile."
        )
    return profile


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
