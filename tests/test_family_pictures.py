"""The list of real models' pictures says one thing of each, and what it lists can be had again and verified."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest
from pictures.collect import FAMILIES, Listed, address_of, collect, download, listed, main, missing

ROWS = listed()
GENERATED = [row for row in ROWS if row.kind == "generated"]
PHOTOGRAPHS = [row for row in ROWS if row.kind == "real"]


def test_each_line_names_one_picture_of_its_own():
    for values in ([row.sha256 for row in ROWS], [row.source for row in ROWS]):
        assert len(values) == len(set(values))
    for row in ROWS:
        assert re.fullmatch(r"[0-9a-f]{64}", row.sha256)
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}:[^\t]+\.png", row.source)
        assert row.address == address_of(row.source)
        assert row.licence and row.evidence
    assert sorted(GENERATED + PHOTOGRAPHS, key=lambda row: row.sha256) == sorted(ROWS, key=lambda row: row.sha256)


def test_families_are_known_and_photographs_have_none():
    assert {row.family for row in GENERATED} == set(FAMILIES)
    assert all(row.model for row in GENERATED)
    assert {(row.model, row.family) for row in PHOTOGRAPHS} == {("", "none")}
    models: dict[str, set[str]] = {}
    for row in GENERATED:
        models.setdefault(row.model, set()).add(row.family)
    assert [model for model, found in models.items() if len(found) > 1] == []


def test_pictures_are_of_the_sizes_that_decoders_write_and_enough():
    assert all(min(int(row.width), int(row.height)) >= 512 for row in ROWS)
    assert all(int(row.width) % 8 == int(row.height) % 8 == 0 for row in GENERATED)
    assert len({row.model for row in GENERATED}) >= 8 and len(GENERATED) >= 100 and len(PHOTOGRAPHS) >= 60
    assert all(len({row.repository for row in GENERATED if row.family == family}) >= 3 for family in FAMILIES)


@pytest.fixture
def shelf(tmp_path):
    """``shelf(content)``: a line for a file of ``content`` that lies where its address says."""

    def add(name: str, content: bytes) -> Listed:
        path = tmp_path / "there" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return replace(GENERATED[0], address=path.as_uri(), sha256=hashlib.sha256(content).hexdigest(), model=name)

    return add


def test_what_lacks_is_brought_and_what_is_there_is_left(shelf, tmp_path):
    rows, folder = [shelf("one", b"1"), shelf("two", b"2")], tmp_path / "here"
    assert [row for row, _ in missing(rows, folder)] == rows
    assert list(collect(rows[:1], folder)) == []
    asked = []
    assert list(collect(rows, folder, lambda address: asked.append(address) or download(address))) == []
    assert asked == [rows[1].address]
    assert [row.place(folder).read_bytes() for row in rows] == [b"1", b"2"] and list(missing(rows, folder)) == []


def test_another_file_is_not_kept_and_one_that_is_gone_stops_no_other(shelf, tmp_path):
    gone, changed, good = (shelf(name, name.encode()) for name in ("gone", "changed", "good"))
    (tmp_path / "there" / "gone.png").unlink()
    (tmp_path / "there" / "changed.png").write_bytes(b"another")
    faults = list(collect([gone, changed, good], tmp_path / "here"))
    assert len(faults) == 2
    assert gone.address in faults[0] and "run this again" in faults[0]
    assert changed.address in faults[1] and "not kept" in faults[1]
    assert [path.read_bytes() for path in (tmp_path / "here").rglob("*") if path.is_file()] == [b"good"]


def test_a_folder_is_verified(shelf, tmp_path, capsys):
    row = shelf("one", b"1")
    table = tmp_path / "table.tsv"
    names = list(vars(row))
    table.write_text("\t".join(names) + "\n" + "\t".join(vars(row).values()) + "\n", encoding="utf-8")
    assert main(["--check", str(tmp_path / "here"), "--table", str(table)]) == 1
    assert "is not there" in capsys.readouterr().err
    assert main(["--to", str(tmp_path / "here"), "--table", str(table)]) == 0
    row.place(tmp_path / "here").write_bytes(b"other")
    assert main(["--check", str(tmp_path / "here"), "--table", str(table)]) == 1
    assert "another file" in capsys.readouterr().err


def test_a_table_of_other_columns_is_refused(tmp_path):
    table = tmp_path / "table.tsv"
    table.write_text("file\tmodel\n", encoding="utf-8")
    with pytest.raises(ValueError, match="must begin with the columns"):
        listed(table)
