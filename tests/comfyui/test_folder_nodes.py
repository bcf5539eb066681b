"""Folders on a running server: every picture gets a verdict, every file a line, nothing outside input is read."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from latent_tracer.core import synthetic_photograph, to_picture
from PIL import Image, PngImagePlugin

from .client import Client, Events
from .conftest import PACK, available, png
from .prompts import node, trace_image
from .test_tracing import picture
from .test_wrong_inputs import sentence
from .workflow import Prompt, with_defaults

DRIVE = PACK / "tools" / "drive_comfyui.py"


def claiming(vae: str) -> PngImagePlugin.PngInfo:
    prompt = {
        "1": node("VAELoader", vae_name=vae),
        "2": node("VAEDecode", samples=["9", 0], vae=["1", 0]),
        "3": node("SaveImage", images=["2", 0]),
    }
    information = PngImagePlugin.PngInfo()
    information.add_text("prompt", json.dumps(prompt))
    return information


@pytest.fixture(scope="module")
def mixed(base_directory: Path) -> str:
    """Two clean pictures, one with metadata, a JPEG, a flat one, a broken one, and a link that leads out of input."""
    folder = base_directory / "input" / "mixed" / "below"
    folder.mkdir(parents=True)
    picture = to_picture(synthetic_photograph(31, 96))
    picture.save(folder.parent / "a.png")
    picture.crop((0, 0, 64, 72)).save(folder.parent / "b.png", pnginfo=claiming("demo-a.safetensors"))
    picture.save(folder / "c.jpg")
    Image.new("RGB", (64, 64), "#888").save(folder / "flat.png")
    (folder / "broken.png").write_bytes(b"no picture")
    secret = base_directory / "secret.png"
    picture.save(secret)
    (folder / "link.png").symlink_to(secret)
    return "mixed"


def folder_prompt(folder: str, decoder: str = "demo-a.safetensors", **settings: Any) -> Prompt:
    return {
        "vae": node("VAELoader", vae_name=decoder),
        "folder": node("LatentTracerLoadImages", folder=folder, **settings),
        "trace": node("LatentTracerTraceImage", vae=["vae", 0], image=["folder", 0], file=["folder", 1], steps=1),
        "save": node("LatentTracerSaveReport", row=["trace", 5], unreadable=["folder", 2], name="of a test"),
        "answers": node("PreviewAny", source=["trace", 1]),
    }


def test_a_folder_becomes_a_report(client: Client, mixed: str, base_directory: Path) -> None:
    run = client.succeed(folder_prompt(mixed))
    assert run.text("folder").startswith("4 pictures loaded, 2 files could not be read")
    said = run.text("save")
    assert "6 files" in said
    place = base_directory / "output" / said.splitlines()[-1].split("output/")[1]
    report = json.loads((place.parent / "report.json").read_text())
    rows = {row["name"]: row for row in report["rows"]}
    assert sorted(rows) == ["a.png", "b.png", "below/broken.png", "below/c.jpg", "below/flat.png", "below/link.png"]
    assert all(rows[name]["verdict"] is not None for name in ("a.png", "b.png", "below/c.jpg"))
    assert rows["b.png"]["claimed_vaes"] == ["demo-a.safetensors"]
    assert rows["b.png"]["model"] == "demo-a.safetensors"
    assert rows["below/c.jpg"]["lossy"] and rows["below/c.jpg"]["verdict"] == "inconclusive"
    assert all(rows[f"below/{name}.png"]["verdict"] is None for name in ("broken", "link"))
    assert rows["below/flat.png"]["verdict"] == "inconclusive" and rows["below/flat.png"]["score"] is None
    assert "link" in rows["below/link.png"]["error"]
    with (place.parent / "report.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 6
    page = place.read_text(encoding="utf-8")
    assert page.count("<tr>") == 7 and page.count("data:image/jpeg") == 4
    assert "not traced: below/broken.png: " in said and "traced in " in said
    # What a person must see is a picture, for the frontend draws no text here.
    assert all(picture(client, run.images(name)[0]).width == 800 for name in ("folder", "save"))
    # One picture per image, flat one included; a second run gets a folder of its own.
    assert len(run.images("trace")) == 4
    again = client.succeed({**folder_prompt(mixed, first=1, most=2)}).text("save")
    assert again.splitlines()[-1] != said.splitlines()[-1]
    # Of the files beyond `most` only the refused link is known; the broken one was not opened.
    assert "1 more" not in again and "3 files" in again


def test_answers_are_told_while_a_folder_runs_and_kept_when_it_is_cancelled(
    client: Client, base_directory: Path
) -> None:
    folder = base_directory / "input" / "cancelled"
    folder.mkdir()
    for number in range(30):
        Image.effect_noise((64, 64), 60 + number).convert("RGB").save(folder / f"{number:02}.png")
    before = set((base_directory / "output").rglob("unfinished_*/report.json"))
    told: list[str] = []
    with Events(client.url) as events:
        prompt_id = client.queue(folder_prompt(folder.name), events.client_id)
        while True:
            event = events.next()
            if isinstance(event, bytes) and event[:4] == b"\0\0\0\3":
                told.append(event[8 + int.from_bytes(event[4:8], "big") :].decode())
                if told[-1].startswith("2 of 30: "):
                    client.interrupt()
            elif isinstance(event, dict) and event["type"] in ("execution_success", "execution_interrupted"):
                break
    assert client.wait(prompt_id).interrupted is not None
    assert "last: 00.png: " in next(text for text in told if text.startswith("1 of 30: "))
    assert told[-1].startswith("cancelled: ") and "kept in output/latent-tracer/unfinished_" in told[-1]
    (kept,) = set((base_directory / "output").rglob("unfinished_*/report.json")) - before
    report = json.loads(kept.read_text())
    assert not report["complete"] and len(report["rows"]) + report["pending"] == 30
    assert [row["name"] for row in report["rows"]][:2] == ["00.png", "01.png"]


@pytest.mark.parametrize("folder", ["..", "../..", "/etc", "mixed/../../..", "no such folder"])
def test_no_folder_outside_input_is_read(client: Client, folder: str) -> None:
    said = sentence(client.fail(folder_prompt(folder)), "InvalidSettingError")
    assert "ComfyUI's input" in said and "/etc/" not in said.replace("'/etc'", "")


@pytest.mark.parametrize("name", ["../../escape", "/tmp/escape", "a/b", "", "..", "x" * 300])
def test_no_report_is_saved_outside_output(client: Client, mixed: str, name: str, base_directory: Path) -> None:
    prompt = folder_prompt(mixed, most=1)
    prompt["save"]["inputs"]["name"] = name
    assert "cannot name a report" in client.fail(prompt)["exception_message"]
    assert not list(base_directory.rglob("*escape*"))


def test_a_picture_from_load_image_brings_its_metadata(client: Client, photographs: Any) -> None:
    picture = to_picture(synthetic_photograph(33, 96))
    name = client.upload_image("claims.png", stored(picture, claiming("demo-a.safetensors")))
    said = client.succeed(trace_image("demo-a.safetensors", name)).text("trace")
    assert "claims VAE demo-a.safetensors" in said
    # Through another node the file is no longer what is traced.
    prompt = trace_image("demo-a.safetensors", name)
    prompt["flip"] = node("ImageInvert", image=["image", 0])
    prompt["trace"]["inputs"]["image"] = ["flip", 0]
    assert "claims" not in client.succeed(prompt).text("trace")


def stored(picture: Image.Image, information: PngImagePlugin.PngInfo) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=information)
    return buffer.getvalue()


def drive(client: Client, workflow: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DRIVE), str(workflow), "--server", client.url, "-o", str(out), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_the_script_collects_verdicts_and_pictures(client: Client, tmp_path: Path) -> None:
    picture = tmp_path / "a picture.png"
    picture.write_bytes(png(to_picture(synthetic_photograph(35, 64))))
    workflow = PACK / "workflows/api/trace_image.app.json"
    settings = ("--image", f"2={picture}", "--set", "1.vae_name=demo-a.safetensors", "--set", "3.steps=1")
    done = drive(client, workflow, tmp_path / "out", *settings)
    assert done.returncode == 0, done.stderr
    assert "INCONCLUSIVE" in done.stdout
    assert "INCONCLUSIVE" in (tmp_path / "out" / "3.txt").read_text()
    with Image.open(tmp_path / "out" / "3_1.png") as drawn:
        assert drawn.width == 800


def test_the_script_says_what_went_wrong(client: Client, tmp_path: Path) -> None:
    workflow = PACK / "workflows/api/trace_image.app.json"
    refused = drive(client, workflow, tmp_path, "--set", "1.vae_name=no-such.safetensors")
    assert refused.returncode == 2 and "VAELoader" in refused.stderr
    unknown = drive(client, workflow, tmp_path, "--set", "77.steps=1")
    assert unknown.returncode == 2 and "77.steps" in unknown.stderr
    picture = tmp_path / "picture.png"
    picture.write_bytes(png(to_picture(synthetic_photograph(37, 64))))
    failed = drive(client, workflow, tmp_path, "--image", f"2={picture}", "--set", "1.vae_name=pixel_space")
    assert failed.returncode == 1 and "LatentTracerTraceImage" in failed.stderr
    command = [sys.executable, str(DRIVE), str(workflow), "--server", "http://127.0.0.1:9"]
    nobody = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert nobody.returncode == 3 and "no answer" in nobody.stderr


def test_a_cancelled_script_cancels_on_the_server(client: Client, photographs: Any, tmp_path: Path) -> None:
    endless = trace_image("demo-a.safetensors", photographs(36, 128, 128), explain=True, steps=10_000)
    prompt = with_defaults(endless, client.object_info)
    workflow = tmp_path / "endless.json"
    workflow.write_text(json.dumps(prompt))
    done = drive(client, workflow, tmp_path, "--timeout", "8")
    assert done.returncode == 1 and "did not end" in done.stderr
    deadline = time.monotonic() + 60
    while client.get_json("/queue")["queue_running"]:
        assert time.monotonic() < deadline, "the prompt still runs on the server"
        time.sleep(0.2)


def test_the_facts_of_a_file_reach_every_node_that_judges(client: Client, mixed: str) -> None:
    """A folder's pictures come through Load Images to Trace; what their files tell is not lost behind it."""
    decoder = available("taesd", client)
    facts = {"image": ["folder", 0], "file": ["folder", 1]}
    prompt = folder_prompt(mixed) | {
        "tiny": node("VAELoader", vae_name=decoder),
        "whose": node("LatentTracerAttributeImage", vae_1=["vae", 0], vae_2=["tiny", 0], **facts),
        "which": node("LatentTracerWhichFamily", **facts),
        "said": node("PreviewAny", source=["which", 2]),
    }
    run = client.succeed(prompt)
    assert sum("metadata, which anyone can write" in said for said in run.texts("said")) == 4
