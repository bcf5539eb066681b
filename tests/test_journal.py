"""The journal's promises: a row is on the disk before anybody hears of it, and only whole lines count."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
from latent_tracer.core import InvalidSettingError, Picture, synthetic_photograph, to_picture
from latent_tracer.core.files.folder import list_folder
from latent_tracer.core.reports import journal as journal_module
from latent_tracer.core.reports.folder_trace import trace_files
from latent_tracer.core.reports.journal import FORMAT, VERSION, Journal, settings_digest
from latent_tracer.core.tracing.row import TraceRow, failed_row


@pytest.fixture
def path(tmp_path):
    return tmp_path / "report" / "journal.jsonl"


def row(number: int) -> TraceRow:
    return TraceRow(f"{number}.png", f"{number:064}")


def test_a_row_is_in_the_journal_before_it_is_handed_on(tmp_path, path):
    for seed in (1, 2, 3):
        to_picture(synthetic_photograph(seed, 16)).save(tmp_path / f"{seed}.png")
    with Journal(path, "s") as journal:
        assert path.stat().st_mode & 0o111 == 0
        handed = 0
        listing = list_folder(tmp_path, below=False)
        rows = SimpleNamespace(row=lambda picture: failed_row(picture.facts, picture.pixels, "flat"))
        for outcome in trace_files(listing, lambda picture: picture, rows, journal=journal):
            handed += 1
            assert len(path.read_bytes().splitlines()) == handed
            assert Journal(path, "s").finished[outcome.row.digest] == outcome.row
        assert handed == 3


def test_a_row_is_on_the_disk_when_add_returns(path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    with Journal(path, "s") as journal:
        del synced[:]
        journal.add(row(1))
        assert synced == [path.stat().st_size]
        assert journal.finished == {row(1).digest: row(1)}


def test_an_answer_is_in_the_journal_before_its_explanation_begins_and_does_not_count_as_finished(tmp_path, path):
    to_picture(synthetic_photograph(1, 16)).save(tmp_path / "1.png")
    listing = list_folder(tmp_path, below=False)

    def row_of(traced):
        return replace(failed_row(traced.picture.facts, traced.picture.pixels, ""), explained=traced.explained)

    def traced(picture):
        return Answer(picture)

    def explain(answer):
        (line,) = path.read_bytes().splitlines()
        assert json.loads(line)["final"] is False and json.loads(line)["row"]["explained"] is False
        assert not journal.finished and not Journal(path, "s").finished
        if cancelled:
            raise KeyboardInterrupt
        return replace(answer, explained=True)

    for cancelled in (True, False):
        path.unlink(missing_ok=True)
        seen = []
        with Journal(path, "s") as journal, suppress(KeyboardInterrupt):
            for outcome in trace_files(listing, traced, SimpleNamespace(row=row_of), finish=explain, journal=journal):
                seen.append((outcome.final, outcome.row.explained))
        assert seen == [(False, False)] if cancelled else [(False, False), (True, True)]
        finished = Journal(path, "s").finished
        assert [row.explained for row in finished.values()] == ([] if cancelled else [True])


@dataclass(frozen=True)
class Answer:
    is_complete = True

    picture: Picture
    explained: bool = False
    notes: tuple[str, ...] = ()


def test_a_write_that_ends_early_goes_on(path, monkeypatch):
    write = os.write
    with Journal(path, "s") as journal:
        monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
        journal.add(row(1))
        journal.add(row(2))
    assert list(Journal(path, "s").finished.values()) == [row(1), row(2)]


def test_after_a_torn_line_the_next_one_is_whole(path):
    with Journal(path, "s") as journal:
        journal.add(row(1))
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(whole[: len(whole) // 2])
    with Journal(path, "s") as journal:
        journal.add(row(2))
        journal.add(row(3))
    assert path.read_bytes().count(b"\n") == 4 and b"\n\n" not in path.read_bytes()
    assert list(Journal(path, "s").finished.values()) == [row(1), row(2), row(3)]


def test_a_full_disk_is_one_sentence_and_costs_only_that_row(path, monkeypatch):
    write = os.write

    def half(descriptor, data):
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:-10])

    with Journal(path, "s") as journal:
        journal.add(row(1))
        monkeypatch.setattr(os, "write", half)
        with pytest.raises(InvalidSettingError, match="No space left on device.: make room; what is finished is kept"):
            journal.add(row(2))
        monkeypatch.undo()
        assert list(journal.finished.values()) == [row(1)]
        journal.add(row(3))
    assert list(Journal(path, "s").finished.values()) == [row(1), row(3)]


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, True), ({"format": "other"}, False), ({"settings": "t"}, False), ({"file": 3}, False),
        ({"row": {"name": 3}}, False), ({"row": None}, False), ({"later": "field"}, True), ({"version": VERSION}, True),
    ],
)  # fmt: skip
def test_lines_that_count_and_lines_that_do_not(path, change, counts):
    path.parent.mkdir()
    entry = {"format": FORMAT, "version": VERSION, "settings": "s", "file": row(1).digest, "row": row(1).to_record()}
    path.write_text(json.dumps({**entry, **change}) + "\n")
    with path.open("a") as file:
        file.write(json.dumps({**entry, "file": row(2).digest, "row": row(2).to_record()}) + "\n")
    # One that does not count keeps none behind it from counting.
    assert list(Journal(path, "s").finished) == ([row(1).digest] if counts else []) + [row(2).digest]


@pytest.mark.parametrize("version", [VERSION + 1, "1", None, True, 1.0])
def test_a_version_that_this_release_does_not_know_is_refused(path, version):
    path.parent.mkdir()
    path.write_text(json.dumps({"format": FORMAT, "version": version, "settings": "s"}) + "\n")
    with pytest.raises(InvalidSettingError, match="newer release: update this one"):
        Journal(path, "s")


def test_a_refused_run_holds_no_lock(path):
    path.parent.mkdir()
    waiting = Journal(path, "s")
    path.write_text(json.dumps({"format": FORMAT, "version": VERSION + 1}) + "\n")
    with pytest.raises(InvalidSettingError, match="newer"):
        waiting.__enter__()
    path.unlink()
    with Journal(path, "s") as journal:
        journal.add(row(1))
    assert sorted(os.listdir(path.parent)) == ["journal.jsonl"]


def test_nothing_is_appended_outside_of_the_context_and_no_descriptor_stays_open(path):
    journal = Journal(path, "s")
    with pytest.raises(AssertionError):
        journal.add(row(1))
    with journal:
        held = journal._descriptor
        assert os.fstat(held).st_size == 0
    with pytest.raises(OSError):
        os.fstat(held)
    with pytest.raises(AssertionError):
        journal.add(row(1))


def test_whole_lines_follow_each_other_without_gaps(path):
    for number in (1, 2, 3):
        with Journal(path, "s") as journal:
            journal.add(row(number))
            journal.add(row(number + 3))
    assert [json.loads(line)["row"]["name"] for line in path.read_bytes().splitlines()] == [
        f"{number}.png" for number in (1, 4, 2, 5, 3, 6)
    ]


def test_a_row_without_a_digest_cannot_be_found_again_and_is_not_taken(path):
    with Journal(path, "s") as journal, pytest.raises(AssertionError):
        journal.add(TraceRow("a"))


def test_settings_are_told_apart_by_their_values_not_their_order():
    assert settings_digest({"a": 1, "b": [2.5, None]}) == settings_digest({"b": [2.5, None], "a": 1})
    assert len({settings_digest({"a": value}) for value in (1, "1", None, True, 0)}) == 5
    with pytest.raises(ValueError):
        settings_digest({"a": float("nan")})


def test_a_second_run_is_refused_at_once_and_later_reads_what_the_first_did(path, monkeypatch):
    patience = []
    lock = journal_module.locked
    monkeypatch.setattr(journal_module, "locked", lambda path, timeout: patience.append(timeout) or lock(path, timeout))
    second = Journal(path, "s")
    with Journal(path, "s") as first:
        with pytest.raises(InvalidSettingError, match=r"journal.jsonl is being written by another run"):
            second.__enter__()
        first.add(row(1))
    assert patience == [0, 0]  # the first may go on for days
    with second:
        assert list(second.finished) == [row(1).digest]
        second.add(row(2))
    assert list(Journal(path, "s").finished) == [row(1).digest, row(2).digest]
    assert os.listdir(path.parent) == ["journal.jsonl"]
