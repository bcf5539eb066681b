"""One ComfyUI server and one Chromium for all browser tests; skips with one line where either is missing.

Chromium: the program CHROMIUM names, else ``chromium``, ``chromium-browser`` or ``google-chrome`` on the path.
Screenshots for people to look at go to ``screenshots`` beside this file, which git ignores.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..client import Client
from ..conftest import NO_DATA, PACK, PACK_NAME, Server, find_data, link

SCREENSHOTS = Path(__file__).with_name("screenshots")
NO_BROWSER = "no Chromium found: install it, or set CHROMIUM to its program, to run the browser tests"
NO_PLAYWRIGHT = "playwright is not installed: pip install playwright (its own browsers are not needed)"


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
    if "stocked_page" in needed and find_data() is None:
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
def bare_server(comfyui: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """ComfyUI as downloaded, with its own example picture, and the pack: no weights of anybody's."""
    base = tmp_path_factory.mktemp("bare")
    (base / "custom_nodes").mkdir()
    link(PACK, base / "custom_nodes" / PACK_NAME)
    (base / "input").mkdir()
    shutil.copy(comfyui / "input" / "example.png", base / "input")
    running = Server(comfyui, base)
    try:
        running.wait_until_ready(Client(f"http://127.0.0.1:{running.port}"))
        yield running
    finally:
        running.stop()


def opened(chromium: Any, server: Server, **context: str) -> Any:
    """ComfyUI's page, open and ready; its complaints are printed when a test fails."""
    page = chromium.new_context(viewport={"width": 1700, "height": 1150}, **context).new_page()
    page.set_default_timeout(120_000)
    page.on("pageerror", lambda error: print("page error:", error))  # noqa: T201
    page.goto(f"http://127.0.0.1:{server.port}/", timeout=180_000)
    page.wait_for_function("window.app?.graph && window.app?.extensionManager", timeout=180_000)
    return page


@pytest.fixture
def page(chromium: Any, bare_server: Server) -> Iterator[Any]:
    """A newcomer's page, on a bare install."""
    newcomer = opened(chromium, bare_server)
    yield newcomer
    newcomer.context.close()


@pytest.fixture
def stocked_page(chromium: Any, server: Server, data: Path) -> Iterator[Any]:
    """Where the real decoders are."""
    owner = opened(chromium, server)
    yield owner
    owner.context.close()
