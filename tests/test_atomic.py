"""The writer: a file is the old one or the new one, whatever happens; and whoever changes one is alone with it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import signal
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from latent_tracer.core import InvalidSettingError, synthetic_photograph, to_picture
from latent_tracer.core.fingerprints import InvalidRegisterError, Secret, add_users, write_new_secret
from latent_tracer.core.reports.journal import Journal
from latent_tracer.core.storage.atomic import STALE_SECONDS, write_bytes, write_picture, write_text
from latent_tracer.core.storage.locking import locked
from PIL import Image

SECRET = Secret(b"a secret of more than sixteen characters")
posix = pytest.mark.skipif(os.name == "nt", reason="permissions and links as POSIX has them")


def names(folder: Path) -> list[str]:
    """What lies in ``folder``; Windows keeps the lock files, which nobody holds."""
    return sorted(path.name for path in folder.iterdir() if os.name != "nt" or path.suffix != ".lock")


# --- whole or not at all ---


def test_text_bytes_and_pictures_come_back_as_they_were_given(tmp_path):
    write_text(tmp_path / "new" / "folder" / "a.txt", "ä\r\nb\n")
    assert (tmp_path / "new" / "folder" / "a.txt").read_bytes() == "ä\r\nb\n".encode()
    write_bytes(tmp_path / "a.bin", b"\r\n\0")
    assert (tmp_path / "a.bin").read_bytes() == b"\r\n\0"
    picture = to_picture(synthetic_photograph(1, 32))
    for name, kind in (("a.PNG", "PNG"), ("a.jpg", "JPEG")):
        write_picture(tmp_path / name, picture)
        with Image.open(tmp_path / name) as stored:
            assert (stored.format, stored.size) == (kind, (32, 32))
    assert names(tmp_path) == ["a.PNG", "a.bin", "a.jpg", "new"]


def failing(call: str, number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize(
    ("call", "number", "advice"),
    [("fsync", errno.ENOSPC, "make room"), ("replace", errno.EACCES, "allow writing"), ("open", errno.EROFS, "allow")],
)
def test_a_failing_disk_leaves_the_old_file_or_none_and_no_rubbish(
    tmp_path, monkeypatch, existing, call, number, advice
):
    path = tmp_path / "profile.json"
    if existing:
        path.write_text("old")
    monkeypatch.setattr(os, call, failing(call, number))
    with pytest.raises(
        InvalidSettingError, match=rf"{re.escape(str(path))} cannot be written .{os.strerror(number)}.: {advice}"
    ):
        write_text(path, "new")
    monkeypatch.undo()
    assert names(tmp_path) == (["profile.json"] if existing else [])
    assert not existing or path.read_text() == "old"


@posix
def test_what_is_no_file_is_not_replaced_by_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidSettingError, match="no ordinary file"):
        write_text(tmp_path / "pipe", "x")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@posix
def test_a_disk_that_fills_up_in_the_middle_leaves_no_half_file(tmp_path):
    resource = pytest.importorskip("resource")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "a").write_text("old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(InvalidSettingError, match="File too large.: make room"):
            write_bytes(tmp_path / "a", bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("file/below.json", "a part of its path is a file"),
        ("file/deep/below.json", "a part of its path is a file"),
        pytest.param("x" * 300, "choose a shorter name", marks=posix),  # Windows has no error of its own for it
        ("a\0b", "cannot name a file"),
        pytest.param("a\ud800b", "cannot name a file", marks=posix),  # Windows takes it
    ],
)
def test_places_that_cannot_be_written_are_one_sentence_each(tmp_path, place, message):
    (tmp_path / "file").write_text("")
    path = tmp_path / place
    for write in (
        lambda: write_text(path, "x"),
        lambda: write_new_secret(path),
        lambda: add_users(path, ["a"], SECRET),
        lambda: Journal(path, "s").__enter__(),
    ):
        with pytest.raises(InvalidSettingError) as caught:
            write()
        assert message in str(caught.value) and str(caught.value).count("\n") == 0
    assert names(tmp_path) == ["file"]


def test_a_folder_is_not_written_to_as_a_file(tmp_path):
    for write in (write_new_secret, lambda path: write_text(path, "x")):
        with pytest.raises(InvalidSettingError, match="no ordinary file: name another one"):
            write(tmp_path)
    with pytest.raises(InvalidRegisterError, match="no readable JSON register"):
        add_users(tmp_path, ["a"], SECRET)
    with pytest.raises(InvalidSettingError, match="cannot be read"):
        Journal(tmp_path, "s")
    assert names(tmp_path) == []
    assert os.name == "nt" or not list(tmp_path.parent.glob(".*.lock"))


def test_a_read_only_folder_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "open", failing("open", errno.EACCES))  # a folder's own mode does not stop root
    for write in (
        lambda: write_text(tmp_path / "a", "x"),
        lambda: add_users(tmp_path / "a", ["a"], SECRET),
        lambda: Journal(tmp_path / "a", "s").__enter__(),
    ):
        with pytest.raises(InvalidSettingError, match=r"a cannot be written \(Permission denied\): allow"):
            write()


@posix
def test_a_name_of_the_greatest_length_can_be_written(tmp_path):
    path = tmp_path / ("x" * 250 + ".json")
    write_text(path, "x")
    add_users(tmp_path / ("y" * 250 + ".json"), ["a"], SECRET)
    assert len(names(tmp_path)) == 2


@posix
def test_permissions_are_those_asked_for_or_those_of_the_file_before(tmp_path):
    def mode(name: str) -> int:
        return stat.S_IMODE((tmp_path / name).stat().st_mode)

    before = os.umask(0o027)
    try:
        write_text(tmp_path / "new", "x")
        write_text(tmp_path / "asked", "x", mode=0o604)
        (tmp_path / "kept").write_text("old")
        (tmp_path / "kept").chmod(0o666)
        write_text(tmp_path / "kept", "new")
        write_new_secret(tmp_path / "secret")
    finally:
        os.umask(before)
    assert [mode(name) for name in ("new", "asked", "kept", "secret")] == [0o640, 0o604, 0o666, 0o600]


@posix
def test_a_link_is_replaced_and_never_written_through(tmp_path):
    (tmp_path / "outside").write_text("untouched")
    (tmp_path / "link").symlink_to("outside")
    write_text(tmp_path / "link", "new")
    assert not (tmp_path / "link").is_symlink()
    assert ((tmp_path / "outside").read_text(), (tmp_path / "link").read_text()) == ("untouched", "new")


def test_what_a_kill_left_behind_is_swept_once_it_is_old(tmp_path):
    old, young = tmp_path / ".latent-tracer-0.part", tmp_path / ".latent-tracer-1.part"
    for path in (old, young, tmp_path / "other.part"):
        path.write_text("half")
    for path in (old, tmp_path / "other.part"):
        os.utime(path, (time.time() - STALE_SECONDS - 60,) * 2)
    write_text(tmp_path / "a", "x")
    assert names(tmp_path) == [young.name, "a", "other.part"]


# --- one at a time ---


def test_threads_of_one_process_wait_for_each_other(tmp_path):
    path = tmp_path / "count"
    path.write_text("0")

    def count() -> None:
        for _ in range(20):
            with locked(path):
                value = int(path.read_text())
                time.sleep(0.0005)
                write_text(path, str(value + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "80"


def hold(path: str, held: multiprocessing.synchronize.Event) -> None:
    with locked(Path(path)):
        held.set()
        time.sleep(600)


@posix
def test_a_lock_is_refused_in_a_sentence_while_held_and_dies_with_its_process(tmp_path):
    context = multiprocessing.get_context("fork")
    path, held = tmp_path / "register.json", context.Event()
    holder = context.Process(target=hold, args=(str(path), held))
    holder.start()
    try:
        assert held.wait(30)
        began = time.monotonic()
        with pytest.raises(InvalidSettingError, match="is being written by another run: wait until that one ends"):
            locked(path, timeout=0.3).__enter__()
        assert 0.3 <= time.monotonic() - began < 20
    finally:
        holder.kill()
        holder.join()
    with locked(path, timeout=5):  # what the killed one left is no lock
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == []


def test_a_failure_inside_lets_the_lock_go(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "a"):
        raise ZeroDivisionError
    with locked(tmp_path / "a", timeout=0):
        pass
