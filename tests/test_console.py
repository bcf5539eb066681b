"""What strangers wrote reaches the terminal as text, and no encoding of a stream ends a run."""

import json
import os
import subprocess
import sys

import pytest
from latent_tracer.cli.console import emit_json, say, show
from latent_tracer.core.storage.safe_text import clean_lines, spreadsheet_cell
from rich.table import Table

HOSTILE = "a\x1b[31m\x1b]0;title\x07\x9b2J\u202egnp\x00\r\udcff:smile:[bold]\u5b57é\U0001f600.png"
PRINT = """
from latent_tracer.cli.console import emit_json, say, show
from rich.table import Table
name = {name!a}
say(name); show(name); emit_json({{"name": name}})
table = Table("file"); table.add_row(name); show(table)
"""


def is_clean(text):
    return not any(character in text for character in "\x1b\x07\x9b\u202e\x00\r")


def test_escape_sequences_are_shown_and_not_obeyed(capsys):
    table = Table("[file]", width=200)
    table.add_row(HOSTILE)
    say(HOSTILE)
    show(HOSTILE)
    show(table)
    emit_json({"name": HOSTILE})
    written = capsys.readouterr()
    assert is_clean(written.out) and is_clean(written.err)
    assert "\\x1b[31m" in written.err and ":smile:[bold]" in written.err
    lines = written.out.splitlines()
    assert "\\x1b[31m" in lines[0] and any(":smile:[bold]" in line for line in lines[1:-1])
    assert json.loads(lines[-1])["name"] == HOSTILE


def test_lines_stay_lines():
    assert clean_lines("one\ntwo\x1b\n" + "x" * 5000) == "one\ntwo\\x1b\n" + "x" * 5000


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8:strict", "latin-1"])
@pytest.mark.parametrize("no_colour", [False, True])
def test_no_encoding_ends_a_run_and_all_say_the_same(encoding, no_colour):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, **({"NO_COLOR": "1"} if no_colour else {})}
    done = subprocess.run([sys.executable, "-c", PRINT.format(name=HOSTILE)], capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    name = encoding.partition(":")[0]
    written = done.stdout.decode(name)
    assert is_clean(written.replace("\r\n", "\n")) and is_clean(done.stderr.decode(name).replace("\r\n", "\n"))
    (row,) = [line for line in written.splitlines() if line.startswith("{")]
    assert json.loads(row) == {"name": HOSTILE}


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", " =", "\u3000="]
)
@pytest.mark.parametrize("before", ["", "a;", 'a";"', "a; ", "a\t", 'x;"" '])
def test_no_cell_begins_a_formula_in_any_setting(before, start):
    cell = spreadsheet_cell(before + start + "cmd|' /C calc'!A0")
    for part in cell.replace("\t", ";").split(";"):
        assert not part.strip(' "\u3000\r\n').startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))


@pytest.mark.parametrize("text", ["photo-1.png", "a=b", "x;y", "müller & söhne", "1 - 2", ""])
def test_ordinary_cells_stay_as_they_are(text):
    assert spreadsheet_cell(text) == text


def test_a_damaged_tiff_says_nothing_of_its_own(tmp_path):
    """Libtiff writes to the process's standard error, past Python."""
    program = (
        "import io, numpy; from PIL import Image; from latent_tracer.core import Picture\n"
        "content = io.BytesIO(); pixels = numpy.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype='uint8')\n"
        "Image.fromarray(pixels).save(content, 'TIFF', compression='tiff_adobe_deflate')\n"
        "damaged = bytearray(content.getvalue()); damaged[2000:2100] = bytes(100)\n"
        "try: Picture.read('a.tif', bytes(damaged)); print('read')\n"
        "except ValueError as error: print(error)\n"
        "import os; os.write(2, b'here')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert done.stdout.startswith(b"a.tif cannot be decoded") and done.stderr == b"here"
