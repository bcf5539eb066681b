"""One road: whichever command is asked, a file gets the same answer for the same reason, and gets it first."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace

import pytest
import torch
from latent_tracer.cli import app, demo
from latent_tracer.cli.demo import demo_images
from latent_tracer.cli.trace import EXPLAIN_STEPS
from latent_tracer.core import Picture, Tracer, attribute, load_autoencoder, quantise, synthetic_photograph, to_picture

ANSWER = ("verdict", "score", "basis", "p_value", "fpr", "fnr", "condition", "stage", "calibration", "jpeg_quality")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of every kind of answer, and two files that are none."""
    folder = tmp_path_factory.mktemp("road")
    photograph = synthetic_photograph(seed=77, size=160)
    maker = load_autoencoder("demo-a")
    with torch.no_grad():
        own = to_picture(quantise(maker.decode(maker.encode(photograph))))
    own.save(folder / "own.png")
    own.save(folder / "own.jpg", quality=90)
    to_picture(photograph).save(folder / "photograph.png")
    to_picture(torch.ones(1, 3, 160, 160)).save(folder / "white.png")
    own.crop((0, 0, 24, 24)).save(folder / "small.png")
    (folder / "broken.png").write_bytes((folder / "own.png").read_bytes()[:500])
    (folder / "words.png").write_text("no picture")
    return folder


@pytest.fixture
def command(monkeypatch, capsys):
    """``command("trace", …)``: exit code, lines of standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["latent-tracer", *map(str, arguments)])
        code = app.run()
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err, lines=said.out.splitlines())

    return run


def rows_of(done):
    return [json.loads(line, parse_constant=pytest.fail) for line in done.lines]


def without_cost(row):
    return {key: value for key, value in row.items() if key not in ("seconds", "peak_bytes")}


# --- the same from everywhere -----------------------------------------------------------------------------------------


def test_every_command_gives_a_file_the_same_answer_score_and_reason(command, folder, tmp_path):
    traced = rows_of(command("trace", folder, "--vae", "demo-a", "--json"))
    reported = rows_of(command("trace", folder, "--vae", "demo-a", "--json", "--report", tmp_path))
    kept = json.loads((tmp_path / "report.json").read_text())["rows"]
    done = command("attribute", folder, "--vae", "demo-a", "--vae", "demo-b", "--json")
    attributed = {row["image"]: row for row in rows_of(done)}
    assert done.code == 2 and len(traced) == len(attributed) == 7
    assert [without_cost(row) for row in traced] == [without_cost(row) for row in reported]
    assert [row["name"] for row in kept] == [row["name"] for row in traced]
    tracer = Tracer(load_autoencoder("demo-a"))
    answers = {}
    for row, stored in zip(traced, kept, strict=True):
        assert without_cost(stored) == {k: v for k, v in without_cost(row).items() if k not in ("image", "vae")}
        result = attributed[row["image"]]
        if row["verdict"] is None:
            assert result["error"] == row["error"] and result["vae"] is None
            continue
        candidate = next(one for one in result["candidates"] if one["vae"] == "demo-a")
        core = tracer.row(tracer.trace(Picture.read(row["image"]))).to_record()
        for name in ANSWER:
            assert row[name] == candidate[name] == core[name], (row["name"], name)
        answers[row["name"]] = row["verdict"], result["vae"]
    assert answers.pop("own.jpg") in (("belonging", "demo-a"), ("inconclusive", None))
    assert answers == {
        "own.png": ("belonging", "demo-a"),
        "photograph.png": ("non-belonging", None),
        "white.png": ("inconclusive", None),
        "small.png": ("inconclusive", None),
    }


def test_a_flat_picture_is_inconclusive_everywhere_with_one_reason(command, folder):
    (row,) = rows_of(command("trace", folder / "white.png", "--vae", "demo-a", "--json"))
    assert row["verdict"] == "inconclusive" and row["score"] is None and "flat" in row["basis"]
    done = command("attribute", folder / "white.png", "--vae", "demo-a", "--vae", "demo-b", "--json")
    (result,) = rows_of(done)
    assert done.code == 0 and result["vae"] is None and "no candidate is certain" in result["reason"]
    assert {one["basis"] for one in result["candidates"]} == {row["basis"]}
    result = attribute([Tracer(load_autoencoder("demo-a"))], Picture.read(folder / "white.png"))
    assert result.candidates[0].verdict.basis == row["basis"]


def test_the_demo_shows_what_the_tracer_says_in_the_schema_of_trace(command, folder, tmp_path, monkeypatch):
    photographs = {"one": quantise(synthetic_photograph(77, 160))}
    monkeypatch.setattr(demo, "photographs", lambda: photographs)
    monkeypatch.setattr(Tracer, "explained", lambda self, traced, steps: traced)  # for its drawings alone
    rows = rows_of(command("demo", "--json", "--output", tmp_path))
    tracers = [Tracer(load_autoencoder(name), known_as=(name,)) for name in ("demo-a", "demo-b")]
    expected = [
        tracer.row(tracer.trace(Picture.of(image.pixels, image.name), checks_refusal=False)).to_json(
            image.name, tracer.name
        )
        for image in demo_images(photographs, tracers[0].autoencoder)
        for tracer in tracers
    ]
    assert len(rows) == 4
    for row, one in zip(rows, expected, strict=True):
        assert without_cost({key: row[key] for key in one}) == without_cost(one)
        assert set(row) - set(one) == {"expected"} and row["verdict"] == row["expected"]
    (row,) = rows_of(command("trace", folder / "own.png", "--vae", "demo-a", "--json"))
    assert list(row) == list(expected[0])


def test_attribute_takes_folders_and_broken_files_cost_the_others_nothing(command, folder):
    done = command("attribute", folder, "--vae", "demo-a", "--vae", "demo-b")
    assert done.code == 2 and "Traceback" not in done.err
    assert [line.split(":")[0] for line in done.lines] == [
        "own.jpg", "own.png", "photograph.png", "small.png", "white.png",
    ]  # fmt: skip
    assert any(line.startswith("own.png: demo-a (demo-a explains it") for line in done.lines)
    for broken in ("broken.png", "words.png"):
        assert f"latent-tracer: {broken} " in done.err


@pytest.mark.skipif(os.name == "nt", reason="links take rights there")
def test_what_a_folder_refuses_is_a_line_of_json_from_both_commands(command, folder, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "own.png").write_bytes((folder / "white.png").read_bytes())
    (inside / "link.png").symlink_to(folder / "own.png")
    for name in ("trace", "attribute"):
        done = command(name, inside, "--vae", "demo-a", "--json")
        rows = rows_of(done)
        assert done.code == 2 and len(rows) == 2 and "link.png" in done.err
        assert rows[1]["image"] == "link.png" and rows[1]["error"]


# --- first the verdict ------------------------------------------------------------------------------------------------


def test_by_default_an_answer_comes_without_an_inversion(command, folder, monkeypatch):
    monkeypatch.setattr(Tracer, "explain", lambda *_: pytest.fail("nobody asked for an explanation"))
    (row,) = rows_of(command("trace", folder / "own.png", "--vae", "demo-a", "--json"))
    assert row["verdict"] == "belonging" and row["explained"] is False and row["loss"] is None
    assert (row["encoder_passes"], row["decoder_passes"]) == (2, 2)
    assert row["seconds"] > 0 and row["peak_bytes"] > 0 and "score" in row["basis"] and row["fpr"] is not None
    done = command("trace", folder / "own.png", "--vae", "demo-a")
    assert "BELONGING" in done.out and "inversion" not in done.out and "explained afterwards" not in done.out


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["trace", "a.png", "--explain"], ["trace", "a.png", "--explain", str(EXPLAIN_STEPS)]),
        (["trace", "--explain", "a.png"], ["trace", "--explain", str(EXPLAIN_STEPS), "a.png"]),
        (["trace", "--explain", "--json"], ["trace", "--explain", str(EXPLAIN_STEPS), "--json"]),
        (["trace", "--explain", "5", "a.png"], ["trace", "--explain", "5", "a.png"]),
        (["trace", "--explain", "-3"], ["trace", "--explain", "-3"]),
        (["trace", "--explain=5"], ["trace", "--explain=5"]),
        (["trace", "--", "--explain"], ["trace", "--", "--explain"]),
        (["trace", "--explain", "3.png"], ["trace", "--explain", str(EXPLAIN_STEPS), "3.png"]),
    ],
)
def test_explain_may_stand_without_a_number(given, read):
    assert EXPLAIN_STEPS == 30
    assert app.with_default_steps(given) == read


def test_explain_and_steps_ask_for_an_inversion_of_so_many_steps(command, folder, monkeypatch):
    monkeypatch.setattr(app, "EXPLAIN_STEPS", 4)
    rows = {}
    for name, options in {"bare": ["--explain"], "number": ["--explain", 2], "steps": ["--steps", 2]}.items():
        done = command("trace", folder / "own.png", "--vae", "demo-a", "--solver", "adam-paper", "--json", *options)
        (rows[name],) = rows_of(done)
    assert without_cost(rows["number"]) == without_cost(rows["steps"])
    assert all(row["explained"] and row["loss"] <= row["initial_loss"] for row in rows.values())
    # One decode a step, and the last one's; two for the answer.
    assert rows["bare"]["decoder_passes"] - rows["number"]["decoder_passes"] == 2
    assert rows["number"]["decoder_passes"] - 2 in (2, 3)
    assert {row["verdict"] for row in rows.values()} == {"belonging"}
    assert command("trace", folder / "own.png", "--vae", "demo-a", "--explain", 0).code == 2


def test_the_verdict_is_printed_before_the_explanation_begins(command, folder, monkeypatch, capsys):
    seen = []
    explain = Tracer.explain

    def watched(self, *arguments):
        seen.append(capsys.readouterr().out)
        return explain(self, *arguments)

    monkeypatch.setattr(Tracer, "explain", watched)
    done = command("trace", folder / "own.png", "--vae", "demo-a", "--explain", 2)
    assert done.code == 0
    assert "BELONGING" in seen[0] and "inversion by" not in seen[0]
    assert done.out.startswith("explained afterwards:") and "inversion by" in done.out and "BELONGING" not in done.out


def fail(*_):
    raise MemoryError("no room")


def cancel(*_):
    raise KeyboardInterrupt


def test_a_failing_explanation_leaves_the_verdict_and_says_so(command, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Tracer, "explain", fail)
    asked = ["trace", folder / "own.png", "--vae", "demo-a", "--explain", "2"]
    done = command(*asked)
    assert done.code == 0 and "BELONGING" in done.out
    assert "there is no explanation, the inversion failed: no room" in done.err
    (row,) = rows_of(command(*asked, "--json", "--report", tmp_path))
    assert row["verdict"] == "belonging" and row["explained"] is False and row["loss"] is None
    assert row["notes"] == ["there is no explanation, the inversion failed: no room"]
    assert json.loads((tmp_path / "report.json").read_text())["complete"]


def test_a_cancelled_explanation_leaves_the_verdict_and_is_made_up_for(command, folder, tmp_path, monkeypatch):
    asked = ["trace", folder / "own.png", "--vae", "demo-a", "--explain", "2", "--json"]
    with monkeypatch.context() as while_cancelled:
        while_cancelled.setattr(Tracer, "explain", cancel)
        done = command(*asked)
        (row,) = rows_of(done)
        assert done.code == 130 and row["verdict"] == "belonging" and row["explained"] is False
        done = command(*asked, "--report", tmp_path)
        assert done.code == 130 and [one["verdict"] for one in rows_of(done)] == ["belonging"]
        (line,) = (tmp_path / "journal.jsonl").read_text().splitlines()
        assert json.loads(line)["final"] is False and json.loads(line)["row"]["verdict"] == "belonging"
        report = json.loads((tmp_path / "report.json").read_text())
        assert not report["complete"] and [row["verdict"] for row in report["rows"]] == ["belonging"]
    done = command(*asked, "--report", tmp_path)
    (row,) = rows_of(done)
    assert done.code == 0 and row["explained"] and "finished before" not in done.err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["complete"] and [row["explained"] for row in report["rows"]] == [True]
    # What is finished is not explained again.
    monkeypatch.setattr(Tracer, "explain", fail)
    done = command(*asked, "--report", tmp_path)
    assert done.code == 0 and rows_of(done)[0]["explained"] and "1 of 1 had been finished before" in done.err


def test_a_threshold_asks_for_the_inversion_it_judges_by_and_shows_it_once(command, folder):
    asked = ["trace", folder / "own.png", "--vae", "demo-a", "--threshold", 0.5, "--steps", 2]
    done = command(*asked)
    assert done.code == 0 and done.out.count("BELONGING") == 1 and done.out.count("inversion by") == 1
    (row,) = rows_of(command(*asked, "--json"))
    assert row["explained"] and row["score"] == row["loss"] and row["verdict"] == "belonging" and row["fpr"] is None


def test_a_drawing_that_cannot_be_written_costs_neither_answer_nor_explanation(command, folder, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    asked = ["trace", folder / "own.png", "--vae", "demo-a", "--picture", blocked / "drawn"]
    done = command(*asked)
    assert done.code == 2 and "BELONGING" in done.out
    assert "there is no drawing of it" in done.err and str(blocked) in done.err
    done = command(*asked, "--explain", 2, "--json")
    (row,) = rows_of(done)
    assert done.code == 2 and row["verdict"] == "belonging" and row["explained"] and row["loss"] is not None
    assert any("there is no drawing of it" in note for note in row["notes"])


def test_a_picture_drawn_without_an_explanation_shows_the_first_reconstruction(command, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Tracer, "explain", lambda *_: pytest.fail("nobody asked for an explanation"))
    done = command("trace", folder, "--vae", "demo-a", "--picture", tmp_path, "--json")
    assert done.code == 2  # the two that are none
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert len(drawn) == 5 and all(name.endswith("_trace.png") for name in drawn)
