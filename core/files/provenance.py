"""What a picture's metadata claims about its making, and whether its pixels agree.

ComfyUI stores the graph that made a picture in the file: ``prompt`` as it was executed, ``workflow`` as it was drawn.
Anyone can write anything there. It is parsed as data, shown with every name cleaned, compared with the verdict, and
never trusted, never executed, never used as a path.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from ..storage.safe_text import clean_text
from .claims_of_graphs import MAX_NODES, GraphClaims, claims_of_prompt, claims_of_workflow
from .claims_of_programs import ProgramClaims, claims_of_settings, claims_of_text
from .manifest import manifest_note
from .metadata import PictureTexts, read_texts

MAX_JSON_CHARACTERS = 8 * 1024 * 1024


@dataclass(frozen=True)
class Claims:
    """Cleaned names from the metadata. ``vaes`` are those that decoded the picture, by the file or the checkpoint they
    came from; nearest to the saved picture first. ``notes``: what could not be read, and why. ``alterations``: nodes
    that resized, cut or turned the picture after it was decoded.
    """

    checkpoints: tuple[str, ...] = ()
    vaes: tuple[str, ...] = ()
    samplers: tuple[str, ...] = ()
    source: str = ""
    notes: tuple[str, ...] = ()
    alterations: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.checkpoints or self.vaes or self.samplers)

    @property
    def sentence(self) -> str:
        """All claims in one line, or that there are none."""
        parts = (("checkpoint", self.checkpoints), ("VAE", self.vaes), ("sampler", self.samplers))
        named = "; ".join(f"{kind} {', '.join(names)}" for kind, names in parts if names)
        notes = f" ({'; '.join(self.notes)})" if self.notes else ""
        return f"the file's {self.source} claims {named}{notes}" if named else f"the file claims nothing{notes}"


def read_claims(content: bytes, exif: bytes = b"") -> Claims:
    """The claims in the bytes of a picture file; never raises, whatever the bytes are.

    ``exif``: the EXIF block, where only Pillow knows the container.
    """
    found = read_texts(content, exif)
    notes = list(found.notes)
    if found.manifest:
        notes.append(manifest_note(content))
    if found.digital_source:
        notes.append(f"it calls itself {clean_text(found.digital_source)} (IPTC digital source type)")
    graph = _graph_claims(found, notes)
    claims = graph or _program_claims(found, notes)
    # A graph that names no model still tells what was done to the picture since.
    return dataclasses.replace(claims, notes=tuple(notes), alterations=claims.alterations or graph.alterations)


def _graph_claims(found: PictureTexts, notes: list[str]) -> Claims:
    """From ComfyUI's graphs; ``notes`` are added to."""
    altered: tuple[str, ...] = ()
    for keyword, collect in (("prompt", claims_of_prompt), ("workflow", claims_of_workflow)):
        if keyword not in found.texts:
            continue
        graph, problem = parse_json(found.texts[keyword])
        if problem:
            notes.append(f"its {keyword} {problem}")
            continue
        if isinstance(graph, dict) and len(graph) > MAX_NODES:
            notes.append(f"its {keyword} has more than {MAX_NODES} nodes, the first were read")
        claims = collect(graph)
        altered = altered or claims.alterations
        if claims:
            return dataclasses.replace(_cleaned(claims, keyword), alterations=altered)
        notes.append(f"its {keyword} names no model that we know how to read")
    return Claims(alterations=altered)


def _program_claims(found: PictureTexts, notes: list[str]) -> Claims:
    """From what other programs write; ``notes`` are added to."""
    is_foreign = found.has_others
    for keyword in ("parameters", "invokeai_metadata", "sd-metadata", "Comment"):
        text = found.texts.get(keyword)
        if text is None:
            continue
        claims: ProgramClaims | GraphClaims | None = claims_of_text(text)
        if claims is None and text.lstrip().startswith("{"):
            settings, problem = parse_json(text)
            if problem:
                notes.append(f"its {keyword} {problem}")
            claims = claims_of_settings(settings, found.texts)
            if claims is None and isinstance(settings, dict):  # ComfyUI's graph, put into one field with others
                inner = settings.get("prompt")
                inner = parse_json(inner)[0] if isinstance(inner, str) and inner.startswith("{") else inner
                claims = claims_of_prompt(inner) or claims_of_prompt(settings) or None
        if claims:
            return _cleaned(claims, f"{claims.program} metadata" if isinstance(claims, ProgramClaims) else keyword)
        is_foreign = is_foreign or keyword != "Comment" or text.lstrip().startswith("{")
    if is_foreign:
        notes.append("metadata of another program, not read")
    return Claims()


def _cleaned(claims: GraphClaims | ProgramClaims, source: str) -> Claims:
    if isinstance(claims, ProgramClaims):
        model, vae, sampler = ((clean_text(one),) if one else () for one in (claims.model, claims.vae, claims.sampler))
        return Claims(model, vae, sampler, source)
    return Claims(claims.checkpoints, claims.vaes, claims.samplers, source, alterations=claims.alterations)


def parse_json(text: str) -> tuple[Any, str]:
    """The parsed ``text`` and "", or ``None`` and why it was not parsed."""
    if len(text) > MAX_JSON_CHARACTERS:
        return None, f"has more than {MAX_JSON_CHARACTERS // 2**20} Mi characters and was not read"
    try:
        # NaN is what ComfyUI writes for nodes that always run; a number of thousands of digits is an attack.
        return json.loads(text, parse_constant=lambda _: None, parse_int=_short_int), ""
    except RecursionError:
        return None, "is nested too deeply and was not read"
    except ValueError:
        return None, "is no valid JSON"


def _short_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= 20 else None
