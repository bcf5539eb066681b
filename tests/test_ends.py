"""How a command ends: politely killed, unheard, without a place to write to. Never with a traceback, never too late."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import typer
from latent_tracer.cli import app as command_line
from latent_tracer.cli import console
from latent_tracer.cli.interrupt import interrupts_kept
from latent_tracer.core import InvalidSettingError, LatentTracerError, load_autoencoder, quantise, synthetic_photograph
from latent_tracer.core.errors import visible
from latent_tracer.core.images.tensors import to_picture
from latent_tracer.core.storage.atomic import check_writable

posix = pytest.mark.skipif(os.name == "nt", reason="signals and pipes as POSIX has them")
HOSTILE = "a\x1b]0;title\x07\u202e\udcff\n"


def test_errors_quote_what_strangers_wrote_so_that_no_terminal_obeys_it():
    said = str(LatentTracerError(f"{HOSTILE} is no picture."))
    assert said == "a\\x1b]0;title\\x07\\u202e\\udcff\\x0a is no picture."
    assert visible(said) == said and visible("é\u5b57\xa0") == "é\u5b57\xa0"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@posix
def test_a_polite_kill_is_an_interrupt_unless_somebody_chose_otherwise(name):
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)  # a test run may itself have been started by nohup
    try:
        with interrupts_kept(), pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            time.sleep(5)
        assert signal.getsignal(number) is signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN)
        with interrupts_kept():
            os.kill(os.getpid(), number)
    finally:
        signal.signal(number, before)


WRITER = """
import sys
from latent_tracer.cli import app
def run(*_, **__):
    from latent_tracer.cli.console import emit_json, show
    for number in range(100_000):
        emit_json({"number": number}); show("x" * 200)
app.app = run
from latent_tracer.cli import main
sys.argv = ["latent-tracer"]
main()
"""


def ended(arguments, **streams):
    return subprocess.run(arguments, stderr=subprocess.PIPE, timeout=120, check=False, **streams)


@posix
def test_a_reader_that_goes_away_ends_the_run_without_a_traceback():
    shell = f"{sys.executable} -c '{WRITER}' | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = ended(["bash", "-c", shell], stdout=subprocess.PIPE)
    assert done.stdout == b'{"number": 0}\n' and done.returncode == command_line.CANCELLED
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is full: /dev/full")
def test_a_full_disk_behind_standard_output_is_one_sentence():
    with open("/dev/full", "wb") as full:
        done = ended([sys.executable, "-c", WRITER], stdout=full)
    assert done.returncode == command_line.BAD_INPUT
    assert done.stderr.startswith(b"latent-tracer: The results cannot be written to standard output (No space left")
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("stream", [None, "closed"])
def test_without_a_standard_output_the_results_have_nowhere_to_go(stream, monkeypatch, tmp_path):
    if stream is not None:
        stream = (tmp_path / "closed").open("w")
        stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    for write in (lambda: console.emit_json({}), lambda: console.show("text")):
        with pytest.raises(InvalidSettingError, match="Standard output is closed"):
            write()


@pytest.mark.parametrize("stream", [None, "closed"])
def test_messages_that_nobody_can_hear_end_nothing(stream, monkeypatch, tmp_path):
    if stream is not None:
        stream = (tmp_path / "closed").open("w")
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    console.say("text")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError("12 GB"), command_line.BAD_INPUT, "the memory did not suffice (12 GB)"),
        (ZeroDivisionError(HOSTILE), command_line.DEFECT, "please report it"),
        (typer.BadParameter(HOSTILE), command_line.BAD_INPUT, "Invalid value"),
        (InvalidSettingError(HOSTILE), command_line.BAD_INPUT, "latent-tracer: a"),
        (KeyboardInterrupt(), command_line.CANCELLED, "cancelled"),
    ],
)
def test_whatever_ends_a_command_is_said_past_no_terminals_harm(error, code, said, monkeypatch, capsys):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(command_line, "app", fail)
    assert command_line.run() == code
    heard = capsys.readouterr().err
    assert said in heard and all(visible(line) == line for line in heard.splitlines())


def test_one_picture_that_runs_out_of_memory_costs_the_others_of_origin_nothing(tmp_path, monkeypatch, capsys):
    for number in range(3):
        to_picture(synthetic_photograph(number, 32)).save(tmp_path / f"{number}.png")
    calls = []

    def judge(*_, **__):
        calls.append(None)
        raise (MemoryError("no room"), RuntimeError("a defect\x1b"), InvalidSettingError("wrong"))[len(calls) - 1]

    monkeypatch.setattr("latent_tracer.cli.origin.CalibratedLoss.__call__", judge)
    files = [str(path) for path in sorted(tmp_path.iterdir())]
    monkeypatch.setattr(sys, "argv", ["latent-tracer", "origin", *files, "--generator", "vae:demo-a", "--json"])
    assert command_line.run() == command_line.BAD_INPUT
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["image"] for row in rows] == files and len(calls) == 3
    assert [("memory" in row["error"], "defect" in row["error"]) for row in rows] == [
        (True, False),
        (False, True),
        (False, False),
    ]


def test_a_place_is_tried_before_the_work(tmp_path):
    check_writable(tmp_path / "new" / "file.json")
    assert (tmp_path / "new").is_dir() and not any((tmp_path / "new").iterdir())
    (tmp_path / "old").write_text("kept")
    check_writable(tmp_path / "old")
    assert (tmp_path / "old").read_text() == "kept"
    for place in (tmp_path / "old" / "below", tmp_path / ("x" * 300), tmp_path / "new", tmp_path / "a\0b"):
        with pytest.raises(InvalidSettingError):
            check_writable(place)


@pytest.mark.parametrize(
    "arguments",
    [
        ["calibrate", "--vae", "demo-a", "--images", "folder", "-o", "place"],
        ["calibrate", "--generator", "vae:demo-a?size=32x32", "-o", "place"],
        ["demo", "--output", "place"],
        ["fingerprint", "basis", "--vae", "demo-a", "--images", "folder", "-o", "place"],
    ],
)
def test_commands_of_minutes_refuse_a_place_they_cannot_write_to_at_once(arguments, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    known = load_autoencoder("demo-a")
    (tmp_path / "folder").mkdir()
    made = quantise(known.decode(known.encode(synthetic_photograph(1, 64))))
    to_picture(made).save(tmp_path / "folder" / "a.png")
    monkeypatch.setattr(type(known), "encode", lambda *_: pytest.fail("it began to work"))
    monkeypatch.setattr(type(known), "fingerprint", known.fingerprint)
    places = {"place": str(tmp_path / "file" / "below"), "folder": str(tmp_path / "folder")}
    monkeypatch.setattr(sys, "argv", ["latent-tracer", *(places.get(word, word) for word in arguments)])
    assert command_line.run() == command_line.BAD_INPUT
    assert "cannot be written" in capsys.readouterr().err
