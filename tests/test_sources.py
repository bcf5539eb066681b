"""What every source file must be, whoever reads it: ComfyUI's own checks and Windows consoles among them."""

from __future__ import annotations

import pytest

from .conftest import REPOSITORY

FOLDERS = ("core", "corpus", "nodes", "cli", "tools", "benchmarks", "tests")
SOURCES = sorted(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_sources_hold_only_characters_that_windows_code_pages_know(folder):
    for path in (p for p in SOURCES if p.is_relative_to(REPOSITORY / folder)):
        path.read_text(encoding="utf-8").encode("cp1252")


def test_core_imports_neither_comfyui_nor_what_it_does_not_ship():
    banned = ("comfy", "folder_paths", "diffusers", "typer", "rich", "ray", "pyarrow", "fsspec")
    # Architectures outside ComfyUI, imported where they are asked for.
    allowed = {"loading.py": {"diffusers"}, "one_step.py": {"diffusers"}}
    for path in (p for p in SOURCES if p.is_relative_to(REPOSITORY / "core")):
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                module = words[1].split(".")[0]
                assert module not in banned or module in allowed.get(path.name, set()), f"{path}: {line}"
