"""What drawings are made from, and a record of it: embedded models with their profiles, free pictures, code, answers.

A drawing takes everything from one :class:`DrawnFrom`, so that its record cannot leave anything out.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from latent_tracer.cli.demo import photographs, shipped_tracer
from latent_tracer.core import Picture, Profile, Traced, Tracer, Verdict, quantise
from latent_tracer.core.models.loading import EMBEDDED
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parent.parent
CORE = REPOSITORY / "core"


class DrawnFrom:
    """Hands out what a drawing is made from, and notes it."""

    def __init__(self) -> None:
        self.models: set[str] = set()
        self.photographs: set[str] = set()
        self.shown: list[dict[str, Any]] = []

    def tracer(self, name: str = "demo-a") -> Tracer:
        """An embedded autoencoder with the profile that ships."""
        self.models.add(name)
        return _tracer(name)

    def profile(self, name: str = "demo-a") -> Profile:
        (profile,) = self.tracer(name).profiles
        return profile

    def photograph(self, name: str = "coffee") -> Tensor:
        """One of the demo's photographs, ``[1,3,256,256]`` in [0,1]."""
        self.photographs.add(name)
        return _photographs()[name]

    def made(self, name: str = "coffee", by: str = "demo-a") -> Tensor:
        """What the model ``by`` makes of that photograph, as 8-bit values."""
        self.tracer(by)
        self.photograph(name)
        return _made(name, by)

    def traced(self, pixels: Tensor, by: str = "demo-a") -> Traced:
        """What the model ``by`` answers about ``pixels``; the answer is shown in the drawing."""
        traced = self.tracer(by).trace(Picture.of(pixels))
        self.says(traced.verdict, by)
        return traced

    def says(self, verdict: Verdict, by: str) -> None:
        self.shown.append({"model": by, "answer": verdict.answer, "score": f"{verdict.score:.3g}"})
        self.shown[-1]["sentence"] = verdict.sentence

    def record(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "models": {name: model_record(name) for name in sorted(self.models)},
            "photographs": {name: photograph_digest(name) for name in sorted(self.photographs)},
            "layout": layout_digest(),
            "shown": self.shown,
        }


@cache
def _tracer(name: str) -> Tracer:
    return shipped_tracer(name)


@cache
def _photographs() -> dict[str, Tensor]:
    return photographs()


@cache
@torch.no_grad()
def _made(name: str, by: str) -> Tensor:
    autoencoder = _tracer(by).autoencoder
    return quantise(autoencoder.decode(autoencoder.encode(_photographs()[name])).cpu())


def model_record(name: str) -> dict[str, str]:
    """Score, and digests of the profile and of the weights, by what lies in ``core/embedded``."""
    profile = json.loads((CORE / "embedded" / f"{name}.profile.json").read_text(encoding="utf-8"))
    weights = hashlib.sha256(EMBEDDED[name].read_bytes()).hexdigest()
    return {"score": profile["score"], "profile": profile["digest"], "weights": weights}


@cache
def photograph_digest(name: str) -> str:
    """SHA-256 of the pixels a drawing starts from."""
    pixels = (_photographs()[name] * 255).round().to(torch.uint8)
    return hashlib.sha256(pixels.numpy().tobytes()).hexdigest()


def layout_sources() -> list[Path]:
    """The modules that lay answers out as pictures and pages, those of their room they import from, those of the
    sentences in them, and the drawings themselves. Other rooms hold what is shown, which is recorded with each picture.
    """
    laid_out = [*(CORE / "reports" / "pictures").glob("*.py"), CORE / "reports" / "page.py"]
    used = {module for path in laid_out for module in _imported(path) if CORE / "reports" in module.parents}
    used |= {CORE / "verdicts" / "verdict.py", CORE / "profiles" / "thresholds.py"}
    drawings = Path(__file__).parent.glob("draw_*.py")
    return sorted({*laid_out, *used, *drawings}, key=lambda path: path.relative_to(REPOSITORY).as_posix())


def _imported(path: Path) -> Iterator[Path]:
    """The files of this package that the module at ``path`` imports from by a relative import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            module = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            yield module.with_suffix(".py") if module.with_suffix(".py").exists() else module / "__init__.py"


@cache
def layout_digest() -> str:
    digest = hashlib.sha256()
    for path in layout_sources():
        digest.update(f"{path.relative_to(REPOSITORY).as_posix()}\n".encode())
        for word in _words(ast.parse(path.read_text(encoding="utf-8"))):
            digest.update(f"{word}\n".encode())
    return digest.hexdigest()


def _words(node: Any) -> Iterator[str]:
    """What a program says, apart from comments, docstrings and spacing; the same under every version of Python."""
    if isinstance(node, ast.AST):
        yield type(node).__name__
        for name, value in ast.iter_fields(node):
            if name == "body" and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                value = value[1:] if ast.get_docstring(node, clean=False) is not None else value
            if value is not None and value != []:
                yield name
                yield from _words(value)
    elif isinstance(node, list):
        for one in node:
            yield from _words(one)
        yield "end"
    else:
        yield repr(node)


def file_record(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def stale(records: dict[str, dict[str, Any]]) -> Iterable[str]:
    """A sentence for each picture of ``records`` (path below the repository to its record) that is not today's."""
    for name, record in records.items():
        path = REPOSITORY / name
        if not path.is_file():
            yield f"{name} is missing"
            continue
        if any(record[key] != value for key, value in file_record(path).items()):
            yield f"{name} is another file than the one that was drawn"
        if record["layout"] != layout_digest():
            yield f"{name} was drawn by other code"
        for model, known in record["models"].items():
            now = model_record(model)
            yield from (f"{name} shows another {key} of {model}" for key in now if now[key] != known.get(key))
        for photograph, digest in record["photographs"].items():
            if digest != photograph_digest(photograph):
                yield f"{name} shows another photograph than today's {photograph}"
