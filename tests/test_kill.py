"""kill -9 in the middle of writing, again and again: what was reported as done is there, and nothing is half.

LATENT_TRACER_KILLS sets how often each writer is killed.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from latent_tracer.core import builtin_profile, load_autoencoder, load_profile
from latent_tracer.core.fingerprints import Secret, add_users, load_register, load_secret, write_new_secret
from latent_tracer.core.profiles import save_profile
from latent_tracer.core.reports.folder_report import write_report
from latent_tracer.core.reports.journal import Journal
from latent_tracer.core.tracing.row import TraceRow

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a kill is sent as a POSIX signal")
KILLS = int(os.environ.get("LATENT_TRACER_KILLS", "6"))
SECRET = Secret(b"a secret of more than sixteen characters")


def reported(work: Callable[[int], Iterator[int]], round_: int, patience: float) -> list[int]:
    """What ``work`` reported as done in a process that was killed ``patience`` seconds after its first report."""
    reading, writing = os.pipe()

    def report() -> None:
        os.close(reading)
        for done in work(round_):
            os.write(writing, f"{done}\n".encode())

    process = multiprocessing.get_context("fork").Process(target=report)
    process.start()
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        said = told.readline()
        time.sleep(patience)
        process.kill()
        process.join()
        said += told.read()
    assert process.exitcode == -signal.SIGKILL, "the kill must come in the middle"
    return [int(line) for line in said.splitlines()]


def moments() -> Iterator[tuple[int, float]]:
    """Rounds, and how long after the first report each kill comes, in seconds."""
    generator = random.Random(0)
    return ((number, generator.uniform(0, 0.03)) for number in range(KILLS))


def leftovers(folder: Path) -> set[str]:
    """Names in ``folder`` but for what a kill cannot clear away: a temporary file, and a lock that nobody holds."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_no_registered_user_is_lost(tmp_path):
    path, done = tmp_path / "register.json", set()

    def work(round_: int) -> Iterator[int]:
        for number in range(round_ * 100_000, (round_ + 1) * 100_000):
            add_users(path, [f"user {number}"], SECRET)
            yield number

    for round_, patience in moments():
        done.update(reported(work, round_, patience))
        users = load_register(path).users
        assert {f"user {number}" for number in done} <= set(users)
        # At most one more a round: written, and killed before it could be reported.
        assert len(users) <= len(done) + round_ + 1
    assert leftovers(tmp_path) == {"register.json"}


def test_no_finished_picture_is_lost_and_every_report_is_whole(tmp_path):
    done: set[int] = set()

    def work(round_: int) -> Iterator[int]:
        with Journal(tmp_path / "journal.jsonl", "s") as journal:
            for number in range(round_ * 100_000, (round_ + 1) * 100_000):
                journal.add(TraceRow(f"{number}.png", f"{number:064}", notes=("x" * 5000,)))
                yield number
                write_report(tmp_path, list(journal.finished.values()), {}, pending=1)

    for round_, patience in moments():
        done.update(reported(work, round_, patience))
        finished = Journal(tmp_path / "journal.jsonl", "s").finished
        assert {f"{number:064}" for number in done} <= set(finished)
        assert len(finished) <= len(done) + round_ + 1
        if (tmp_path / "report.json").exists():
            assert all(row["digest"] in finished for row in json.loads((tmp_path / "report.json").read_bytes())["rows"])
        for name, end in (("report.csv", b"\r\n"), ("report.html", b"</html>\n")):
            assert not (tmp_path / name).exists() or (tmp_path / name).read_bytes().endswith(end)
    assert leftovers(tmp_path) <= {"journal.jsonl", "report.json", "report.csv", "report.html"}


def test_a_profile_is_always_one_that_was_saved(tmp_path):
    path = tmp_path / "own.json"
    profile = builtin_profile(load_autoencoder("demo-a").fingerprint)
    assert profile is not None

    def work(round_: int) -> Iterator[int]:
        for number in range(round_ * 100_000, (round_ + 1) * 100_000):
            save_profile(dataclasses.replace(profile, calibrated_on=str(number)), path)
            yield number

    for round_, patience in moments():
        last = reported(work, round_, patience)[-1]
        saved = load_profile(path)
        assert last <= int(saved.calibrated_on) <= last + 1
        assert dataclasses.replace(saved, calibrated_on=profile.calibrated_on) == profile
    assert leftovers(tmp_path) == {"own.json"}


def test_a_secret_is_whole_or_not_there(tmp_path):
    def work(round_: int) -> Iterator[int]:
        for number in range(round_ * 100_000, (round_ + 1) * 100_000):
            write_new_secret(tmp_path / f"{number}.secret")
            yield number

    for round_, patience in moments():
        done = reported(work, round_, patience)
        assert {f"{number}.secret" for number in done} <= leftovers(tmp_path)
    for name in leftovers(tmp_path):
        assert (tmp_path / name).stat().st_size == 65
    load_secret(tmp_path / "0.secret")
