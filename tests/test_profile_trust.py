"""Where the ledger of profiles made here lies on each system, what it holds, and what is said of whose calibration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from latent_tracer.core.profiles import trust

DIGEST = "0123456789abcdef" * 4
LEDGER = "profiles-made-here.txt"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A new state folder, and no further one."""
    monkeypatch.setenv("LATENT_TRACER_HOME", str(tmp_path / "some" / "home"))
    monkeypatch.setattr(trust, "_further_folders", trust._further_folders[:0])
    return tmp_path / "some" / "home"


@pytest.mark.parametrize(
    ("platform", "variable", "usual"),
    [
        ("linux", "XDG_STATE_HOME", ".local/state/latent-tracer"),
        ("win32", "LOCALAPPDATA", "AppData/Local/latent-tracer"),
        ("darwin", None, "Library/Application Support/latent-tracer"),
    ],
)
def test_the_state_folder_of_each_system(tmp_path, monkeypatch, platform, variable, usual):
    for name in ("LATENT_TRACER_HOME", "XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(trust.sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert trust.state_folder() == tmp_path / usual
    for name in ("XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / name))
    assert trust.state_folder() == (tmp_path / variable / "latent-tracer" if variable else tmp_path / usual)
    monkeypatch.setenv("LATENT_TRACER_HOME", str(tmp_path / "given"))
    assert trust.state_folder() == tmp_path / "given"


def test_a_digest_is_entered_once_in_every_ledger(home, tmp_path):
    assert trust.made_here() == set()
    trust.also_remember_in(tmp_path / "host")
    trust.also_remember_in(str(tmp_path / "host"))
    assert trust._further_folders == [tmp_path / "host"]
    for digest in (DIGEST, "f" * 64, DIGEST):
        trust.remember(digest)
    for folder in (home, tmp_path / "host"):
        assert (folder / LEDGER).read_bytes() == f"{DIGEST}\n{'f' * 64}\n".encode()
    (home / LEDGER).unlink()
    assert trust.made_here() == {DIGEST, "f" * 64}


def test_a_ledger_is_read_up_to_sixteen_mebibytes(home):
    home.mkdir(parents=True)
    (home / LEDGER).write_text("\n" * (16 * 2**20 - 64) + DIGEST + "f" * 9 + "\n", encoding="ascii")
    assert trust.made_here() == {DIGEST}


def test_without_a_home_folder_only_further_folders_count(home, tmp_path, monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    for name in ("LATENT_TRACER_HOME", "XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    trust.remember(DIGEST)
    assert trust.made_here() == set()
    trust.also_remember_in(tmp_path)
    trust.remember(DIGEST)
    assert trust.made_here() == {DIGEST} and [path.name for path in tmp_path.iterdir()] == [LEDGER]


def test_whose_calibration_it_is(home):
    embedded = Path(trust.__file__).resolve().parent.parent / "embedded"
    files = [embedded / "default.json", *embedded.glob("*.profile.json")]
    shipped = {json.loads(path.read_text(encoding="utf-8"))["digest"] for path in files}
    assert trust.shipped_digests() == shipped and len(shipped) == len(files) > 2
    assert trust.shipped_digests() is trust.shipped_digests()
    assert {trust.calibration_of(digest) for digest in shipped} == {"shipped"}
    assert trust.calibration_of(DIGEST) == "handed over"
    trust.remember(DIGEST)
    assert trust.calibration_of(DIGEST) == "made on this machine"


def test_what_is_said_of_it():
    assert [trust.calibration_words(whose) for whose in (trust.SHIPPED, trust.MADE_HERE, trust.HANDED_OVER)] == [
        "calibration shipped with this program",
        "calibration made on this machine",
        "calibration handed over, as true as whoever made it",
    ]
