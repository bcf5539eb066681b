"""Corpora without Ray: inputs, shards, settings, reports and merges, and what a worker does with pictures."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import tarfile
import time
import tracemalloc

import pytest
import torch
from commands import run
from latent_tracer.cli.attribute import tracer_of
from latent_tracer.core import (
    InvalidImageError,
    InvalidSettingError,
    Picture,
    Tracer,
    attribute,
    load_autoencoder,
    quantise,
    synthetic_photograph,
    to_picture,
)
from latent_tracer.core.files.read_ahead import read_ahead
from latent_tracer.core.storage.atomic import unwritable
from latent_tracer.core.storage.locking import locked
from latent_tracer.core.tracing.row import TraceRow

for package in ("ray", "pyarrow", "fsspec"):
    pytest.importorskip(package, reason=f"no {package} here: the extra corpus brings it")

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from latent_tracer.core.verdicts.attribution import attribution_record  # noqa: E402
from latent_tracer.corpus import installed, report, shards  # noqa: E402
from latent_tracer.corpus.counts import Counts  # noqa: E402
from latent_tracer.corpus.desk import Desk  # noqa: E402
from latent_tracer.corpus.inputs import Source, read_source, sources  # noqa: E402
from latent_tracer.corpus.keys import Keys, digests_of  # noqa: E402
from latent_tracer.corpus.merge import merge_folders  # noqa: E402
from latent_tracer.corpus.run import Progress, left, window_of, windows  # noqa: E402
from latent_tracer.corpus.schema import SCHEMAS, table_of  # noqa: E402
from latent_tracer.corpus.settings import RunSettings, load_settings  # noqa: E402
from latent_tracer.corpus.shards import ShardWriter, batches_in, counts_in, finished_in, shards_in  # noqa: E402
from latent_tracer.corpus.status import status_of  # noqa: E402
from latent_tracer.corpus.work import AttributeWork, DeviceLostError, TraceWork, told_of_lost  # noqa: E402

SETTINGS = RunSettings("trace", ("/in",), {"models": ["m"], "profiles": ["p"]}, {"inspected model": "m"})


@pytest.fixture
def folder(tmp_path):
    """Two pictures, one below; one broken; and what is no picture."""
    root = tmp_path / "in"
    (root / "below").mkdir(parents=True)
    to_picture(synthetic_photograph(1, 64)).save(root / "one.png")
    to_picture(synthetic_photograph(2, 64)).save(root / "below" / "two.png")
    (root / "broken.png").write_bytes(b"no picture")
    (root / "words.md").write_text("not a picture")
    return root


def names(*inputs, **options):
    return [one.name for one in sources([str(one) for one in inputs], **options)]


def row(number, **fields):
    return TraceRow(f"{number}.png", f"{number:064x}", seconds=0.5, **fields).to_json(f"/in/{number}.png", "m")


def table(numbers, **fields):
    return table_of("trace", [{**row(number, **fields), "shard": ""} for number in numbers])


def filled(path, numbers, settings=SETTINGS, **fields):
    settings.write(path)
    writer = ShardWriter(path, settings.kind)
    writer.add(table(numbers, **fields))
    writer.flush()
    return path


def rows_in(path):
    return [one for batch in batches_in(path) for one in batch.to_pylist()]


def test_a_missing_extra_is_one_sentence(monkeypatch):
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name != "fsspec" else name)
    with pytest.raises(installed.MissingExtraError, match=r"^corpus needs ray and pyarrow: pip install '.+'\.$"):
        installed.check_installed()


def test_a_folder_is_listed_below_and_in_a_fixed_order(folder):
    assert names(folder) == ["broken.png", "one.png", "below/two.png"]
    assert names(folder, leave_out=[folder / "below"]) == ["broken.png", "one.png"]


def test_lists_and_manifests_name_pictures_beside_them_and_elsewhere(folder, tmp_path):
    absolute = str(folder / "one.png")
    (folder / "list.txt").write_text(f"below/two.png\n\n{absolute}\r\ngone.png\n")
    pq.write_table(pa.table({"path": ["below/two.png", absolute, "gone.png"], "n": [1, 2, 3]}), folder / "m.parquet")
    for given in ("list.txt", "m.parquet"):
        found = list(sources([str(folder / given)]))
        assert [one.name for one in found] == ["below/two.png", absolute, "gone.png"]
        assert found[0].image == str(folder / "below" / "two.png")
        assert read_source(found[0]) == (folder / "below" / "two.png").read_bytes()
        with pytest.raises(InvalidImageError, match=r"gone\.png does not exist"):
            read_source(found[2])
    pq.write_table(pa.table({"n": [1]}), folder / "n.parquet")
    with pytest.raises(InvalidSettingError, match="has no column of text"):
        names(folder / "n.parquet")


def test_pictures_of_a_tar_file_are_read_from_where_they_lie(folder):
    with tarfile.open(folder / "set.tar", "w") as archive:
        for name in ("one.png", "words.md", "below/two.png"):
            archive.add(folder / name, f"000/{name}")
    found = list(sources([str(folder / "set.tar")]))
    assert [one.name for one in found] == ["set.tar::000/one.png", "set.tar::000/below/two.png"]
    assert [read_source(one) for one in found] == [(folder / n).read_bytes() for n in ("one.png", "below/two.png")]
    (folder / "set.tar").write_bytes((folder / "set.tar").read_bytes()[: found[1].offset + 5])
    with pytest.raises(InvalidImageError, match="ends early in its tar file"):
        read_source(found[1])
    (folder / "no.tar").write_bytes(b"\x1f\x8b no tar")
    with pytest.raises(InvalidSettingError, match="is no uncompressed tar file"):
        names(folder / "no.tar")


def test_any_file_system_of_fsspec_is_read(folder):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/corpus/a/one.png", (folder / "one.png").read_bytes())
    memory.pipe("/corpus/list.txt", b"a/one.png\n")
    found = list(sources(["memory://corpus"]))
    assert [one.name for one in found] == ["a/one.png"]
    assert read_source(found[0]) == (folder / "one.png").read_bytes()
    assert [read_source(one) for one in sources(["memory://corpus/list.txt"])] == [read_source(found[0])]
    with pytest.raises(InvalidImageError, match=r"gone\.png cannot be read"):
        read_source(Source("memory://corpus/gone.png", "gone.png", "memory://corpus/gone.png"))
    for url in ("memory://nowhere", "nosuchprotocol://x"):
        with pytest.raises(InvalidSettingError, match="check the address"):
            names(url)


@pytest.mark.parametrize("given", ["gone", "words.md"])
def test_what_holds_no_pictures_is_refused(folder, given):
    with pytest.raises(InvalidSettingError):
        names(folder / given)


@pytest.mark.skipif(os.name == "nt", reason="names of files are bytes elsewhere")
def test_a_name_that_is_no_text_comes_back_as_it_was(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        with open(path, "wb") as stream:
            stream.write(b"content")
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    (found,) = sources([str(tmp_path)])
    sent = pa.Table.from_pylist([found.record()]).to_pylist()
    again = Source.of(sent[0])
    assert again.place == found.place and read_source(again) == b"content"
    assert again.image.endswith("caf\\udce9.png")


def test_keys_are_a_set():
    generator = np.random.default_rng(0)
    keys, seen = Keys(), set()
    for _ in range(40):
        some = [str(number) for number in generator.integers(0, 500, generator.integers(1, 60))]
        fresh = []
        for name in some:
            fresh.append(name not in seen)
            seen.add(name)
        assert keys.add(digests_of(some)).tolist() == fresh
        assert len(keys) == len(seen)
    assert not keys.has(digests_of(["nobody"])).any()


def test_what_is_left_is_named_once(folder):
    twice = [str(folder), str(folder / "one.png")]
    keys, progress = Keys(), Progress()
    keys.add(digests_of([str(folder / "broken.png")]))
    assert [one.name for one in left(sources(twice), keys, progress)] == ["one.png", "below/two.png"]
    assert progress.earlier == 2


def test_windows_grow_with_the_rate_and_no_further():
    assert [window_of(rate) for rate in (None, 1.0, 80.0, 1e6)] == [50_000, 50_000, 80_000, 1_000_000]
    sizes = iter([2, 3, 9, 9])
    assert [list(one) for one in windows(iter(range(7)), lambda: next(sizes))] == [[0, 1], [2, 3, 4], [5, 6]]


def test_the_schema_is_the_one_of_trace():
    assert SCHEMAS["trace"].names == [*TraceRow("").to_json("", ""), "shard"]
    record = {**row(1, verdict="belonging", score=-0.5, notes=("a", "b"), crop={"left": 1}), "shard": "s"}
    (again,) = table_of("trace", [record]).to_pylist()
    assert {**again, "crop": None} == {**record, "crop": None} and again["crop"]["left"] == 1


def test_shards_hold_what_was_added_and_count_it_in_their_footers(tmp_path):
    filled(tmp_path, range(3), verdict="belonging", width=10, height=20)
    filled(tmp_path, range(3, 5), error="broken")
    assert [one.name[:11] for one in shards_in(tmp_path)] == ["rows-000001", "rows-000002"]
    counts = counts_in(tmp_path)
    assert (counts.rows, counts.errors, counts.seconds, counts.pixels) == (5, 2, 2.5, 600)
    assert counts.answers == {"belonging": 3, "not traced": 2}
    assert [one["shard"] for one in rows_in(tmp_path)] == [path.name for path in shards_in(tmp_path) for _ in range(3)][
        :5
    ]
    assert len(finished_in(tmp_path)) == 5


def test_a_shard_is_written_when_it_is_full_or_waited(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(shards.time, "monotonic", lambda: clock[0])
    writer = ShardWriter(tmp_path, "trace", most_rows=4)
    assert not writer.add(table([1, 2])) and writer.add(table([3, 4]))
    clock[0] += 1000
    assert writer.add(table([5])), "what came long ago is written"
    clock[0] += 29
    assert not writer.add(table([6]))
    clock[0] += 1
    assert writer.add(table([7])), "half a minute at most"


def test_a_half_written_shard_is_none(tmp_path, monkeypatch):
    """As a kill leaves it: under a temporary name, and the next run neither counts nor repeats a row."""
    filled(tmp_path, range(3))
    writer = ShardWriter(tmp_path, "trace")
    writer.add(table([3]))
    monkeypatch.setattr("latent_tracer.core.storage.atomic.os.replace", lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        writer.flush()
    monkeypatch.undo()
    (tmp_path / ".latent-tracer-0123.part").write_bytes(b"PAR1 half")
    assert len(finished_in(tmp_path)) == 3 and counts_in(tmp_path).rows == 3
    filled(tmp_path, [3])
    assert sorted(one["name"] for one in rows_in(tmp_path)) == ["0.png", "1.png", "2.png", "3.png"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_while_a_shard_is_written_repeats_no_row(tmp_path, monkeypatch, when):
    """Ctrl-C may come between any two instructions; what ends a run flushes once more."""
    writer = ShardWriter(tmp_path, "trace")
    writer.gather(table([1, 2]))

    def interrupted(*given):
        if when == "after":
            shards_write(*given)
        raise KeyboardInterrupt

    shards_write = shards.write_shard
    monkeypatch.setattr(shards, "write_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writer.flush()
    monkeypatch.undo()
    writer.flush()
    writer.gather(table([3]))
    writer.flush()
    assert sorted(one["name"] for one in rows_in(tmp_path)) == ["1.png", "2.png", "3.png"]
    assert len(shards_in(tmp_path)) == 2


def test_errors_can_be_taken_out_to_be_judged_again(tmp_path):
    filled(tmp_path, range(3))
    filled(tmp_path, range(3, 5), error="the disk was away")
    before = [path.read_bytes() for path in shards_in(tmp_path)][0]
    failed = shards.failed_in(tmp_path)
    assert len(failed) == 2 and shards.drop_errors(tmp_path, "trace", {"/elsewhere/9.png"}) == 0
    assert shards.drop_errors(tmp_path, "trace", {min(failed)}) == 1 and shards.failed_in(tmp_path) == {max(failed)}
    assert counts_in(tmp_path).errors == 1
    assert shards.drop_errors(tmp_path, "trace", failed) == 1
    assert shards_in(tmp_path)[0].read_bytes() == before
    assert counts_in(tmp_path).rows == len(finished_in(tmp_path)) == len(rows_in(tmp_path)) == 3
    filled(tmp_path, range(3, 5))
    assert len(shards_in(tmp_path)) == 3 and counts_in(tmp_path).errors == 0


def test_a_damaged_shard_is_named(tmp_path):
    filled(tmp_path, range(3))
    (path,) = shards_in(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    for read in (counts_in, finished_in, report.write_corpus_report):
        with pytest.raises(InvalidSettingError, match=rf"{path.name} cannot be read"):
            read(tmp_path) if read is not report.write_corpus_report else read(tmp_path, tmp_path / "report")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"models": ["n"]}, "another model:"),
        ({"profiles": []}, "another profile:"),
        ({"further": 1}, "another further:"),
    ],
)
def test_another_setting_is_refused_in_one_sentence(tmp_path, change, named):
    filled(tmp_path, range(3))
    other = dataclasses.replace(SETTINGS, settings={**SETTINGS.settings, **change})
    with pytest.raises(InvalidSettingError, match=named):
        other.write(tmp_path)
    assert load_settings(tmp_path).settings == SETTINGS.settings
    with pytest.raises(InvalidSettingError, match="holds rows of `corpus trace`"):
        dataclasses.replace(SETTINGS, kind="attribute").write(tmp_path)


def test_further_inputs_are_taken_and_remembered(tmp_path):
    SETTINGS.write(tmp_path)
    dataclasses.replace(SETTINGS, inputs=("/more", "/in")).write(tmp_path)
    assert load_settings(tmp_path).inputs == ("/in", "/more")
    assert json.loads((tmp_path / "run.json").read_text())["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"format": "x"}', b'{"format": "latent-tracer-corpus", "version": 9}']
)
def test_a_foreign_run_file_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(InvalidSettingError, match=r"run\.json"):
        load_settings(tmp_path)


def test_status_counts_what_is_on_the_disk(tmp_path):
    filled(tmp_path, range(3), verdict="belonging")
    (tmp_path / "progress.json").write_text(json.dumps({"total": 10, "rate": 2.0, "remaining_seconds": 300}))
    status = status_of(tmp_path)
    assert not status.is_running and status.record()["rows"] == 3 and status.record()["rate"] is None
    assert status.lines[0] == "3 of 10 pictures, not running: the same command goes on"
    with pytest.raises(InvalidSettingError, match="holds no corpus"):
        status_of(tmp_path / "nowhere")


def test_where_nothing_can_be_locked_nobody_is_running(tmp_path, monkeypatch):
    filled(tmp_path, range(3))
    with locked(tmp_path / "run.json"):
        assert status_of(tmp_path).is_running

    def read_only(path, timeout):
        raise unwritable(path, PermissionError(13, "Read-only file system"))

    monkeypatch.setattr("latent_tracer.corpus.status.locked", read_only)
    assert not status_of(tmp_path).is_running and status_of(tmp_path).counts.rows == 3


def test_merged_rows_are_those_of_all_runs_each_once(tmp_path):
    first, second = filled(tmp_path / "a", range(4)), filled(tmp_path / "b", range(2, 6), verdict="belonging")
    merged = merge_folders([first, second], tmp_path / "c", rows=3)
    assert (merged.counts.rows, merged.repeated) == (6, 2)
    found = {one["name"]: one["verdict"] for one in rows_in(tmp_path / "c")}
    assert found == {f"{number}.png": None if number < 4 else "belonging" for number in range(6)}
    assert counts_in(tmp_path / "c").rows == 6 and load_settings(tmp_path / "c").settings == SETTINGS.settings
    with pytest.raises(InvalidSettingError, match="is not empty"):
        merge_folders([first], second)
    third = filled(tmp_path / "d", [9], dataclasses.replace(SETTINGS, settings={"models": ["n"]}))
    with pytest.raises(InvalidSettingError, match="another model"):
        merge_folders([first, third], tmp_path / "e")


def test_a_report_sums_up_and_its_cells_are_safe(tmp_path):
    hostile = "=1+1\x1b[31m;-2"
    filled(tmp_path, range(3), verdict="belonging", score=-0.5, notes=("a", hostile), width=10, height=10)
    filled(tmp_path, range(3, 5), verdict="non-belonging", score=0.1, basis="a; =b", condition="clean")
    filled(tmp_path, [5], error="<script>broken</script>")
    line = report.write_corpus_report(tmp_path, tmp_path / "report")
    assert line == "6 pictures: 3 belonging, 2 non-belonging, 1 not traced; 1 with an error"
    page = (tmp_path / "report" / "corpus.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;broken" in page and "<script" not in page and "belonging: 3 scores" in page
    text = (tmp_path / "report" / "corpus.csv").read_text(encoding="utf-8-sig")
    found = list(csv.DictReader(io.StringIO(text)))
    assert [one["name"] for one in found] == [f"{number}.png" for number in range(6)]
    assert found[0]["notes"] == "a | =1+1\\x1b[31m;'-2" and found[3]["basis"] == "a; '=b"
    assert found[0]["score"] == "-0.5" and found[0]["explained"] == "False" and found[0]["fpr"] == ""


def test_cells_are_those_of_the_folder_report():
    from latent_tracer.core.reports.folder_report import COLUMNS, csv_text

    texts = [
        "plain",
        "=x",
        " =x",
        "a;=b",
        "a\tb",
        "é",
        "\u202e",
        "x" * 3000,
        "",
        "-1",
        'q"uote',
        "two\nlines",
        "+",
        "@",
    ]
    rows = [TraceRow(one, notes=(one, "z"), claims=one, lossy=True, score=0.1 * k) for k, one in enumerate(texts)]
    expected = list(csv.DictReader(io.StringIO(csv_text(rows))))
    made = table_of("trace", [{**one.to_json("i", "v"), "shard": ""} for one in rows])
    schema = pa.schema([(one.name, pa.string() if report._is_text(one.type) else one.type) for one in made.schema])
    found = report.cells(made, schema).to_pylist()
    for name in COLUMNS:
        assert ["" if one[name] is None else str(one[name]) for one in found] == [one[name] for one in expected], name


def test_a_report_needs_no_memory_for_its_rows(tmp_path):
    """The peak with many shards is that with few: rows are read some at a time."""

    def peak(count):
        path = tmp_path / str(count)
        SETTINGS.write(path)
        many = table(range(2000), verdict="belonging", score=-0.5, basis="x" * 200)
        for number in range(count):
            name = f"rows-{number:06}-00000000.parquet"
            shards.write_shard(path / name, many, Counts.of("trace", many))
        tracemalloc.start()
        before = pa.default_memory_pool().bytes_allocated()
        report.write_corpus_report(path, path / "report")
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held, pa.default_memory_pool().bytes_allocated() - before

    few, many = peak(2), peak(12)
    assert many[0] < 1.5 * few[0] and many[1] <= few[1] + 2**20


def test_the_commands_say_what_they_found(tmp_path):
    filled(tmp_path / "a", range(3), verdict="belonging")
    filled(tmp_path / "b", range(2, 4), error="broken")
    status = run("corpus", "status", tmp_path / "a", "--json")
    assert status.returncode == 0 and json.loads(status.stdout)["answers"] == {"belonging": 3}
    assert run("corpus", "status", tmp_path / "a").stdout.startswith("3 pictures, not running")
    merged = run("corpus", "merge", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "c")
    assert merged.returncode == 0 and "1 rows of pictures that had one already" in merged.stderr
    assert merged.stdout.startswith("4 rows: 3 belonging, 1 not traced; 1 with an error")
    found = run("corpus", "report", tmp_path / "c", "-o", tmp_path / "r", "--no-csv")
    assert found.returncode == 0 and [one.name for one in (tmp_path / "r").iterdir()] == ["corpus.html"]
    nothing = run("corpus", "report", tmp_path / "nothing")
    assert nothing.returncode == 2 and "holds no corpus" in nothing.stderr
    assert not (tmp_path / "nothing").exists()


def test_a_command_without_the_extra_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    said = run("corpus", "run", tmp_path, "--vae", "demo-a", "-o", tmp_path / "out")
    assert said.returncode == 2 and "pip install 'latent-tracer[cli,corpus]'" in said.stderr
    assert not (tmp_path / "out").exists()


def test_an_attribution_is_reported_too(tmp_path):
    settings = dataclasses.replace(SETTINGS, kind="attribute")
    settings.write(tmp_path)
    base = {
        "reason": "r",
        "tied": [],
        "candidates": [],
        "fpr": 0.1,
        "error": "",
        "digest": "",
        "seconds": 1.0,
        "shard": "",
    }
    records = [
        {**base, "image": "/1", "name": "1", "vae": "a"},
        {**base, "image": "/2", "name": "2", "vae": None},
        {**base, "image": "/3", "name": "3", "vae": None, "tied": ["a", "b"]},
        {**base, "image": "/4", "name": "4", "vae": None, "error": "broken"},
    ]
    writer = ShardWriter(tmp_path, "attribute")
    writer.add(table_of("attribute", records))
    writer.flush()
    assert counts_in(tmp_path).answers == {"a": 1, "none": 1, "tie": 1, "not traced": 1}
    assert report.write_corpus_report(tmp_path, tmp_path / "r").startswith(
        "4 pictures: 1 a, 1 none, 1 not traced, 1 tie"
    )


@pytest.fixture(scope="module")
def demo():
    return load_autoencoder("demo-a")


def without_cost(record):
    return {key: value for key, value in record.items() if key not in ("seconds", "peak_bytes", "shard")}


@pytest.mark.parametrize("batch", [1, 4])
def test_a_workers_records_are_those_of_trace(folder, demo, batch):
    with torch.no_grad():
        own = quantise(demo.decode(demo.encode(synthetic_photograph(5, 192))).clamp(0, 1))
    to_picture(own).save(folder / "own.png")
    found = list(sources([str(folder)])) + [Source("/x", "refused.png", "/x", refused="is a pipe")]
    tracer = Tracer(load_autoencoder("demo-a"), name="demo-a")
    work = TraceWork(tracer, "demo-a", checks_refusal=False, batch=batch)
    work.begin("cpu")
    records = {record["name"]: record for record in work.records(found)}
    assert records.keys() == {"one.png", "own.png", "below/two.png", "broken.png", "refused.png"}
    assert records["own.png"]["verdict"] == "belonging"
    assert records["refused.png"]["error"] == "is a pipe" and records["broken.png"]["error"].startswith("is not a")
    plain = Tracer(demo, name="demo-a")
    for source in found:
        record = records[source.name]
        if record["error"]:
            continue
        traced = plain.trace(Picture.read(source.place), checks_refusal=False)
        row = dataclasses.replace(plain.row(traced), name=source.name).to_json(source.image, "demo-a")
        same = without_cost(record)
        if batch > 1:  # off by the last bits
            assert same.pop("score") == pytest.approx(row.pop("score"), abs=1e-4)
        assert same == without_cost(row)
        assert record["seconds"] > 0


def test_a_workers_attribution_is_that_of_attribute(folder, demo):
    tracers = [tracer_of(load_autoencoder(name), name, []) for name in ("demo-a", "demo-b")]
    work = AttributeWork(tracers, 1)
    work.begin("cpu")
    found = list(sources([str(folder)]))
    records = {record["name"]: record for record in work.records(found)}
    picture = Picture.read(folder / "one.png")
    expected = attribution_record(str(folder / "one.png"), attribute(tracers, picture))
    assert {key: records["one.png"][key] for key in expected} == expected
    assert records["one.png"]["digest"] == picture.facts.digest
    assert records["broken.png"]["error"] and records["broken.png"]["candidates"] == []
    assert list(table_of("attribute", [{**one, "shard": ""} for one in records.values()])["name"]) is not None


def test_files_are_read_while_earlier_ones_are_judged():
    begun = []

    def read(number):
        begun.append(number)
        if number == 7:
            raise InvalidImageError("gone")
        return -number

    reading = read_ahead(range(9), read, 2)
    assert next(reading) == (0, 0)
    for _ in range(200):
        if len(begun) == 3:
            break
        time.sleep(0.01)
    assert begun == [0, 1, 2], "two ahead and no further"
    assert [next(reading) for _ in range(6)] == [(number, -number) for number in range(1, 7)]
    with pytest.raises(InvalidImageError, match="gone"):
        next(reading)


def test_a_lost_device_is_no_pictures_fault():
    def lost(_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def out_of_memory(_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DeviceLostError):
        told_of_lost(lost)(None)
    with pytest.raises(torch.OutOfMemoryError):
        told_of_lost(out_of_memory)(None)


def test_the_desk_counts_what_did_not_end():
    desk = Desk([1])
    assert (desk.begin("a"), desk.begin("a"), desk.begin("b")) == (1, 2, 1)
    desk.end("a")
    assert desk.begin("a") == 1 and desk.work() == [1]


def test_a_moved_autoencoder_is_the_same(demo):
    moved = load_autoencoder("demo-a")
    digest, ratio = moved.fingerprint, moved.spatial_ratio
    assert moved.to(torch.device("cpu")) is moved
    assert "device" not in vars(moved) and (moved.fingerprint, moved.spatial_ratio) == (digest, ratio)
