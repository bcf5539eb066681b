"""Pictures of README and of the nodes' help pages: what the program itself draws about an embedded autoencoder."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from draw_tiles import fingerprint, foreign, four_tiles, inversion, inversion_of_coffee, origin
from drawn_from import DrawnFrom
from latent_tracer.cli.trace_run import TraceRun
from latent_tracer.core import Picture, Traced, Tracer, attribute, to_picture, verdict_from_threshold
from latent_tracer.core.reports.folder_report import PAGE_NAME
from latent_tracer.core.reports.pictures import attribution_chart, score_distribution, trace_picture
from latent_tracer.core.reports.pictures.style import CANVAS
from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngInfo

# ComfyUI shows help in a column of 300 pixels: what is drawn twice as wide has words of ten pixels there.
WIDTH, TILE = 640, 264
# The report's page in a window of 500 pixels, enlarged to the same width.
PAGE, ENLARGED = (500, 2400), 1.28
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def readme(source: DrawnFrom) -> Image.Image:
    """As ``latent-tracer demo`` draws its first picture, explanation included."""
    traced = source.traced(source.made())
    return trace_picture(dataclasses.replace(traced, inversion=inversion_of_coffee()))


def trace(source: DrawnFrom) -> Image.Image:
    return trace_picture(source.traced(source.made("chelsea")), width=WIDTH)


def verdict(source: DrawnFrom) -> Image.Image:
    """An inversion's loss against a threshold given by hand."""
    source.made()
    found = inversion_of_coffee()
    answer = verdict_from_threshold(float(found.loss[0]), 1e-5)
    source.says(answer, "demo-a")
    return trace_picture(Traced.of_inversion(found, 0, answer), width=WIDTH)


def distribution(source: DrawnFrom) -> Image.Image:
    return score_distribution(source.profile(), source.traced(source.made()).verdict.score, WIDTH)


def attribution(source: DrawnFrom) -> Image.Image:
    """Two candidates, one of which made the picture."""
    candidates = [Tracer(source.tracer(name).autoencoder, name=name) for name in ("demo-a", "demo-b")]
    result = attribute(candidates, Picture.of(source.made()))
    for candidate in result.candidates:
        source.says(candidate.verdict, candidate.name)
    return attribution_chart(result, WIDTH)


def report(source: DrawnFrom) -> Image.Image:
    """The HTML page about a small folder, as a browser shows it."""
    browser = next(filter(None, map(shutil.which, (os.environ.get("CHROMIUM", ""), *BROWSERS))), None)
    if browser is None:
        raise SystemExit("The report's page is drawn by Chromium: install it, or set CHROMIUM to its program.")
    with tempfile.TemporaryDirectory() as place:
        folder, result, screenshot = Path(place) / "folder", Path(place) / "report", Path(place) / "page.png"
        folder.mkdir()
        made = to_picture(source.made())
        made.save(folder / "cup.png", pnginfo=claim_of("demo-a.safetensors"))
        to_picture(source.photograph()).save(folder / "cup, camera.png", pnginfo=claim_of("demo-a.safetensors"))
        to_picture(source.photograph("chelsea")).save(folder / "cat.jpg", quality=90)
        (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        tracer = source.tracer()
        named = Tracer(tracer.autoencoder, name=tracer.name, known_as=("demo-a.safetensors",))
        TraceRun(named, tracer.name, None, None, False)([folder], result)
        for row in json.loads((result / "report.json").read_text(encoding="utf-8"))["rows"]:
            source.shown.append({"model": "demo-a", "answer": row["verdict"], "score": str(row["score"])})
        # In containers Chromium runs as root, which its sandbox refuses; the page is our own.
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={place}/user")
        size = (f"--window-size={PAGE[0]},{PAGE[1]}", f"--force-device-scale-factor={ENLARGED}")
        page = (result / PAGE_NAME).as_uri()
        subprocess.run([browser, *options, *size, f"--screenshot={screenshot}", page], check=True, capture_output=True)
        with Image.open(screenshot) as drawn:
            whole = drawn.convert("RGB")
    bottom = ImageChops.difference(whole, Image.new("RGB", whole.size, CANVAS)).getbbox()[3]
    return whole.crop((0, 0, whole.width, min(whole.height, bottom + 24)))


def claim_of(vae: str) -> PngInfo:
    """The graph that ComfyUI stores with a picture, decoded by ``vae``."""
    graph = {
        "1": {"class_type": "VAELoader", "inputs": {"vae_name": vae}},
        "2": {"class_type": "VAEDecode", "inputs": {"vae": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
    }
    info = PngInfo()
    info.add_text("prompt", json.dumps(graph))
    return info


HELP_PAGES = {
    "trace.jpg": trace,
    "verdict.jpg": verdict,
    "distribution.png": distribution,
    "attribution.png": attribution,
    "report.png": report,
    "inversion.jpg": lambda source: four_tiles(inversion(source, TILE)),
    "origin.jpg": lambda source: four_tiles(origin(source, TILE)),
    "fingerprint.jpg": lambda source: four_tiles(fingerprint(source, TILE)),
    "foreign.jpg": lambda source: four_tiles(foreign(source, TILE)),
}
