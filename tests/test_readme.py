"""README, CONTRIBUTING and docs/ are true: their commands and snippets run, samples, fields and figures are today's.

Commands run in the order of each document, in a folder with what they name: pictures, and the embedded autoencoder
demo-a under the name of another file. A block that begins with ``# needs: …`` takes something that only users have.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from latent_tracer.cli import app
from latent_tracer.cli.demo import photographs as demo_photographs
from latent_tracer.core import (
    SCORES,
    Attribution,
    Picture,
    Tracer,
    Verdict,
    builtin_profile,
    load_autoencoder,
    quantise,
    synthetic_photograph,
    to_picture,
)
from latent_tracer.core.files.formats import READ_FORMATS
from latent_tracer.core.models.loading import EMBEDDED
from latent_tracer.core.profiles.thresholds import pictures_needed, rate_bound, shown_rate
from latent_tracer.core.profiles.trust import EMBEDDED as PROFILES
from latent_tracer.core.scores.grid_contrast import CLEARLY_BELONGING, CLEARLY_BELONGING_JPEG, CLEARLY_NOT
from latent_tracer.core.scores.windows import SIDE, SMALLER_SIDES, WHOLE_PIXELS
from latent_tracer.core.tracing.row import TraceRow
from latent_tracer.core.verdicts.attribution import Candidate, attribution_record
from latent_tracer.core.verdicts.family import FamilyVerdict, ProxyScore, family_record
from safetensors.torch import load_file, save_file
from typer.main import get_command

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md")),
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS = "# needs: "


def text_of(document: str) -> str:
    return (REPOSITORY / document).read_text(encoding="utf-8")


def blocks_of(document: str) -> list[tuple[str, str]]:
    """(language, content) of the fenced blocks that can run here."""
    return [(language, block) for language, block in BLOCK.findall(text_of(document)) if not block.startswith(NEEDS)]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documents name: picture.png from demo-a, photos/, folder/, weights/taesd, and a profile taesd.json."""
    folder = tmp_path_factory.mktemp("documents")
    for name in ("photos", "folder", "weights"):
        (folder / name).mkdir()
    maker = load_autoencoder("demo-a")
    photograph = next(iter(demo_photographs().values()))
    with torch.no_grad():
        made = to_picture(quantise(maker.decode(maker.encode(photograph))))
    made.save(folder / "picture.png")
    made.resize((64, 64)).save(folder / "folder" / "small.png")
    made.crop((0, 0, 64, 64)).save(folder / "folder" / "part.jpg", quality=75)
    for seed in range(5):
        to_picture(synthetic_photograph(seed, 48)).save(folder / "photos" / f"{seed}.png")
    weights = load_file(EMBEDDED["demo-a"])
    for part in ("encoder", "decoder"):
        own = {key.partition(".")[2]: value for key, value in weights.items() if key.startswith(f"taesd_{part}.")}
        save_file(own, folder / "weights" / f"taesd_{part}.safetensors")
    shutil.copy(PROFILES / "demo-a.profile.json", folder / "taesd.json")
    return folder


@pytest.fixture
def run(
    originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[str], str]]:
    """``run(line)``: one command in a copy of that folder, as a shell would; what it writes to standard output."""
    shutil.copytree(originals, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    scores = dict(SCORES)

    def call(line: str) -> str:
        words = shlex.split(line, comments=True)
        assert words[0] == "latent-tracer", f"no test knows how to run {line!r}: begin its block with {NEEDS!r}"
        monkeypatch.setattr("sys.argv", words)
        code = app.run()
        captured = capsys.readouterr()
        assert code == 0, f"{line}\n{captured.err}"
        return captured.out

    yield call
    # A snippet adds one of its own.
    SCORES.clear()
    SCORES.update(scores)


def in_general(text: str) -> list[str]:
    """The words of an output; what depends on processor and hour is blank."""
    return re.sub(r"\d+(\.\d+)? (s|MiB)\b", r"# \2", text).split()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_and_snippets_run_as_they_stand(
    document: str, run: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    for language, block in blocks_of(document):
        if language == "python":
            exec(compile(block, document, "exec"), {"__name__": "snippet"})  # noqa: S102
            assert capsys.readouterr().out
        elif language == "sh":
            for line in block.replace("\\\n", " ").splitlines():
                run(line)
        elif language != "text":
            assert language == "console", f"{document} has a block of another kind: {language}"
            command, _, output = block.removeprefix("$ ").partition("\n")
            assert in_general(run(command)) == in_general(output)


def sources_of(folder: str) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / folder).glob("*.py")))


def test_every_node_socket_and_command_stands_in_its_table() -> None:
    nodes = re.findall(r'node_id="(\w+)",\s+display_name="(.+?)"', sources_of("nodes"))
    table = re.findall(r"^\| \[(.+?)\]\(web/docs/(\w+)\.md\) \|", text_of("README.md"), re.MULTILINE)
    assert sorted(table) == sorted((shown, node) for node, shown in nodes) and len(nodes) == 17
    sockets = re.findall(r'io\.Custom\("(\w+)"\)', sources_of("nodes"))
    assert sorted(re.findall(r"^\| `(\w+)` \|", text_of("docs/pack-authors.md"), re.MULTILINE)) == sorted(sockets)
    commands = get_command(app.app).commands
    listed = re.findall(r"^\| `([a-z]+)(?: [a-z]+)?` \|", text_of("docs/command-line.md"), re.MULTILINE)
    assert sorted(listed) == sorted(commands)


def test_readme_stays_a_front_page() -> None:
    """Nothing is left out of the count: names of links, cells, code and marks are words too."""
    assert len(text_of("README.md").split()) < 900


def test_the_newcomers_walk_ends_at_a_score_that_answers(run: Callable[[str], str]) -> None:
    walk = text_of("CONTRIBUTING.md").partition("## A newcomer's walk")[2].partition("\n## ")[0]
    steps = re.findall(r"^\d\. \*\*.+?(?=^\d\.|^$)", walk, re.MULTILINE | re.DOTALL)
    assert len(steps) == 5
    for step in steps:
        named = re.findall(r"`(\w+/[\w/]+\.py)`", step)
        assert len(named) == 1 and (REPOSITORY / named[0]).is_file(), step
    ((_, snippet),) = re.findall(BLOCK, walk)
    exec(compile(snippet, "CONTRIBUTING.md", "exec"), {"__name__": "snippet"})  # noqa: S102
    (added,) = list(SCORES)[-1:]
    assert f"calibrate --score {added}" in " ".join(walk.split())
    demo = load_autoencoder("demo-a")
    shipped = builtin_profile(demo.fingerprint)
    assert shipped is not None
    profile = dataclasses.replace(shipped, score=added, score_settings={})
    traced = Tracer(demo, profile).trace(Picture.read("folder/small.png"))
    assert (
        traced.verdict.stage == "mean error"
        and traced.verdict.score == SCORES[added]()(demo, traced.picture.pixels).value
    )


def fields_of(table: str) -> list[str]:
    """The names in the first column."""
    return [name for line in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", line)]


def test_the_tables_of_json_fields_hold_every_field_in_its_order() -> None:
    tables = re.split(r"^\|---.*$", text_of("docs/json.md"), flags=re.MULTILINE)
    assert len(tables) == 6
    verdict = Verdict("inconclusive", 0.0, "")
    candidate = Candidate("", verdict, 0.0)
    assert fields_of(tables[1]) == list(TraceRow("").to_json("", ""))
    assert fields_of(tables[2]) == [*attribution_record("", Attribution(None, (candidate,), (), "")), "error"]
    assert sorted(fields_of(tables[3])) == sorted(candidate.record())
    family = FamilyVerdict("cannot tell", None, "")
    assert fields_of(tables[4]) == [*family_record("", family), "claims", "error"]
    assert fields_of(tables[5]) == list(ProxyScore("", "", False).record())
    assert dataclasses.fields(TraceRow)[0].name == "name"


def test_figures_of_the_documents_are_those_of_the_code() -> None:
    rates, method, pictures = map(text_of, ("docs/rates.md", "docs/method.md", "docs/pictures.md"))
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", rates, re.MULTILINE)
    assert len(rows) == 4
    for n, average, bound in rows:
        assert (average, bound) == (shown_rate(1 / (int(n) + 1)), shown_rate(rate_bound(1, int(n))))
    assert f"{pictures_needed(0.01)} photographs" in rates
    assert f"takes {pictures_needed(0.01, 0.95)}" in rates
    assert f"{WHOLE_PIXELS:,} pixels" in pictures and f"six windows of {SIDE}×{SIDE}" in pictures.replace("\n", " ")
    assert all(name in pictures for name in re.split(", | or ", READ_FORMATS))
    assert f"{SMALLER_SIDES[-1]}×{SMALLER_SIDES[-1]}" in pictures
    bounds = [f"\N{MINUS SIGN}{abs(bound):.2f}" for bound in (CLEARLY_BELONGING, CLEARLY_BELONGING_JPEG, CLEARLY_NOT)]
    assert re.findall("\N{MINUS SIGN}\\d\\.\\d+", method) == bounds
    table = method.partition("## Other scores")[2].partition("## ")[0]
    assert sorted(re.findall(r"`([\w.-]+)`", "".join(re.findall(r"^\|(.+?)\|", table, re.MULTILINE)))) == sorted(SCORES)


def rows_of(name: str) -> Any:
    return json.loads((REPOSITORY / f"benchmarks/results/{name}.json").read_text(encoding="utf-8"))


def cells_of(start: str) -> list[str]:
    """The row of figures.md that begins with ``start``."""
    (line,) = [line for line in text_of("docs/figures.md").splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def span(values: list[float]) -> str:
    low, high = (f"{100 * value:.0f}" for value in (min(values), max(values)))
    return {("100", "100"): "all", ("0", "0"): "none"}.get((low, high), low if low == high else f"{low} to {high}") + (
        "" if high == low in ("0", "100") else " %"
    )


def test_figures_of_separation_are_those_of_the_results() -> None:
    rows = {(row["method"], row["inspected"]): row for row in rows_of("attribution-192")}
    ours = [row for (method, _), row in rows.items() if method == "grid-contrast"]
    assert {(row["auc"], row["belonging"], row["non_belonging"]) for row in ours} == {(1.0, 144, 144)} and len(
        ours
    ) == 5
    assert cells_of("the grid contrast")[1] == "all of 144 belonging images below all of 144 others"
    assert "144 belonging" in text_of("README.md")
    aedr = [row["tpr_at_1_fpr"] for (method, _), row in rows.items() if method == "double-reconstruction"]
    assert cells_of("AEDR's ratio, at")[1].startswith(span(aedr))
    observed = [100 * row["observed_fpr"] for row in ours]
    assert cells_of("false positives")[1] == f"{min(observed):.1f} to {max(observed):.1f} % at 1.4 % stated"
    assert {row["stated_fpr"] for row in ours} == {0.0137}


@pytest.mark.parametrize(
    ("start", "conditions", "score"),
    [
        (
            "JPEG 95 and 90",
            "jpeg-95 jpeg-90 webp-90 noise-0.01 blur-0.5 brighter-10 darker-10",
            "grid-contrast",
        ),
        ("JPEG 75", "jpeg-75", "grid-contrast-and-ratio"),
        ("JPEG 30", "jpeg-30", "grid-contrast-and-ratio"),
        ("resized to three quarters", "resize-0.75", "grid-contrast-resized-0.75"),
        ("resized to one half", "resize-0.5", "grid-contrast-resized-0.5"),
        ("cropped off", "off-grid-crop", "grid-contrast-any-grid"),
        ("mirrored", "flip", "grid-contrast-any-grid"),
    ],
)
def test_figures_after_alterations_are_those_of_the_results(start: str, conditions: str, score: str) -> None:
    rows = [row for row in rows_of("altered-192") if row["condition"] in conditions.split()]
    found = {m: [row["tpr_at_1_fpr"] for row in rows if row["method"] == m] for m in (score, "double-reconstruction")}
    sizes = {row["belonging"] for row in rows if row["method"] == score}
    size = f"{min(sizes)} to {max(sizes)}" if len(sizes) > 1 else f"{min(sizes)}"
    _, ours, aedr, _ = cells_of(start)
    assert (ours, aedr) == (f"{span(found[score])} of {size}", span(found["double-reconstruction"]))


def test_figures_of_pictures_made_to_fail_are_those_of_the_results() -> None:
    rows = rows_of("histories")
    made, passed = sum(row["n"] for row in rows), sum(row["yes_by_score"] for row in rows)
    assert sum(row["yes"] for row in rows) == 0
    assert cells_of("pictures made to fail")[1] == f"{passed} of {made} pass by their score, none by the verdict"
    rough = rows_of("precision")
    changed, images = (sum(row[name] for row in rough) for name in ("verdicts_changed", "images"))
    assert cells_of("answers that bfloat16")[1] == f"{changed} of {images}"
