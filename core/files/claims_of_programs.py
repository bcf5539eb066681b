"""What other programs than ComfyUI write about a picture's making, by the keys they use.

A1111 (and Forge, SD.Next, Civitai) write lines of text, SwarmUI, Fooocus, InvokeAI and NovelAI write JSON. Each is read
by a table of keys; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Program:
    """``within``: the key that holds the settings, "" for the top; ``marks``: keys by which the program is known.

    The others are the keys of the model, the VAE, the sampler and its settings; the first that is there counts.
    """

    name: str
    within: str = ""
    marks: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    vaes: tuple[str, ...] = ()
    samplers: tuple[str, ...] = ()
    settings: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class ProgramClaims:
    """What a ``program`` says made the picture: "" for what it does not say, as read and not yet cleaned."""

    program: str
    model: str = ""
    vae: str = ""
    sampler: str = ""


A1111 = Program(
    "A1111",
    marks=("Steps",),
    models=("Model",),
    vaes=("VAE",),
    samplers=("Sampler",),
    settings=(("scheduler", ("Schedule type",)), ("steps", ("Steps",)), ("cfg", ("CFG scale",)), ("seed", ("Seed",))),
)
JSON_PROGRAMS = (
    Program(
        "SwarmUI",
        within="sui_image_params",
        marks=("model",),
        models=("model",),
        vaes=("vae",),
        samplers=("sampler",),
        settings=(("scheduler", ("scheduler",)), ("steps", ("steps",)), ("cfg", ("cfgscale",)), ("seed", ("seed",))),
    ),
    Program(
        "Fooocus",
        marks=("base_model", "Base Model"),
        models=("base_model", "Base Model"),
        vaes=("vae", "VAE"),
        samplers=("sampler", "Sampler"),
        settings=(
            ("scheduler", ("scheduler", "Scheduler")),
            ("steps", ("steps", "Steps")),
            ("cfg", ("guidance_scale", "Guidance Scale")),
            ("seed", ("seed", "Seed")),
        ),
    ),
    Program(
        "InvokeAI",
        marks=("app_version", "generation_mode", "model_weights"),
        models=("model", "model_weights"),
        vaes=("vae",),
        samplers=("scheduler",),
        settings=(("steps", ("steps",)), ("cfg", ("cfg_scale",)), ("seed", ("seed",))),
    ),
    Program(
        "NovelAI",
        marks=("request_type", "uncond_scale", "signed_hash"),
        models=("model",),
        samplers=("sampler",),
        settings=(("scheduler", ("noise_schedule",)), ("steps", ("steps",)), ("cfg", ("scale",)), ("seed", ("seed",))),
    ),
)
# Words for "the one in the checkpoint".
BAKED_VAES = frozenset({"baked vae", "default (model)", "default", "automatic", "none", ""})
# "Key: value" separated by commas; a value in quotation marks may hold commas itself.
_PAIR = re.compile(r'\s*([A-Z][\w /-]{0,40}):\s*("(?:\\.|[^"\\]){0,2000}"|[^,]{0,2000})(?:,|$)')
_MAX_PAIRS = 400


def claims_of_text(text: str) -> ProgramClaims | None:
    """From A1111's text, whose last lines begin with the number of steps; ``None`` where it is none."""
    at = max(text.rfind("\nSteps: "), 0 if text.startswith("Steps: ") else -1)
    if at < 0:
        return None
    pairs: dict[str, Any] = {}
    position, line = 0, text[at:].lstrip("\n")[:100_000]
    for _ in range(_MAX_PAIRS):
        found = _PAIR.match(line, position)
        if found is None:
            break
        pairs.setdefault(found[1], found[2].strip().strip('"'))
        position = found.end()
    return _by_table(A1111, pairs)


def claims_of_settings(settings: Any, texts: Mapping[str, str]) -> ProgramClaims | None:
    """From parsed JSON; ``None`` where no program of the table wrote it. ``texts``: the other texts of the file."""
    if not isinstance(settings, dict):
        return None
    for program in JSON_PROGRAMS:
        inner = settings.get(program.within) if program.within else settings
        if isinstance(inner, dict) and any(mark in inner for mark in program.marks):
            claims = _by_table(program, inner)
            if program.name == "NovelAI" and not claims.model:  # names its model outside the JSON
                claims = ProgramClaims(claims.program, texts.get("Source", ""), claims.vae, claims.sampler)
            return claims
    return None


def _by_table(program: Program, settings: Mapping[str, Any]) -> ProgramClaims:
    model, vae, sampler = (_name(settings, keys) for keys in (program.models, program.vaes, program.samplers))
    if vae.lower() in BAKED_VAES:
        vae = model if any(key in settings for key in program.vaes) else ""
    named = ((label, _name(settings, keys)) for label, keys in program.settings)
    details = [f"{label} {value}" for label, value in named if value and len(value) <= 40]
    return ProgramClaims(program.name, model, vae, ", ".join([sampler, *details]) if sampler else "")


def _name(settings: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    """The first of ``keys`` that is there, as text; InvokeAI puts a model's name into an object of its own."""
    value = next((settings[key] for key in keys if settings.get(key) is not None), "")
    if isinstance(value, dict):
        value = next((value[key] for key in ("name", "model_name", "key") if isinstance(value.get(key), str)), "")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    return str(value)
