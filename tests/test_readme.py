"""README and docs/ are true: their commands and snippets run, their samples, fields, figures and links are today's.

Commands run in the order of each document, in a folder with what they name: pictures, and the embedded autoencoder
demo-a under the name of another file. A block that begins with ``# needs: …`` takes something that only users have.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from latent_tracer.cli import app
from latent_tracer.cli.attribute import attribution_record
from latent_tracer.cli.demo import photographs as demo_photographs
from latent_tracer.core import Attribution, Verdict, load_autoencoder, quantise, synthetic_photograph, to_picture
from latent_tracer.core.files.formats import READ_FORMATS
from latent_tracer.core.models.loading import EMBEDDED
from latent_tracer.core.profiles.thresholds import pictures_needed, rate_bound, shown_rate
from latent_tracer.core.profiles.trust import EMBEDDED as PROFILES
from latent_tracer.core.scores.windows import SIDE, SMALLER_SIDES, WHOLE_PIXELS
from latent_tracer.core.tracing.row import TraceRow
from latent_tracer.core.verdicts.attribution import Candidate
from safetensors.torch import load_file, save_file

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", *sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md")))
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
        to_picture(synthetic_photograph(seed, 64)).save(folder / "photos" / f"{seed}.png")
    weights = load_file(EMBEDDED["demo-a"])
    for part in ("encoder", "decoder"):
        own = {key.partition(".")[2]: value for key, value in weights.items() if key.startswith(f"taesd_{part}.")}
        save_file(own, folder / "weights" / f"taesd_{part}.safetensors")
    shutil.copy(PROFILES / "demo-a.profile.json", folder / "taesd.json")
    return folder


@pytest.fixture
def run(
    originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    """``run(line)``: one command in a copy of that folder, as a shell would; what it writes to standard output."""
    shutil.copytree(originals, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def call(line: str) -> str:
        words = shlex.split(line, comments=True)
        assert words[0] == "latent-tracer", f"no test knows how to run {line!r}: begin its block with {NEEDS!r}"
        monkeypatch.setattr("sys.argv", words)
        code = app.run()
        captured = capsys.readouterr()
        assert code == 0, f"{line}\n{captured.err}"
        return captured.out

    return call


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
        else:
            assert language == "console", f"{document} has a block of another kind: {language}"
            command, _, output = block.removeprefix("$ ").partition("\n")
            assert in_general(run(command)) == in_general(output)


@pytest.mark.parametrize("document", (*DOCUMENTS, "CHANGELOG.md"))
def test_links_and_paths_lead_somewhere(document: str) -> None:
    text = text_of(document)
    paths = re.findall(r"\]\(([^)#:]+)\)", text)
    missing = [path for path in paths if not (REPOSITORY / document).parent.joinpath(path).exists()]
    named = re.findall(r"`((?:core|cli|nodes|benchmarks|tools|tests|workflows|web)/[\w./-]+)`", text)
    written_later = ("tests/comfyui/browser/screenshots", "benchmarks/results/mutation.md")
    missing += [path for path in named if not (REPOSITORY / path).exists() and path not in written_later]
    assert not missing


def fields_of(table: str) -> list[str]:
    """The names in the first column."""
    return [name for line in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", line)]


def test_the_tables_of_json_fields_hold_every_field_in_its_order() -> None:
    tables = re.split(r"^\|---.*$", text_of("docs/json.md"), flags=re.MULTILINE)
    assert len(tables) == 4
    verdict = Verdict("inconclusive", 0.0, "")
    candidate = Candidate("", verdict, 0.0)
    assert fields_of(tables[1]) == list(TraceRow("").to_json("", ""))
    assert fields_of(tables[2]) == [*attribution_record(Path(), Attribution(None, (candidate,), (), "")), "error"]
    assert sorted(fields_of(tables[3])) == sorted(candidate.record())
    assert dataclasses.fields(TraceRow)[0].name == "name"


def test_figures_of_the_documents_are_those_of_the_code() -> None:
    rates, readme, pictures = map(text_of, ("docs/rates.md", "README.md", "docs/pictures.md"))
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", rates, re.MULTILINE)
    assert len(rows) == 4
    for n, average, bound in rows:
        assert (average, bound) == (shown_rate(1 / (int(n) + 1)), shown_rate(rate_bound(1, int(n))))
    for text in (rates, readme):
        assert f"{pictures_needed(0.01)} photographs" in text
        assert f"takes {pictures_needed(0.01, 0.95)}" in text
    for text in (pictures, readme):
        assert f"{WHOLE_PIXELS:,} pixels" in text and f"six windows of {SIDE}×{SIDE}" in text.replace("\n", " ")
        assert all(name in text for name in re.split(", | or ", READ_FORMATS))
    assert f"{SMALLER_SIDES[-1]}×{SMALLER_SIDES[-1]}" in pictures
