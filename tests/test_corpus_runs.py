"""Corpora on Ray: complete, whatever is killed, and never a picture twice. Some minutes, for Ray starts slowly.

What is interrupted are programs of their own; what needs no kill shares one Ray in this process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from latent_tracer.core import (
    InvalidSettingError,
    Tracer,
    load_autoencoder,
    quantise,
    synthetic_photograph,
    to_picture,
)

for package in ("ray", "pyarrow", "fsspec"):
    pytest.importorskip(package, reason=f"no {package} here: the extra corpus brings it")

import corpus_works  # noqa: E402
import ray  # noqa: E402
from commands import run  # noqa: E402
from corpus_works import NamesWork  # noqa: E402
from latent_tracer.cli.attribute import tracer_of  # noqa: E402
from latent_tracer.corpus.engine import Engine, EngineError, judged, started, was_cancelled  # noqa: E402
from latent_tracer.corpus.inputs import Source  # noqa: E402
from latent_tracer.corpus.run import run_corpus  # noqa: E402
from latent_tracer.corpus.settings import RunSettings  # noqa: E402
from latent_tracer.corpus.shards import batches_in, shards_in  # noqa: E402
from latent_tracer.corpus.status import is_running, status_of  # noqa: E402
from latent_tracer.corpus.work import AttributeWork, TraceWork  # noqa: E402

posix = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found under /proc")
PROGRAM = (sys.executable, "-c", "from latent_tracer.cli import main; main()", "corpus", "run")
COST = ("seconds", "peak_bytes", "shard")
PATIENCE = 240


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Fifty pictures of mixed size and origin, every tenth broken."""
    folder = tmp_path_factory.mktemp("corpus") / "in"
    folder.mkdir()
    demo = load_autoencoder("demo-a")
    for number in range(50):
        path = folder / f"{number:02}.png"
        if number % 10 == 7:
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(number))
            continue
        picture = synthetic_photograph(number, (96, 128, 192)[number % 3])
        if number % 2:
            with torch.no_grad():
                picture = quantise(demo.decode(demo.encode(picture)).clamp(0, 1))
        to_picture(picture).save(path)
    return folder


def rows_in(folder):
    """Every row but for what a run costs, by picture; fails where one has two."""
    found = [row for batch in batches_in(folder) for row in batch.to_pylist()]
    rows = {row["image"]: {key: value for key, value in row.items() if key not in COST} for row in found}
    assert len(rows) == len(found), "a picture has two rows"
    return rows


@pytest.fixture(scope="module")
def shared():
    """One Ray for all that needs no kill."""
    engine = Engine(workers=2, threads=1)
    ray.cloudpickle.register_pickle_by_value(corpus_works)  # no worker finds it on its path
    with started(engine):
        yield engine


@pytest.fixture(scope="module")
def uninterrupted(shared, pictures, tmp_path_factory):
    """The rows of all fifty, two workers."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    states = []
    work = TraceWork(Tracer(load_autoencoder("demo-a"), known_as=("demo-a",)), "demo-a", checks_refusal=False)
    end = run_corpus(
        work,
        RunSettings("trace", (str(pictures),), {}),
        folder,
        shared,
        lambda one: states.append((one.state, one.now)),
    )
    assert (end.total, end.now, end.state) == (50, 50, "complete") and end.counts.errors == 5
    assert states[0] == ("starting", 0) and states[-1] == ("complete", 50) and ("running", 0) in states
    assert not is_running(folder) and status_of(folder).counts.rows == 50
    return folder


def test_every_picture_has_the_row_that_trace_gives_it(uninterrupted, pictures):
    rows = rows_in(uninterrupted)
    assert {Path(image).name for image in rows} == {f"{number:02}.png" for number in range(50)}
    assert sum(row["verdict"] is None for row in rows.values()) == 5
    assert {"belonging", "non-belonging"} <= {row["verdict"] for row in rows.values()}
    tracer = Tracer(load_autoencoder("demo-a"), known_as=("demo-a",))
    work = TraceWork(tracer, "demo-a", checks_refusal=False)
    from latent_tracer.corpus.inputs import sources

    some = [one for one in sources([str(pictures)]) if one.name in ("00.png", "01.png", "07.png")]
    for record in work.records(some):
        assert rows[record["image"]] == {key: value for key, value in record.items() if key not in COST}


def test_a_second_run_does_nothing(shared, uninterrupted, pictures):
    before = shards_in(uninterrupted)
    end = run_corpus(NamesWork(), RunSettings("trace", (str(pictures),), {}), uninterrupted, shared)
    assert (end.earlier, end.now) == (50, 0) and shards_in(uninterrupted) == before


def test_a_picture_that_kills_its_worker_becomes_a_row_and_costs_the_others_nothing(shared, tmp_path):
    for name in ("a.png", "deadly.png", "b.png", "lost.png", "c.png"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"")
    end = run_corpus(NamesWork(), RunSettings("trace", (str(tmp_path / "in"),), {}), tmp_path / "out", shared)
    rows = {Path(image).name: row for image, row in rows_in(tmp_path / "out").items()}
    assert end.counts.rows == 5 and end.counts.errors == 2
    assert all("its worker died 3 times" in rows[f"{name}.png"]["error"] for name in ("deadly", "lost"))
    assert all(rows[f"{name}.png"]["verdict"] == "belonging" for name in "abc")


def test_windows_bound_what_is_named_to_ray_at_a_time(shared, tmp_path):
    (tmp_path / "list.txt").write_text("".join(f"{number}.png\n" for number in range(15)))
    given = RunSettings("trace", (str(tmp_path / "list.txt"),), {})
    end = run_corpus(NamesWork(), given, tmp_path / "out", shared, window=10)
    assert end.now == 15 and len(rows_in(tmp_path / "out")) == 15


def test_several_models_are_asked_in_one_pass_over_the_files(shared, pictures, tmp_path):
    tracers = [tracer_of(load_autoencoder(name), name, []) for name in ("demo-a", "demo-b")]
    (tmp_path / "list.txt").write_text("".join(f"{pictures}/{name}.png\n" for name in ("05", "07")))
    given = RunSettings("attribute", (str(tmp_path / "list.txt"),), {})
    end = run_corpus(AttributeWork(tracers, 1), given, tmp_path / "out", shared)
    rows = {Path(image).name: row for image, row in rows_in(tmp_path / "out").items()}
    assert end.counts.rows == 2 and rows["05.png"]["vae"] == "demo-a" and rows["07.png"]["error"]
    assert [one["vae"] for one in rows["05.png"]["candidates"]] == ["demo-a", "demo-b"]


def begun(folder, *arguments):
    """The command as a program of its own; Ray in this process would otherwise be joined."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments), "-o", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        # A test run in the background inherits "ignore interrupts" from its shell, and would hand it on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition, process):
    """Until ``condition`` holds; fails if ``process`` ends before."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None:
            pytest.fail(f"it ended before it could be interrupted: {process.communicate()[0]}")
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.05)


def workers_of(pid):
    """The processes below ``pid`` that hold a model."""
    parents = {}
    titles = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            titles[int(path.name)] = (path / "cmdline").read_bytes().decode(errors="replace")
        except (OSError, ValueError):
            continue

    def is_below(one):
        while one in parents:
            one = parents[one]
            if one == pid:
                return True
        return False

    return [one for one, title in titles.items() if "MapWorker" in title and is_below(one)]


@posix
def test_killed_workers_and_drivers_and_a_cancel_leave_the_rows_of_an_uninterrupted_run(
    uninterrupted, pictures, tmp_path
):
    folder = tmp_path / "out"
    arguments = (pictures, "--vae", "demo-a", "--workers", 2, "--no-checks-refusal")

    first = begun(folder, *arguments)
    wait_for(lambda: shards_in(folder) and workers_of(first.pid), first)
    with pytest.raises(InvalidSettingError, match="is being written by another run"):
        run_corpus(NamesWork(), RunSettings("trace", (str(pictures),), {}), folder, Engine(1))
    assert is_running(folder)
    os.kill(workers_of(first.pid)[0], signal.SIGKILL)
    some = len(shards_in(folder))
    wait_for(lambda: len(shards_in(folder)) > some, first)
    first.kill()
    first.communicate()
    done = set(rows_in(folder))
    assert 0 < len(done) < 50

    other = run("corpus", "run", pictures, "--vae", "demo-b", "--no-checks-refusal", "-o", folder)
    assert other.returncode == 2 and "was begun with another model, name of a model, profile" in other.stderr

    more = done
    for number in (signal.SIGINT, signal.SIGTERM):
        before, some = more, len(shards_in(folder))
        cancelled = begun(folder, *arguments)
        wait_for(lambda some=some: len(shards_in(folder)) > some, cancelled)
        cancelled.send_signal(number)
        began = time.monotonic()
        said = cancelled.communicate(timeout=PATIENCE)[0]
        assert cancelled.returncode == 130 and "cancelled" in said
        assert time.monotonic() - began < 30, "a cancel ends soon, on a busy machine too"
        more = set(rows_in(folder))
        assert before < more and len(more) < 50

    third = begun(folder, *arguments)
    said = third.communicate(timeout=PATIENCE)[0]
    assert third.returncode == 2 and "Traceback" not in said
    assert f"{len(more)} of 50 had been finished before" in said
    assert rows_in(folder) == rows_in(uninterrupted)
    assert ray.is_initialized()


def test_a_cancel_that_ray_covers_with_an_error_of_its_own_is_a_cancel(monkeypatch):
    def covered(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("the actor is temporarily unavailable")

    monkeypatch.setattr("ray.data.from_items", covered)
    with pytest.raises(KeyboardInterrupt):
        list(judged(Engine(1), None, [Source("a.png", "a.png", "a.png")]))
    monkeypatch.setattr("ray.data.from_items", _gives_up)
    with pytest.raises(EngineError, match="Ray gave up"):
        list(judged(Engine(1), None, [Source("a.png", "a.png", "a.png")]))
    assert not was_cancelled(RuntimeError("alone"))


def _gives_up(*_: object, **__: object) -> None:
    raise RuntimeError("no worker is left")
