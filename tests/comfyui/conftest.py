"""A real ComfyUI server with the pack in it, once per session; tests skip with one line where there is none.

ComfyUI: the folder COMFYUI_PATH, else the installation whose custom_nodes holds this repository, else ~/comfy/ComfyUI.
Real decoders and photographs: the folder LATENT_TRACER_DATA, else ``shared`` next to the repository.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from latent_tracer.core import synthetic_photograph, to_picture
from PIL import Image

from .client import Client
from .prompts import calibration, decoded

PACK = Path(__file__).resolve().parents[2]
PACK_NAME = "latent-tracer"
EMBEDDED = PACK / "core" / "embedded" / "vae"
BOOT_SECONDS = 900
SUBPROCESS_SECONDS = 1500

NO_COMFYUI = "no ComfyUI found: set COMFYUI_PATH to a ComfyUI folder to run the ComfyUI tests"
NO_DATA = "no data folder with real decoders found: set LATENT_TRACER_DATA to it"
DECODERS = ("taesd", "taesdxl", "taesd3", "taef1", "taef2", "demo-a.safetensors")


def find_comfyui() -> Path | None:
    if "COMFYUI_PATH" in os.environ:
        candidates = [Path(os.environ["COMFYUI_PATH"]).expanduser()]
    else:
        candidates = [PACK.parents[1], Path("~/comfy/ComfyUI").expanduser()]
    return next((root for root in candidates if (root / "main.py").is_file() and (root / "comfy").is_dir()), None)


def find_data() -> Path | None:
    folder = Path(os.environ.get("LATENT_TRACER_DATA", PACK.parent / "shared")).expanduser()
    return folder if (folder / "weights").is_dir() else None


def python_of(comfyui: Path) -> str:
    inside = (comfyui / ".venv/bin/python", comfyui / ".venv/Scripts/python.exe")
    return next((str(python) for python in inside if python.is_file()), sys.executable)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip here and not in a fixture: pytest folds what is skipped at one place into one line."""
    if find_comfyui() is None:
        pytest.skip(NO_COMFYUI)
    if find_data() is None and {"data", "measurements"} & set(getattr(item, "fixturenames", ())):
        pytest.skip(NO_DATA)


@pytest.fixture(scope="session")
def comfyui() -> Path:
    root = find_comfyui()
    assert root is not None
    return root


@pytest.fixture(scope="session")
def data() -> Path:
    folder = find_data()
    assert folder is not None
    return folder


class Server:
    """The process, its folder and its log."""

    def __init__(self, comfyui: Path, base: Path, *options: str) -> None:
        self.base = base
        self.log_path = base / f"server{''.join(options)}.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [
            *(python_of(comfyui), "main.py", "--cpu", "--disable-api-nodes", "--port", str(self.port)),
            *("--base-directory", str(base), "--database-url", "sqlite:///:memory:"),
            *options,
        ]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=comfyui, stdout=log, stderr=subprocess.STDOUT)

    @property
    def log(self) -> str:
        """What the server printed, without colours."""
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    def wait_until_ready(self, client: Client) -> dict[str, Any]:
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                pytest.fail(f"ComfyUI ended with code {self.process.returncode}:\n{self.log[-4000:]}", pytrace=False)
            try:
                return client.get_json("/system_stats")
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.5)
        pytest.fail(f"ComfyUI did not answer within {BOOT_SECONDS} s:\n{self.log[-4000:]}", pytrace=False)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(30)


@pytest.fixture(scope="session")
def base_directory() -> Iterator[Path]:
    """Models, custom nodes and input of the test server: links to the pack and to the weights that are there."""
    base = Path(tempfile.mkdtemp(prefix="latent-tracer-comfyui-"))
    for folder in ("custom_nodes", "input", "output", "models/vae", "models/vae_approx"):
        (base / folder).mkdir(parents=True)
    link(PACK, base / "custom_nodes" / PACK_NAME)
    link(Path(__file__).parent / "probe_nodes", base / "custom_nodes" / "probe_nodes")
    folder = find_data()
    for weights in sorted(folder.glob("weights/tae*.safetensors")) if folder else []:
        link(weights, base / "models/vae_approx" / weights.name)
    # Under other names than the pack's own: a user's files, which the pack has not seen before.
    for weights in sorted(EMBEDDED.glob("*.safetensors")):
        link(weights, base / "models/vae" / weights.name.removeprefix("zz-latent-tracer-"))
    yield base
    shutil.rmtree(base, ignore_errors=True)


def link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source, target_is_directory=source.is_dir())
    except OSError:  # Windows without the right to make links
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        else:
            shutil.copyfile(source, target)


@pytest.fixture(scope="session")
def server(comfyui: Path, base_directory: Path, closing_line: Callable[[str], None]) -> Iterator[Server]:
    running = Server(comfyui, base_directory)
    try:
        stats = running.wait_until_ready(Client(f"http://127.0.0.1:{running.port}"))["system"]
        closing_line(
            f"ComfyUI tier ran on ComfyUI {stats['comfyui_version']}, torch {stats['pytorch_version']},"
            f" Python {stats['python_version'].split()[0]}"
        )
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def client(server: Server) -> Client:
    return Client(f"http://127.0.0.1:{server.port}")


@pytest.fixture(autouse=True)
def server_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """Shows the part of the server's log that belongs to a failing test (pytest prints captured output then)."""
    running = request.getfixturevalue("server") if "server" in request.fixturenames else None
    start = len(running.log) if running else 0
    yield
    if running:
        sys.stdout.write(running.log[start:][-4000:])


@pytest.fixture(params=DECODERS)
def decoder(request: pytest.FixtureRequest, client: Client) -> str:
    """Each real decoder, as VAELoader names it, and one that comes with the pack."""
    return available(request.param, client)


@pytest.fixture
def any_decoder(client: Client) -> str:
    offered = client.choices("VAELoader", "vae_name")
    return next((name for name in DECODERS if name in offered), None) or available("taesd", client)


@pytest.fixture(scope="session")
def taesd(client: Client) -> str:
    return available("taesd", client)


@pytest.fixture(scope="session")
def taesd3(client: Client) -> str:
    return available("taesd3", client)


def available(name: str, client: Client) -> str:
    if name in client.choices("VAELoader", "vae_name"):
        return name
    if name.endswith(".safetensors"):
        pytest.skip(f"the pack brings no {name}")
    if find_data() is None:
        pytest.skip(NO_DATA)
    pytest.skip(f"this ComfyUI does not load {name}")


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def photographs(client: Client) -> Callable[..., str]:
    """``photographs(seed, width, height, mode)`` uploads a synthetic photograph, at most 128², and returns its name."""

    def upload(seed: int = 1, width: int = 64, height: int = 64, mode: str = "RGB") -> str:
        picture = to_picture(synthetic_photograph(seed, 128)).crop((0, 0, width, height)).convert(mode)
        if mode == "RGBA":
            picture.putalpha(Image.linear_gradient("L").resize(picture.size))
        return client.upload_image(f"photograph-{seed}-{width}x{height}-{mode}.png", png(picture))

    return upload


@pytest.fixture(scope="session")
def folder(base_directory: Path) -> str:
    """A folder under input with eight synthetic photographs of three sizes."""
    name = "photographs"
    (base_directory / "input" / name).mkdir()
    for seed, (width, height) in enumerate([(56, 56), (72, 64), (56, 72)] * 2 + [(72, 72)] * 2, start=101):
        picture = to_picture(synthetic_photograph(seed, 128)).crop((0, 0, width, height))
        picture.save(base_directory / "input" / name / f"{seed}.png")
    return name


@pytest.fixture(scope="session")
def profile_of(client: Client, folder: str) -> Callable[[str], str]:
    """``profile_of(decoder)`` calibrates it, once, and returns the name of the file as Load Trace Profile offers it."""
    made: dict[str, str] = {}

    def profile(decoder: str) -> str:
        if decoder not in made:
            name = f"of {decoder.removesuffix('.safetensors')}"
            client.succeed(calibration(decoder, folder, name))
            made[decoder] = f"{name}.json"
        return made[decoder]

    return profile


@pytest.fixture(scope="session")
def decoded_by(client: Client, photographs: Callable[..., str]) -> Callable[..., str]:
    """``decoded_by(decoder, seed, width, height)``: a photograph through that VAE, as Save Image stored it."""

    def make(decoder: str, *photograph: int) -> str:
        run = client.succeed(decoded(decoder, photographs(*photograph)))
        name = f"decoded-{decoder}-{'-'.join(map(str, photograph))}.png"
        return client.upload_image(name, client.view(run.images("save")[0]))

    return make


@pytest.fixture(scope="session")
def measurements(comfyui: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``inside_comfyui.py`` measured with ComfyUI's own Python, and the folder of the files it wrote."""
    folder = tmp_path_factory.mktemp("inside")
    command = [python_of(comfyui), str(Path(__file__).with_name("inside_comfyui.py")), str(comfyui), str(PACK)]
    done = subprocess.run(
        [*command, str(data / "weights"), str(folder)],
        cwd=comfyui,
        capture_output=True,
        text=True,
        timeout=SUBPROCESS_SECONDS,
    )
    if done.returncode != 0:
        pytest.fail(f"inside_comfyui.py failed:\n{done.stderr[-4000:]}", pytrace=False)
    return {**json.loads((folder / "measurements.json").read_text()), "folder": folder}
