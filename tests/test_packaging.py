"""What is handed out: a wheel that runs outside of the repository, a source distribution, a pack for the registry."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from latent_tracer.core import synthetic_photograph, to_picture
from latent_tracer.version import VERSION

from .conftest import REPOSITORY

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, TOOLS = PYPROJECT["project"], PYPROJECT["tool"]
PACKED = [line[2:].rstrip("/") for line in
          (REPOSITORY / ".comfyignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")]  # fmt: skip
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def run(*command: Any, folder: Path, **environment: str) -> str:
    """What the program printed; the repository is neither its folder nor on its path."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env={**inherited, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(kind: str, source: Path, target: Path) -> Path:
    """``source`` built by the hook that pip calls, with the setuptools that is here: nothing is fetched."""
    target.mkdir(exist_ok=True)
    return target / run("-c", BUILD, kind, target, folder=source).splitlines()[-1]


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as stored:
        return {name: stored.read(name) for name in stored.namelist()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, since a build leaves things behind."""
    copy = tmp_path_factory.mktemp("tree") / "clone"
    left = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "results")
    shutil.copytree(REPOSITORY, copy, ignore=left)
    return copy


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    oldest = PYPROJECT["build-system"]["requires"][0].rpartition(">=")[2]
    pytest.importorskip("setuptools", minversion=oldest, reason=f"no setuptools >= {oldest} here to build a wheel with")
    return build("build_wheel", tree, tree.parent / "wheel")


def test_a_wheel_holds_the_packages_whole_and_nothing_else(wheel: Path) -> None:
    tops = (REPOSITORY / name for name in ("cli", "core", "corpus", "nodes"))
    files = [path for top in tops for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    files += [REPOSITORY / name for name in ("__init__.py", "version.py", "py.typed")]
    expected = {f"latent_tracer/{path.relative_to(REPOSITORY).as_posix()}": path.read_bytes() for path in files}
    held = {name: content for name, content in contents(wheel).items() if ".dist-info/" not in name}
    assert sorted(held) == sorted(expected)
    assert held == expected


def test_a_source_distribution_builds_the_same_wheel(tree: Path, wheel: Path) -> None:
    archive = build("build_sdist", tree, tree.parent / "sdist")
    with tarfile.open(archive) as stored:
        stored.extractall(tree.parent / "unpacked", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (source,) = (tree.parent / "unpacked").iterdir()
    assert contents(build("build_wheel", source, tree.parent / "again")) == contents(wheel)


def test_the_metadata_is_what_indexes_need(wheel: Path) -> None:
    held = contents(wheel)
    (prefix,) = {name.partition("/")[0] for name in held if ".dist-info/" in name}
    metadata = email.message_from_bytes(held[f"{prefix}/METADATA"])
    assert (metadata["Name"], metadata["Version"]) == ("latent-tracer", PROJECT["version"])
    assert metadata["License-Expression"] == "MIT" and f"{prefix}/licenses/LICENSE" in held
    urls = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    assert urls.keys() == {"Homepage", "Repository", "Documentation", "Issues", "Changelog"}
    assert {"Typing :: Typed", "Operating System :: OS Independent"} <= set(metadata.get_all("Classifier"))
    assert "# Latent Tracer" in metadata.get_payload()
    scripts = ConfigParser()
    scripts.read_string(held[f"{prefix}/entry_points.txt"].decode())
    assert dict(scripts["console_scripts"]) == {"latent-tracer": "latent_tracer.cli:main"}


def test_what_is_installed_from_a_wheel_traces_away_from_the_repository(wheel: Path, tmp_path: Path) -> None:
    installed, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    with zipfile.ZipFile(wheel) as stored:  # a pure wheel is installed by unpacking it
        stored.extractall(installed)
    elsewhere.mkdir()
    to_picture(synthetic_photograph(seed=3, size=160)).save(elsewhere / "photograph.png")

    program = (
        "import latent_tracer.version as it; print(it.__file__, it.VERSION, sep=chr(10)); "
        "from latent_tracer.cli import main; main()"
    )
    arguments = ("trace", "photograph.png", "--vae", "demo-a", "--json")
    place, version, row = run("-c", program, *arguments, folder=elsewhere, PYTHONPATH=str(installed)).splitlines()
    assert Path(place).parent == installed / "latent_tracer"
    assert version == PROJECT["version"]
    assert json.loads(row)["verdict"] == "non-belonging"


def test_the_version_has_one_source() -> None:
    assert PROJECT["version"] == VERSION
    # Written out and in three numbers: ComfyUI-Manager reads no other.
    assert re.fullmatch(r"\d+\.\d+\.\d+", PROJECT["version"]) and "dynamic" not in PROJECT


def test_every_minimum_is_one_that_is_tested() -> None:
    wanted = [
        *PROJECT["dependencies"],
        *PROJECT["optional-dependencies"]["cli"],
        *PROJECT["optional-dependencies"]["demo"],
    ]
    minima = dict(one.split(">=") for one in wanted if not one.startswith("latent-tracer"))
    lines = (REPOSITORY / ".github" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins.keys() == minima.keys()
    assert all(pins[name] == version or pins[name].startswith(f"{version}.") for name, version in minima.items())


def test_the_registry_of_comfyui_finds_what_it_wants() -> None:
    comfy = TOOLS["comfy"]
    assert PROJECT["urls"]["Repository"].startswith("https://github.com/")
    assert comfy["PublisherId"] and comfy["DisplayName"] == "Latent Tracer"
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])
    icon = (REPOSITORY / comfy["Icon"].partition("/main/")[2]).read_text(encoding="utf-8")
    width, height = (int(re.search(rf'<svg [^>]*\b{side}="(\d+)"', icon)[1]) for side in ("width", "height"))
    assert width == height <= 400


def loads_everything(pack: Path) -> str:
    """A program that imports the pack as ComfyUI does, under its folder's name, and all that needs no ComfyUI."""
    return f"""
import importlib, importlib.util, json, pkgutil, sys
spec = importlib.util.spec_from_file_location({str(pack)!r}, {str(pack / "__init__.py")!r})
sys.modules[{str(pack)!r}] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
for wing in ("cli", "core"):
    package = importlib.import_module(f"{{spec.name}}.{{wing}}")
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
version = importlib.import_module(spec.name + ".version").VERSION
decoder = importlib.import_module(spec.name + ".core").load_autoencoder("demo-a").name
print(json.dumps([version, decoder, module.WEB_DIRECTORY, sorted(sys.modules)]))
"""


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """The pack as the registry hands it out."""
    pack = tmp_path / "custom_nodes" / "latent-tracer"
    pack.mkdir(parents=True)
    for name in PACKED:
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, pack / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / name, pack / name)
    return pack


def test_what_the_registry_packs_is_a_whole_pack(packed: Path, tmp_path: Path) -> None:
    first = (REPOSITORY / ".comfyignore").read_text(encoding="utf-8").splitlines()[1]
    assert first == "/*", "whatever is not named must stay out"
    version, decoder, web, modules = json.loads(run("-c", loads_everything(packed), folder=tmp_path))
    assert (version, decoder) == (PROJECT["version"], "demo-a")
    assert not any(module.partition(".")[0] == "latent_tracer" for module in modules), "the repository helped"
    nodes = json.loads((packed / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    assert nodes and all((packed / web / "docs" / f"{node}.md").is_file() for node in nodes)
    assert list((packed / "subgraphs").glob("*.json"))
    assert list((packed / "workflows" / "examples").glob("pictures/*/*.png"))
    workflows = [path.stem for path in (packed / "workflows").glob("*.json")]
    assert workflows and all((packed / "workflows" / f"{workflow}.jpg").is_file() for workflow in workflows)
