"""A folder of good pictures among one file of every bad kind: what it costs, and what kills and encodings change.

python benchmarks/hard_places.py [--pictures 50] [--kills 30] [--only mixed kills encodings]

Each run is the command line in a process of its own, on pictures of 128 pixels that demo-a decoded, so that every good
one is a quick yes. Two rows are the same where everything is but their cost. Nothing may write to the terminal
but clean text. Results: ``results/hard-places.md`` from ``results/hard-places-rows.jsonl``.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, made_by, read_rows
from latent_tracer.core import load_autoencoder, quantise, synthetic_photograph, to_picture
from latent_tracer.core.errors import visible
from PIL import Image

RESULTS = Path(__file__).resolve().parent / "results"
ROWS, RESULT = RESULTS / "hard-places-rows.jsonl", RESULTS / "hard-places.md"
COSTS = ("seconds", "peak_bytes")
CHECKS = ("mixed", "kills", "encodings")
ENCODINGS: dict[str, Mapping[str, str]] = {
    "UTF-8": {"PYTHONIOENCODING": "utf-8"},
    "strict UTF-8": {"PYTHONIOENCODING": "utf-8:strict"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "ASCII": {"PYTHONIOENCODING": "ascii:strict"},
    "NO_COLOR": {"NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
    "C locale": {"LC_ALL": "C"},
}


def good_pictures(folder: Path, count: int, size: int = 128) -> None:
    """``count`` pictures that demo-a decoded."""
    folder.mkdir(parents=True, exist_ok=True)
    autoencoder = load_autoencoder("demo-a")
    with torch.no_grad():
        for number in range(count):
            latents = autoencoder.encode(synthetic_photograph(seed=number, size=size))
            to_picture(quantise(autoencoder.decode(latents).cpu())).save(folder / f"good_{number:04}.png")


def saved(file_format: str, mode: str = "RGB", **options: Any) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(content, file_format, **options)
    return content.getvalue()


def bad_files() -> dict[bytes, bytes]:
    """By name, one file of each kind that cannot be traced."""
    png, jpeg = saved("PNG"), saved("JPEG")
    header = b"IHDR" + struct.pack(">II", 99_999_999, 1) + png[24:29]
    wide = png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]
    floats = io.BytesIO()
    Image.fromarray(np.full((64, 64), 7, np.float32)).save(floats, "TIFF")
    files: dict[str, bytes] = {
        "wide.png": wide,
        "damaged_avif.jpg": saved("AVIF")[:200] + bytes(300),
        "texture.png": saved("DDS"),
        "blp.png": saved("BLP", "P"),
        "spider.png": saved("SPIDER", "F"),
        "postscript.png": saved("EPS"),
        "photoshop.png": b"8BPS" + bytes(60),
        "fits.png": b"SIMPLE  =                    T" + bytes(100),
        "icon.png": saved("ICO"),
        "film.png": struct.pack("<IHH", 128, 0xAF12, 2) + bytes(120),
        "metafile.png": b"\xd7\xcd\xc6\x9a" + bytes(60),
        "icns.png": saved("ICNS"),
        "document.png": b"%PDF-1.7\n",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "page.jpg": b"<!doctype html><html></html>",
        "pointer.png": b"version https://git-lfs.github.com/spec/v1\n",
        "archive.png": b"PK\x03\x04" + bytes(60),
        "exr.png": b"v/1\x01" + bytes(60),
        "colour.pfm": b"PF\n2 2\n-1\n" + bytes(48),
        "empty.png": b"",
        "text.png": b"no picture",
        "cut_off.png": png[: len(png) // 2],
        "cut_off.jpg": jpeg[: len(jpeg) // 2],
        "scans.jpg": jpeg[:-2] + b"\xff\xda\0\2" * 200 + jpeg[-2:],
        "bright.tif": floats.getvalue(),
        "integers.tif": saved("TIFF", "I"),
        "._apple.png": b"\0\x05\x16\x07" + bytes(60),
        "a\x1b]0;title\x07\u202egnp.png": b"no picture",
        "=cmd|' ;=1+1.png": b"no picture",
        "\u5b57" * 70 + ".png": b"no picture",
        "\U0001f600 \xe9.gif": b"GIF89a" + bytes(3),
    }
    named = {os.fsencode(name): content for name, content in files.items()}
    return {**named, b"no \xff text.png": b"no picture"}


def mixed_folder(folder: Path, good: Path) -> int:
    """The good pictures and one bad entry of each kind, of which the number is returned."""
    shutil.copytree(good, folder)
    outside = folder.with_name("outside.png")
    outside.write_bytes(saved("PNG"))
    for name, content in bad_files().items():
        (Path(os.fsdecode(os.path.join(os.fsencode(folder), name)))).write_bytes(content)
    (folder / "leads_out.png").symlink_to(outside)
    (folder / "leads_nowhere.png").symlink_to(folder / "nothing.png")
    os.mkfifo(folder / "pipe.png")
    return len(bad_files()) + 3


def command(*arguments: Any, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    program = "import sys; from latent_tracer.cli import main; sys.argv[0] = 'latent-tracer'; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )


def finished(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What a process said, its exit code, and its seconds of processor time."""
    before = os.times()
    out, err = process.communicate()
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return {"code": process.returncode, "out": out, "err": err, "seconds": spent}


def rows_said(out: bytes) -> dict[str, dict[str, Any]]:
    """The rows printed, by name, without their cost."""
    found = [json.loads(line) for line in out.decode("ascii").splitlines() if line.startswith("{")]
    return {row["name"]: {key: value for key, value in row.items() if key not in COSTS} for row in found}


def report_of(folder: Path) -> dict[str, Any]:
    """The report without the costs of its rows, which no two runs share."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    report["rows"] = [{key: value for key, value in row.items() if key not in COSTS} for row in report["rows"]]
    return report


def is_clean(written: bytes) -> bool:
    return all(visible(line) == line for line in written.decode("utf-8", "replace").splitlines())


def check_mixed(good: Path, place: Path, pictures: int) -> dict[str, Any]:
    bad = mixed_folder(place / "mixed", good)
    # In turn, since the machine may be busier at one time than at another; processor time of the whole command.
    alone, among = [], []
    for _ in range(2):
        alone.append(finished(command("trace", good, "--vae", "demo-a", "--json")))
        among.append(finished(command("trace", place / "mixed", "--vae", "demo-a", "--json")))
    rows = rows_said(among[0]["out"])
    errors = {name: row["error"] for name, row in rows.items() if row["verdict"] is None}
    return {
        "check": "mixed",
        "pictures": pictures,
        "bad": bad,
        "verdicts": sum(row["verdict"] is not None for row in rows.values()),
        "reasons": sum(bool(error) for error in errors.values()),
        "same verdicts as alone": all(rows[name] | {"image": ""} == row | {"image": ""}
                                      for name, row in rows_said(alone[0]["out"]).items()),
        "exit code": among[0]["code"],
        "time ratio": round(min(one["seconds"] for one in among) / min(one["seconds"] for one in alone), 3),
        "clean": is_clean(among[0]["err"]) and is_clean(among[0]["out"]),
        "errors": errors,
    }  # fmt: skip


def check_kills(good: Path, place: Path, pictures: int, kills: int) -> dict[str, Any]:
    """kill -9 at random moments after the first row of a run; whole runs in between are compared and begun anew."""
    folder, chance = place / "kill", random.Random(0)
    mixed_folder(folder, good)
    arguments = ("trace", folder, "--vae", "demo-a", "--json", "--report")
    finished(command(*arguments, place / "reference"))
    wanted = report_of(place / "reference")
    landed = runs = 0
    identical = 0
    report = place / "report 0"
    while landed < kills:
        process = command(*arguments, report)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0, 3))
        process.kill()
        finished(process)
        landed += process.returncode == -9
        if process.returncode == -9 and landed < kills:
            continue
        finished(command(*arguments, report))
        runs += 1
        identical += report_of(report) == wanted
        report = place / f"report {runs}"
    return {"check": "kills", "pictures": pictures, "kills": landed, "reports": runs, "identical": identical}


def check_encodings(good: Path, place: Path) -> Iterator[dict[str, Any]]:
    few = place / "few"
    few.mkdir()
    for path in sorted(good.iterdir())[:2]:
        shutil.copy(path, few)
    mixed_folder(place / "spoken", few)
    wanted: dict[str, Any] = {}
    for name, environment in ENCODINGS.items():
        done = finished(command("trace", place / "spoken", "--vae", "demo-a", "--json", environment=environment))
        words = finished(command("trace", place / "spoken", "--vae", "demo-a", environment=environment))
        rows = rows_said(done["out"])
        wanted = wanted or rows
        yield {
            "check": "encodings",
            "encoding": name,
            "rows": len(rows),
            "same rows": rows == wanted,
            "exit codes": [done["code"], words["code"]],
            "clean": all(is_clean(one[key]) for one in (done, words) for key in ("out", "err")),
        }


def write_result(rows: list[dict[str, Any]]) -> None:
    last = {row.get("encoding", row["check"]): row for row in rows}
    lines = [f"# Hard places\n\n{made_by(f'`{ROWS.name}`')}"]
    if mixed := last.get("mixed"):
        lines.append(
            f"{mixed['pictures']} good pictures among {mixed['bad']} entries that cannot be traced, one of each kind:"
            f" {mixed['verdicts']} verdicts, {mixed['reasons']} rows with a reason, exit code {mixed['exit code']},"
            f" {mixed['time ratio']} times the processor time of the good ones alone.\n"
        )
        lines += ["| file | reason |", "|---|---|"]
        lines += [f"| {shown(name)} | {shown(reason)} |" for name, reason in sorted(mixed["errors"].items())]
        lines.append("")
    if kills := last.get("kills"):
        lines.append(
            f"kill -9 at {kills['kills']} random moments: {kills['identical']} of {kills['reports']} reports, each the"
            " outcome of several killed runs and a whole one, are that of an undisturbed run but for the cost of"
            " each row.\n"
        )
    spoken = [row for name, row in last.items() if name in ENCODINGS]
    if spoken:
        lines += ["| standard output | rows | the same | exit codes | clean |", "|---|---|---|---|---|"]
        lines += [
            f"| {row['encoding']} | {row['rows']} | {row['same rows']} | {row['exit codes']} | {row['clean']} |"
            for row in spoken
        ]
    RESULT.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def shown(text: str) -> str:
    return visible(text if len(text) < 160 else text[:160] + "…").replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=50)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=CHECKS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hard") as name:
        place = Path(name)
        good_pictures(place / "good", asked.pictures)
        for check in asked.only:
            found: Any
            if check == "mixed":
                found = [check_mixed(place / "good", place, asked.pictures)]
            elif check == "kills":
                found = [check_kills(place / "good", place, asked.pictures, asked.kills)]
            else:
                found = check_encodings(place / "good", place)
            for row in found:
                print(json.dumps({key: value for key, value in row.items() if key != "errors"}), flush=True)
                with ROWS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({**row, "date": str(datetime.date.today()), "machine": machine()}) + "\n")
    with contextlib.suppress(FileNotFoundError):
        write_result(read_rows(ROWS))


if __name__ == "__main__":
    main()
