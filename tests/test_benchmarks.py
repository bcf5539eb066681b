"""Reports say how they were made, the index knows them all, and constants are what their sweeps found."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
RESULTS = BENCHMARKS / "results"
INDEX = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
REPORTS = sorted(path for path in RESULTS.glob("*.md") if path.name != "mutation.md")
ROWS = [json.loads(line) for line in (RESULTS / "constants-rows.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("report", REPORTS, ids=lambda path: path.stem)
def test_a_report_says_how_it_was_made(report):
    title, _, rest = report.read_text(encoding="utf-8").partition("\n\n")
    made = re.match(r"Made by `python benchmarks/(\w+\.py)[^`]*` from (.+), \d{4}-\d\d-\d\d, on [^\n]+\.", rest)
    assert title.startswith("# ") and made, f"{report.name} does not begin with command, rows, date and machine"
    assert (BENCHMARKS / made[1]).is_file()
    assert all((RESULTS / name).is_file() for name in re.findall(r"`([\w-]+\.jsonl?)`", made[2]))


def test_the_index_lists_every_report_and_all_rows():
    assert [path.stem for path in REPORTS if f"(results/{path.name})" not in INDEX] == []
    assert [path.name for path in RESULTS.glob("*.jsonl") if f"`{path.name}`" not in INDEX] == []
    named = set(re.findall(r"`(\w+\.py)\b", INDEX)) - {"grid_contrast.py"}
    assert [name for name in named if not (BENCHMARKS / name).is_file()] == []
    paths = re.findall(r"`((?:core|tools|tests)/[\w./-]+)`", INDEX) + re.findall(r"\((results/[\w.-]+)\)", INDEX)
    assert [p for p in paths if not (BENCHMARKS / p).exists() and not (BENCHMARKS.parent / p).exists()] == []


@pytest.mark.parametrize("name", sorted({row["constant"] for row in ROWS}))
def test_a_constant_is_among_the_values_of_its_sweep_with_others_on_both_sides_or_at_an_end(name):
    """Whoever moves a constant runs ``benchmarks/constants.py`` again."""
    module, _, constant = name.rpartition(".")
    value = getattr(import_module(f"latent_tracer.core.{module}"), constant)
    measured = {row["value"] for row in ROWS if row["constant"] == name}
    assert value in measured and len(measured) >= 3


def test_few_changes_of_a_line_go_unnoticed_and_each_for_a_reason():
    """``make mutate`` writes both files: the report is that of the rows."""
    rows = [json.loads(line) for line in (RESULTS / "mutation-rows.jsonl").read_text(encoding="utf-8").splitlines()]
    report = (RESULTS / "mutation.md").read_text(encoding="utf-8")
    reasons = json.loads((BENCHMARKS / "mutation_reasons.json").read_text(encoding="utf-8"))
    for module in {row["module"] for row in rows}:
        fates = [row["fate"] for row in rows if row["module"] == module]
        counts = [fates.count(fate) for fate in ("killed", "timeout", "survived")]
        assert f"| {module} | {len(fates)} | {counts[0]} | {counts[1]} | {counts[2]} |" in report
        assert counts[2] <= 0.05 * len(fates), module
    survived = [f"{row['module']}: {row['before']} -> {row['after']}" for row in rows if row["fate"] == "survived"]
    assert [name for name in survived if name not in reasons] == []
