"""One ComfyUI server and one Chromium for all browser tests; skips with one line where either is missing.

Chromium: the program CHROMIUM names, else ``chromium``, ``chromium-browser`` or ``google-chrome`` on the path.
Screenshots for people to look at go to ``screenshots`` beside this file, which git ignores.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from latent_tracer.core import builtin_profile, load_autoencoder, synthetic_photograph, to_picture
from latent_tracer.core.profiles import save_profile

from ..conftest import Server, find_data

SCREENSHOTS = Path(__file__).with_name("screenshots")
NO_BROWSER = "no Chromium found: install it, or set CHROMIUM to its program, to run the browser tests"
NO_PLAYWRIGHT = "playwright is not installed: pip install playwright (its own browsers are not needed)"
NO_DATA = "no data folder with real decoders found: set LATENT_TRACER_DATA to it"


def find_chromium() -> str | None:
    if "CHROMIUM" in os.environ:
        return shutil.which(os.environ["CHROMIUM"])
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    needed: set[str] = set(getattr(item, "fixturenames", ()))
    if find_chromium() is None:
        pytest.skip(NO_BROWSER)
    try:
        import playwright.sync_api  # noqa: F401
    except ModuleNotFoundError:
        pytest.skip(NO_PLAYWRIGHT)
    if "page" in needed and find_data() is None:
        pytest.skip(NO_DATA)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    SCREENSHOTS.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        # In containers Chromium runs as root, which its sandbox refuses; the pages are our own.
        running = driver.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture(scope="session")
def stocked(server: Server, base_directory: Path, data: Path) -> None:
    """Pictures under input, and a profile for each real decoder that the workflows name."""
    folder = base_directory / "input"
    to_picture(synthetic_photograph(3, 96)).save(folder / "example.png")
    for name in ("photographs", "made"):
        (folder / name).mkdir(exist_ok=True)
        for number in range(6):
            to_picture(synthetic_photograph(50 + number, 64)).save(folder / name / f"{number}.png")
    (folder / "photographs" / "broken.png").write_bytes(b"no picture")
    # Their scores are those of another decoder: what the page shows is under test here, not how certain it is.
    shipped = builtin_profile(load_autoencoder("demo-a").fingerprint)
    assert shipped is not None
    for name in ("taesd", "taesdxl", "taesd3"):
        autoencoder = load_autoencoder(data / "weights" / name)
        profile = dataclasses.replace(
            shipped, fingerprint=autoencoder.fingerprint, autoencoder=name, image_sizes=(64, 512)
        )
        save_profile(profile, base_directory / "models" / "latent_trace" / f"{name}.json")


@pytest.fixture
def page(chromium: Any, server: Server, stocked: None) -> Iterator[Any]:
    """ComfyUI's page, open and ready; its complaints are printed when a test fails."""
    opened = chromium.new_page(viewport={"width": 1700, "height": 1150})
    opened.set_default_timeout(90_000)
    opened.on("pageerror", lambda error: print("page error:", error))  # noqa: T201
    opened.goto(f"http://127.0.0.1:{server.port}/", timeout=180_000)
    opened.wait_for_function("window.app?.graph && window.app?.extensionManager", timeout=180_000)
    yield opened
    opened.close()
