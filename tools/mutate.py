"""Mutation testing: does a test fail when a line of a module whose numbers people rely on is changed a little?

python tools/mutate.py [--report-only] [module …]     (make mutate: all of them)

mutmut makes the mutants (https://mutmut.readthedocs.io, its version 2: one change each). Its own runner wants a package
in a folder of its own and starts Python anew for every mutant. Here each mutant runs in a fork of one process that has
imported torch and the like, and is put in place as the module is imported: no file is ever changed.

Every mutant's fate is a row of ``benchmarks/results/mutation-rows.jsonl``: a run that was interrupted goes on. A module
whose code was changed is measured anew; where only its tests were, its survivors are. Survivors are printed with
the reason that ``benchmarks/mutation_reasons.json`` gives for each, and written as ``benchmarks/results/mutation.md``.
Not mutated: the wording of errors, docstrings, type annotations and aliases of types.
"""

from __future__ import annotations

import argparse
import ast
import gc
import hashlib
import importlib
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from latent_tracer.core.storage.atomic import write_text
from mutmut import Context, list_mutations, mutate

REPOSITORY = Path(__file__).resolve().parent.parent
REASONS, RESULTS = REPOSITORY / "benchmarks" / "mutation_reasons.json", REPOSITORY / "benchmarks" / "results"
ROWS, RESULT = RESULTS / "mutation-rows.jsonl", RESULTS / "mutation.md"
FINGERPRINTS = ("golden", "user_attribution", "frozen_values", "fingerprint_files", "latent_fingerprints")
PARTS = ("fields", "limits", "consistency", "table", "source")
# The quick tests of each module, those that fail most often first: a file, or one test of it.
TESTS = {
    "profiles.thresholds": ("rates_table", "frozen_values"),
    "verdicts.verdict": ("verdict_table", "frozen_values"),
    "verdicts.doubt": ("doubt_table", "frozen_values"),
    "profiles.profile": ("profile_table", "frozen_values"),
    **dict.fromkeys(
        [f"profiles.{name}" for name in PARTS],
        ("profile_parts", "profile_files", "profile_table", "frozen_values"),
    ),
    **dict.fromkeys(("profiles.format_1", "profiles.file"), ("profile_files", "profile_table")),
    "profiles.trust": ("profile_trust", "profile_files"),
    "reports.journal": ("journal", "golden::test_a_journal_is_read_and_written_as_ever"),
    "inversion.memory": ("memory_limits", "memory"),
    "fingerprints.register": FINGERPRINTS,
    "fingerprints.keys": (
        *("fingerprint_keys", "golden::test_hkdf_is_that_of_rfc_5869", "user_attribution"),
        "golden::test_a_secret_gives_every_user_the_same_key_as_ever",
        "fingerprint_files::test_what_is_long_and_varied_enough_for_a_secret",
    ),
    "fingerprints.evidence": ("user_attribution", "golden", "latent_fingerprints"),
}
# Slow to import, and none of them imports this package.
HEAVY = (
    *("torch", "torch._dynamo", "scipy.optimize", "scipy.stats", "safetensors.torch", "PIL.Image", "hypothesis"),
    *("diffusers.models.autoencoders.autoencoder_kl", "diffusers.models.autoencoders.autoencoder_tiny"),
)


@dataclass(frozen=True)
class Mutant:
    """``source`` of a module with one change: a line reads ``after`` in place of ``before``, the ``nth`` that does."""

    module: str
    before: str
    after: str
    nth: int = 0
    source: str = ""

    @property
    def name(self) -> str:
        return f"{self.module}: {self.before} -> {self.after}"


class Planted(importlib.abc.MetaPathFinder, SourceFileLoader):
    """Imports one module from a given source."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        SourceFileLoader.__init__(self, name, str(path))
        self.source = source

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return (
            importlib.util.spec_from_file_location(fullname, self.path, loader=self) if fullname == self.name else None
        )

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec", dont_inherit=True)


def test_of(name: str) -> str:
    file, _, test = name.partition("::")
    return f"tests/test_{file}.py" + (test and f"::{test}")


def path_of(module: str) -> Path:
    return REPOSITORY / "core" / f"{module.replace('.', '/')}.py"


def aliases_of(source: str) -> set[str]:
    """Names of types, such as ``Answer = Literal["yes", "no"]``: with annotations unread, nothing depends on them."""
    return {
        target.id
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript)
        if isinstance(node.value.value, ast.Name) and node.value.value.id in ("Literal", "NDArray", "Sequence")
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def bare(source: str, aliases: set[str]) -> str:
    """What of ``source`` runs: without comments, docstrings, annotations and ``aliases``; empty for no Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # mutmut's stars: {**one, "two": 2} becomes {*one, "two": 2}
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.Assign) and {getattr(target, "id", "") for target in node.targets} <= aliases:
            node.value = ast.Constant(None)
    return ast.dump(tree)


def mutants_of(module: str) -> Iterator[Mutant]:
    source = path_of(module).read_text(encoding="utf-8")
    raising = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise)]
    aliases = aliases_of(source)
    plain = bare(source, aliases)
    met: Counter[tuple[str, str]] = Counter()
    wording = {line for node in raising for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    for place in list_mutations(Context(source=source)):
        changed, count = mutate(Context(source=source, mutation_id=place))
        pairs = list(zip(source.splitlines(), changed.splitlines(), strict=False))
        number = next((index for index, (one, other) in enumerate(pairs, start=1) if one != other), 0)
        is_wording = number in wording and changed.replace("XX", "") == source
        if count != 1 or is_wording or bare(changed, aliases) in ("", plain):
            continue
        before, after = (line.strip() for line in pairs[number - 1])
        yield Mutant(module, before, after, met[before, after], changed)
        met[before, after] += 1


def run(mutant: Mutant | None, tests: list[str], limit: float) -> str:
    """``survived``, ``killed`` or ``timeout`` of a fork that runs ``tests`` with ``mutant`` in place."""
    child = os.fork()
    if child == 0:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        if mutant is not None:
            name = f"latent_tracer.core.{mutant.module}"
            sys.meta_path.insert(0, Planted(name, path_of(mutant.module), mutant.source))
        code = 1
        try:
            # One file after another: most mutants die in the first, and the others need not even be imported.
            # Nobody reads how they fail, and the garbage of torch that two plugins collect at the end takes longer than
            # most tests.
            without = ("cacheprovider", "unraisableexception", "threadexception")
            options = [
                "-x",
                "-q",
                "--tb=native",
                "--assert=plain",
                *(word for plugin in without for word in ("-p", f"no:{plugin}")),
            ]
            code = next((found for test in tests if (found := int(pytest.main([*options, test])))), 0)
        finally:
            os._exit(code)
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


Row = dict[str, Any]


def states_of(module: str) -> tuple[str, str]:
    """Digests of what runs of the module and of its tests: what its rows were measured on."""
    text = path_of(module).read_text(encoding="utf-8")
    tests = [REPOSITORY / test_of(name).partition("::")[0] for name in TESTS[module]]
    contents = bare(text, aliases_of(text)).encode(), b"".join(file.read_bytes() for file in tests)
    source, tested = (hashlib.sha256(content).hexdigest()[:12] for content in contents)
    return source, tested


def holds(row: Row) -> bool:
    """Whether a row still says what is so: a survivor may die of new tests, what died is not tried again."""
    source, tested = states_of(row["module"])
    return row["source"] == source and (row["fate"] != "survived" or row["tests"] == tested)


def read_rows() -> list[Row]:
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.exists() else []


def measure(module: str, known: list[Row]) -> None:
    """Append a row for every mutant of ``module`` that has none among those ``known``."""
    tests, (source, tested) = list(map(test_of, TESTS[module])), states_of(module)
    met = {(row["before"], row["after"], row["nth"]) for row in known}
    waiting = [mutant for mutant in mutants_of(module) if (mutant.before, mutant.after, mutant.nth) not in met]
    if not waiting:
        return
    began = time.monotonic()
    if run(None, tests, 600) != "survived":
        raise SystemExit(f"The tests of {module} fail without any mutant: mend them first.")
    limit = 10 + 4 * (time.monotonic() - began)
    for mutant in waiting:
        fate = run(mutant, tests, limit)
        if fate != "killed":
            print(f"{fate}: {mutant.name}", flush=True)
        row = {"module": module, "before": mutant.before, "after": mutant.after, "nth": mutant.nth}
        row |= {"fate": fate, "source": source, "tests": tested}
        with ROWS.open("a", encoding="utf-8") as rows:
            rows.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"{module}: {len(waiting)} mutants in {time.monotonic() - began:.0f} s", flush=True)


def report(rows: list[Row], reasons: dict[str, str]) -> str:
    lines = [
        "# Mutants",
        "",
        "Made by `make mutate` from `mutation-rows.jsonl`. A mutant that survives is a change of one line that no",
        "test of its module notices.",
        "",
        "| module | mutants | killed | out of time | survived |",
        "|---|---|---|---|---|",
    ]
    modules = [module for module in TESTS if any(row["module"] == module for row in rows)]
    for module in modules:
        fates = [row["fate"] for row in rows if row["module"] == module]
        counts = [fates.count(fate) for fate in ("killed", "timeout", "survived")]
        lines.append(f"| {module} | {len(fates)} | {' | '.join(map(str, counts))} |")
    if missing := [module for module in TESTS if module not in modules]:
        lines += ["", f"Not measured yet: {', '.join(missing)}."]
    survived = [row for module in modules for row in rows if row["module"] == module and row["fate"] == "survived"]
    lines += ["", f"{len(survived)} of {len(rows)} survive ({len(survived) / max(1, len(rows)):.1%}):", ""]
    for row in survived:
        name = Mutant(row["module"], row["before"], row["after"]).name
        lines.append(f"- `{row['module']}`: `{row['before']}`  ")
        lines.append(f"  as `{row['after']}`: {reasons.get(name, 'UNEXPLAINED')}")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(TESTS)}; all by default")
    parser.add_argument("--report-only", action="store_true", help="summarise the rows there are")
    arguments = parser.parse_args()
    if not arguments.report_only:
        # Mutants must meet a fresh package: what this script itself imported of it is forgotten.
        for name in [name for name in sys.modules if name.split(".")[0] == "latent_tracer"]:
            del sys.modules[name]
        for name in HEAVY:
            importlib.import_module(name)
        gc.freeze()
        os.chdir(REPOSITORY)
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # looking for plugins takes longer than most tests
        with tempfile.TemporaryDirectory() as folder:
            # The forks compile the tests and the rest of the package once, not once each.
            sys.pycache_prefix, sys.dont_write_bytecode = folder, False
            for module in arguments.modules or TESTS:
                measure(module, [row for row in read_rows() if row["module"] == module and holds(row)])
                kept = [row for row in read_rows() if row["module"] != module or holds(row)]
                write_text(ROWS, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))
    reasons = json.loads(REASONS.read_text(encoding="utf-8")) if REASONS.exists() else {}
    text = report(read_rows(), reasons)
    write_text(RESULT, text)
    print(text)
    return 1 if "UNEXPLAINED" in text else 0


if __name__ == "__main__":
    sys.exit(main())
