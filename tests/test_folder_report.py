"""Folders of pictures: nothing leaves the folder, nothing is lost, a kill costs one picture, the report is whole."""

import base64
import csv
import dataclasses
import hashlib
import html.parser
import json
import os
import signal
import subprocess
import sys
import time
from functools import cache

import pytest
import torch
from latent_tracer.cli.trace_run import TraceRun, list_inputs
from latent_tracer.core import (
    InvalidSettingError,
    Tracer,
    builtin_profile,
    load_autoencoder,
    synthetic_photograph,
    to_picture,
)
from latent_tracer.core.files.folder import list_folder
from latent_tracer.core.files.picture import Picture, UnreadableFile, read_bytes
from latent_tracer.core.profiles import HANDED_OVER, Source, save_profile
from latent_tracer.core.reports.folder_report import csv_text, json_text, write_report
from latent_tracer.core.reports.folder_trace import trace_files
from latent_tracer.core.reports.journal import Journal, settings_digest
from latent_tracer.core.reports.page import report_page
from latent_tracer.core.tracing.row import TraceRow, parse_row, unreadable_row
from PIL import PngImagePlugin

COMMAND = [sys.executable, "-c", "from latent_tracer.cli import main; main()"]
PICTURES, BROKEN = 190, 10
PROMPT = {
    "1": {"class_type": "VAELoader", "inputs": {"vae_name": "demo-a.safetensors"}},
    "2": {"class_type": "VAEDecode", "inputs": {"samples": ["9", 0], "vae": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
}


@pytest.fixture(scope="module")
def two_hundred(tmp_path_factory):
    """190 pictures of mixed sizes, formats and modes in three folders, ten broken files, two that are no pictures."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "below" / "deeper").mkdir(parents=True)
    places = (folder, folder / "below", folder / "below" / "deeper")
    base = to_picture(synthetic_photograph(5, 96))
    for number in range(PICTURES):
        width, height = 16 + number % 3, 16 + number % 2 * 4
        picture = base.crop((number % 40, number % 33, number % 40 + width, number % 33 + height))
        picture.putpixel((0, 0), (number, 7, 9))
        place = places[number % 3]
        if number % 10 == 1:
            picture.save(place / f"{number:03}.jpg")
        elif number % 10 == 2:
            picture.save(place / f"{number:03}.webp", lossless=True)
        elif number % 10 == 3:
            picture.convert("RGBA").save(place / f"{number:03}.png")
        elif number % 10 == 4:
            picture.convert("L").save(place / f"{number:03}.bmp")
        else:
            picture.save(place / f"{number:03}.PNG" if number % 10 == 5 else place / f"{number:03}.png")
    whole = (folder / "000.png").read_bytes()
    for number in range(BROKEN):
        broken = (b"", b"not a picture", whole[: 40 + number], b"\x89PNG\r\n\x1a\n" + bytes(50))[number % 4]
        (places[number % 3] / f"broken {number}.png").write_bytes(broken)
    (folder / "notes.txt").write_text("no picture")
    (folder / "movie.mp4").write_bytes(bytes(10))
    return folder


@cache
def demo_model():
    autoencoder = load_autoencoder("demo-a")
    return autoencoder, builtin_profile(autoencoder.fingerprint)


def tracer(kind=Tracer, **settings):
    return kind(*demo_model(), known_as=("demo-a",), **settings)


def quick_tracer(kind=Tracer):
    """By the cheapest score there is, for two hundred pictures in seconds."""
    autoencoder, profile = demo_model()
    scores = {"belonging": (Source("decoded", (0.001, 0.002)),), "others": (Source("photograph", (0.01, 0.02)),)}
    quick = dataclasses.replace(profile, score="reconstruction", score_settings={}, calibration=HANDED_OVER, **scores)
    return kind(autoencoder, quick, known_as=("demo-a",))


def run_of(own, pictures=None, steps=None):
    return TraceRun(own, "demo-a", steps, pictures, as_json=False)


def read_report(folder):
    return json.loads((folder / "report.json").read_text())


@pytest.mark.skipif(os.name == "nt", reason="a kill is sent as a POSIX signal")
def test_two_hundred_mixed_files_survive_a_kill_and_lose_nothing(two_hundred, tmp_path, capsys):
    report = tmp_path / "report"
    journal = report / "journal.jsonl"
    profile = tmp_path / "quick.json"
    save_profile(quick_tracer().profiles[0], profile)
    command = [*COMMAND, "trace", str(two_hundred), "--vae", "demo-a", "--profile", str(profile)]
    command += ["--report", str(report)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 40):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    before = journal.read_bytes().count(b"\n")
    assert 40 <= before < PICTURES, "the kill must come in the middle"
    assert not (report / "report.json").exists()
    # What a power cut leaves: the last line half written.
    with journal.open("ab") as file:
        file.write(b'{"format": "latent-tracer-journal", "vers')

    assert run_of(quick_tracer())([two_hundred], report) == 2
    said = capsys.readouterr().err
    result = read_report(report)
    assert result["complete"]
    assert f"{before} of 200 had been finished before" in said
    assert "2 files without a picture's extension" in said
    names = {path.relative_to(two_hundred).as_posix() for path in two_hundred.rglob("*") if path.is_file()}
    assert {row["name"] for row in result["rows"]} == names - {"notes.txt", "movie.mp4"}
    assert len(result["rows"]) == PICTURES + BROKEN
    broken = [row for row in result["rows"] if row["verdict"] is None]
    assert len(broken) == BROKEN
    assert all(row["error"] and "broken" in row["name"] for row in broken)
    assert all(row["lossy"] for row in result["rows"] if row["format"] in ("JPEG", "WEBP"))
    assert sum("transparency" in " ".join(row["notes"]) for row in result["rows"]) == 19

    # A run without the kill says the same about each, and a further one traces nothing at all.
    for file in list_folder(two_hundred).files[::20]:
        if "broken" not in file.name:
            own = quick_tracer()
            row = own.row(own.trace(Picture.read(file))).to_record()
            del row["thumbnail"]
            same = next(one for one in result["rows"] if one["name"] == file.name)
            # What it cost differs from run to run, nothing else.
            assert row | {"seconds": 0, "peak_bytes": 0} == same | {"seconds": 0, "peak_bytes": 0}
    first = {name: (report / name).read_bytes() for name in ("report.json", "report.csv", "report.html")}
    lines = journal.read_bytes()
    run_of(quick_tracer(NeverTraces))([two_hundred], report)
    # What cannot be read is read again: it may have been lent a plugin, or memory, since.
    assert f"{PICTURES} of 200 had been finished before" in capsys.readouterr().err
    assert journal.read_bytes() == lines
    assert first == {name: (report / name).read_bytes() for name in first}
    with (report / "report.csv").open(newline="", encoding="utf-8-sig") as file:
        assert len(list(csv.DictReader(file))) == 200


class NeverTraces(Tracer):
    def trace(self, picture, on_pass=None, history=None):
        raise AssertionError(f"{picture.facts.name} was traced again")


def test_other_settings_and_changed_files_are_traced_anew(tmp_path):
    folder, report = tmp_path / "pictures", tmp_path / "report"
    folder.mkdir()
    for name in ("one", "two"):
        to_picture(synthetic_photograph(len(name), 32)).save(folder / f"{name}.png")
    to_picture(synthetic_photograph(9, 32)).save(folder / "one.png")
    own = tracer()
    run_of(own)([folder], report)
    digest = settings_digest(run_of(own)._settings())
    for other in (
        run_of(tracer(quantiser="floor")),
        run_of(quick_tracer()),
        run_of(own, steps=3),
        run_of(Tracer(demo_model()[0], threshold=0.1, known_as=("demo-a",))),
    ):
        assert settings_digest(other._settings()) != digest
        assert not Journal(report / "journal.jsonl", settings_digest(other._settings())).finished
    (folder / "two.png").rename(folder / "renamed.png")
    to_picture(synthetic_photograph(11, 32)).save(folder / "one.png")
    calls = []

    def trace(picture):
        calls.append(picture.facts.name)
        return own.trace(picture)

    with Journal(report / "journal.jsonl", digest) as journal:
        outcomes = list(trace_files(list_folder(folder), trace, own, journal=journal))
    assert calls == ["one.png"]
    assert [(one.row.name, one.earlier) for one in outcomes] == [("one.png", False), ("renamed.png", True)]


def test_a_cancelled_run_leaves_a_report_that_says_it_is_not_complete(two_hundred, tmp_path):
    calls = []

    class Cancelled(Tracer):
        def trace(self, picture, on_pass=None, history=None):
            calls.append(picture.facts.name)
            if len(calls) == 6:
                raise KeyboardInterrupt
            return super().trace(picture, on_pass, history)

    with pytest.raises(KeyboardInterrupt):
        run_of(tracer(Cancelled))([two_hundred], tmp_path)
    report = read_report(tmp_path)
    assert not report["complete"]
    assert report["pending"] + len(report["rows"]) == 200
    assert "still to be traced" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_cancelled_run_replaces_no_report_of_more_pictures(tmp_path):
    rows = [unreadable_row(UnreadableFile(f"{number}.png", "is broken")) for number in range(3)]
    write_report(tmp_path, rows, {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert "the earlier report, of more pictures, stays" in write_report(tmp_path, rows[:2], {}, pending=1)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert "stays" not in write_report(tmp_path, rows, {}, pending=2) and not read_report(tmp_path)["complete"]
    # To its end it replaces any: pictures may have been taken away.
    assert "stays" not in write_report(tmp_path, rows[:1], {}) and len(read_report(tmp_path)["rows"]) == 1


def test_what_could_not_be_read_is_read_again(tmp_path):
    """A plugin may have been installed, or memory freed, since."""
    (tmp_path / "later.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(9))
    own = quick_tracer()
    for again in range(2):
        with Journal(tmp_path / "journal.jsonl", settings_digest({})) as journal:
            (outcome,) = trace_files(list_folder(tmp_path), own.trace, own, journal=journal)
            assert outcome.row.error and not outcome.earlier and not journal.finished, again


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "x" * 300])
def test_a_name_too_long_for_any_file_costs_the_others_nothing(tmp_path, name):
    to_picture(synthetic_photograph(1, 32)).save(tmp_path / "good.png")
    (tmp_path / "empty").mkdir()
    listing = list_inputs([tmp_path / name, tmp_path / "good.png", tmp_path / "empty"], [])
    assert [file.path.name for file in listing.files] == [name, "good.png"]
    ((refused,),) = (listing.refused,)
    assert refused.name == str(tmp_path / "empty") and "There is no picture in" in refused.error
    outcomes = list(trace_files(listing, quick_tracer().trace, quick_tracer()))
    assert [bool(outcome.row.error) for outcome in outcomes] == [True, False, True]
    with pytest.raises(InvalidSettingError, match="There is no picture in"):
        list_inputs([tmp_path / "empty"], [])


@pytest.mark.skipif(os.name == "nt", reason="links take rights there, and there are no named pipes in folders")
def test_a_listing_never_leaves_its_folder(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir(), outside.mkdir()
    picture = to_picture(synthetic_photograph(1, 32))
    for path in (inside / "own.png", outside / "secret.png"):
        picture.save(path)
    (inside / "link.png").symlink_to(outside / "secret.png")
    (inside / "relative.png").symlink_to("../outside/secret.png")
    (inside / "within.png").symlink_to("own.png")
    (inside / "folder").symlink_to(outside, target_is_directory=True)
    (inside / "dangling.png").symlink_to("nowhere.png")
    os.mkfifo(inside / "pipe.png")
    listing = list_folder(inside)
    assert [file.name for file in listing.files] == ["dangling.png", "own.png", "within.png"]
    assert [refused.name for refused in listing.refused] == ["link.png", "pipe.png", "relative.png"]
    with pytest.raises(InvalidSettingError, match="not a folder"):
        list_folder(inside / "own.png")


def test_the_report_folder_is_not_traced_itself(tmp_path):
    picture = to_picture(synthetic_photograph(1, 32))
    (tmp_path / "report").mkdir()
    for path in (tmp_path / "own.png", tmp_path / "report" / "drawn.png"):
        picture.save(path)
    assert [file.name for file in list_folder(tmp_path, leave_out=[tmp_path / "report"]).files] == ["own.png"]
    assert [file.name for file in list_folder(tmp_path, below=False).files] == ["own.png"]


def test_facts_that_the_pixels_do_not_tell(tmp_path):
    information = PngImagePlugin.PngInfo()
    information.add_text("prompt", json.dumps(PROMPT))
    picture = to_picture(synthetic_photograph(1, 32))
    picture.convert("RGBA").save(tmp_path / "a.png", pnginfo=information)
    picture.save(tmp_path / "b.jpg")
    first, second = (Picture.read(file).facts for file in list_folder(tmp_path).files)
    assert (first.lossy, second.lossy) == (False, True)
    assert "transparency" in first.notes[0]
    assert first.claims.vaes == ("demo-a.safetensors",)
    assert not second.claims
    assert len(first.digest) == 64 and first.size == len(read_bytes(list_folder(tmp_path).files[0]))


HOSTILE = [
    "<script>alert(1)</script>.png",
    '"><img src=x onerror=alert(1)>.png',
    "=cmd|' /C calc'!A0.png",
    "../../../etc/passwd",
    "a\x00b\x1b[31m\r\nc",
    "photo\u202egnp.exe",
    "\udc80\udcff.png",
    "x" * 5000,
    "</td></tr></table><h1>",
    "&lt;script&gt;",
]


def hostile_rows():
    return [
        TraceRow(name, "0" * 64, 5, "PNG<b>", 4, 4, True, (name,), name, name, "belonging", 1.0, 0.5, 0.01, name, name,
                 None, (name,), (name,), (name,), name, "agree", name, "", name)
        for name in HOSTILE
    ]  # fmt: skip


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attributes]

    def handle_data(self, data):
        self.words.append(data)


def test_hostile_names_neither_run_nor_break_the_report(tmp_path):
    rows = hostile_rows()
    write_report(tmp_path, rows, {"<script>": "</ul><script>alert(2)</script>"})
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(source)
    assert page.tags.count("script") == 1 and page.tags.count("table") == 1 and "h1" in page.tags
    assert page.tags.count("tr") == 1 + len(rows) and page.tags.count("td") == 10 * len(rows)
    assert not [a for a in page.attributes if a[1].startswith("on")]
    assert {a[2] for a in page.attributes if a[1] in ("src", "href")} == set()
    assert not any(character in source for character in "\x00\x1b\u202e\r")
    # What a reader sees is what the name holds, made visible.
    assert "<script>alert(1)</script>.png" in page.words
    assert "photo\\u202egnp.exe" in page.words
    with (tmp_path / "report.csv").open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows)
    assert not [cell for row in table for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t"))]
    # JSON keeps the names as they are.
    assert [row["name"] for row in json.loads((tmp_path / "report.json").read_text())["rows"]] == HOSTILE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.csv", "report.html", "report.json"]


def test_the_page_allows_one_script_and_one_style_and_no_connection():
    page = report_page(hostile_rows(), {}, "line")
    policy = page.split('http-equiv="Content-Security-Policy" content="')[1].split('"')[0]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    for tag in ("script", "style"):
        content = page.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        assert base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() in policy


def test_rows_survive_json_and_altered_ones_are_refused(tmp_path):
    row = TraceRow("a", "1" * 64, score=float("inf"), notes=("b",), width=3)
    record = json.loads(json.dumps(row.to_record()))
    assert record["score"] is None
    assert parse_row(record).notes == ("b",)
    for change in (
        {"width": "3"}, {"notes": "b"}, {"new": 1}, {"lossy": 1}, {"score": True}, {"name": None},
        {"thumbnail": "https://example.org/x.jpg"}, {"thumbnail": "data:image/jpeg;base64," + "A" * 50_000},
    ):  # fmt: skip
        with pytest.raises(ValueError):
            parse_row({**record, **change})
    with pytest.raises(ValueError):
        parse_row([])


def test_a_journal_of_a_newer_release_is_refused_and_foreign_lines_are_passed_over(tmp_path):
    path = tmp_path / "journal.jsonl"
    row = unreadable_row(UnreadableFile("a", "b", "2" * 64))
    with Journal(path, "s") as journal:
        journal.add(row)
    with path.open("ab") as file:
        file.write(b'[]\n{"format": "else"}\n\xff\xfe\n' + b"[" * 100_000 + b"\n")
    assert list(Journal(path, "s").finished) == ["2" * 64]
    assert not Journal(path, "t").finished
    with path.open("ab") as file:
        file.write(b'{"format": "latent-tracer-journal", "version": 2, "settings": "s", "file": "x", "row": {}}\n')
    with pytest.raises(InvalidSettingError, match="newer"):
        Journal(path, "s")


def test_a_report_that_cannot_be_written_says_where(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InvalidSettingError, match="file"):
        write_report(blocked, [], {})
    with pytest.raises(InvalidSettingError, match="journal"):
        Journal(blocked / "journal.jsonl", "s").__enter__()


def test_an_empty_report_is_a_report():
    assert json.loads(json_text([], {}))["rows"] == []
    assert csv_text([]).startswith("name,digest")
    assert "<table>" in report_page([], {}, "0 files")


def test_metadata_and_pixels_stand_side_by_side(tmp_path):
    maker, _ = demo_model()
    information = PngImagePlugin.PngInfo()
    information.add_text("prompt", json.dumps(PROMPT))
    photograph = synthetic_photograph(seed=3, size=160)
    with torch.no_grad():
        made = to_picture(maker.decode(maker.encode(photograph))[0])
    made.save(tmp_path / "made.png", pnginfo=information)
    to_picture(photograph).save(tmp_path / "lied.png", pnginfo=information)
    # Too small to be judged, and without metadata.
    to_picture(photograph).crop((0, 0, 16, 16)).save(tmp_path / "silent.png")
    run_of(tracer())([tmp_path], tmp_path / "report")
    rows = {row["name"]: row for row in read_report(tmp_path / "report")["rows"]}
    assert {name: row["agreement"] for name, row in rows.items()} == {
        "made.png": "agree", "lied.png": "disagree", "silent.png": "no claim",
    }  # fmt: skip
    assert "demo-a" in rows["lied.png"]["claims"]
