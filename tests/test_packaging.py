"""A wheel holds every package that the repository has, and what they read at run time."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")


def test_every_package_is_listed() -> None:
    listed = re.findall(
        r'"(latent_tracer[\w.]*)"', re.search(r"^packages = \[.*?\]$", PROJECT, re.MULTILINE | re.DOTALL)[0]
    )
    wings = (path.parent.relative_to(REPOSITORY) for top in ("cli", "core", "nodes") for path in
             (REPOSITORY / top).rglob("__init__.py"))  # fmt: skip
    assert sorted(listed) == sorted(["latent_tracer", *(".".join(("latent_tracer", *wing.parts)) for wing in wings)])


def test_every_other_file_of_the_packages_is_package_data() -> None:
    assert '"latent_tracer.core" = ["embedded/*"]' in PROJECT
    others = [
        path.relative_to(REPOSITORY)
        for top in ("cli", "core", "nodes")
        for path in (REPOSITORY / top).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert others and all(path.parent.as_posix() == "core/embedded" for path in others)
