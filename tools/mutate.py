"""Mutation testing: does a test fail when a line of a module whose numbers people rely on is changed a little?

python tools/mutate.py [--json FILE] [module …]     (make mutate: all of them)

mutmut makes the mutants (https://mutmut.readthedocs.io, its version 2: one change each). Its own runner wants a package
in a folder of its own and starts Python anew for every mutant. Here each mutant runs in a fork of one process that has
imported torch and the like, and is put in place as the module is imported: no file is ever changed.

Survivors are printed with the reason that ``benchmarks/mutation_reasons.json`` gives for each, and written as
``benchmarks/results/mutation.md``. Not mutated: the wording of errors, docstrings, type annotations.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time
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
REASONS, RESULT = REPOSITORY / "benchmarks" / "mutation_reasons.json", REPOSITORY / "benchmarks/results/mutation.md"
FINGERPRINTS = ("golden", "user_attribution", "frozen_values", "fingerprint_files", "latent_fingerprints")
PROFILES = ("profile", "fields", "limits", "consistency", "table", "trust", "source", "format_1", "file")
# The quick tests of each module, those that fail most often first.
TESTS = {
    "profiles.thresholds": ("frozen_values", "thresholds"),
    "verdicts.verdict": ("frozen_values", "verdict", "verdict_from_profile"),
    "verdicts.doubt": ("history_rules", "frozen_values", "history"),
    **dict.fromkeys([f"profiles.{name}" for name in PROFILES], ("profile", "verdict_from_profile", "golden")),
    "reports.journal": ("journal", "golden"),
    "inversion.memory": ("memory_limits", "memory"),
    "fingerprints.register": FINGERPRINTS,
    "fingerprints.keys": FINGERPRINTS,
    "fingerprints.evidence": ("user_attribution", "golden", "latent_fingerprints"),
}
# Slow to import, and none of them imports this package.
HEAVY = (
    *("torch", "scipy.optimize", "scipy.stats", "safetensors.torch", "PIL.Image", "hypothesis"),
    *("diffusers.models.autoencoders.autoencoder_kl", "diffusers.models.autoencoders.autoencoder_tiny"),
)


@dataclass(frozen=True)
class Mutant:
    """``source`` of a module with one change: line ``number`` reads ``after`` in place of ``before``."""

    module: str
    number: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        return f"{self.module}: {self.before.strip()} -> {self.after.strip()}"


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


def path_of(module: str) -> Path:
    return REPOSITORY / "core" / f"{module.replace('.', '/')}.py"


def bare(source: str) -> str:
    """What of ``source`` runs: without comments and annotations; empty for what is no Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # mutmut's stars: {**one, "two": 2} becomes {*one, "two": 2}
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    return ast.dump(tree)


def mutants_of(module: str) -> Iterator[Mutant]:
    source = path_of(module).read_text(encoding="utf-8")
    raising = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Raise)]
    wording = {line for node in raising for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    for place in list_mutations(Context(source=source)):
        changed, count = mutate(Context(source=source, mutation_id=place))
        pairs = list(zip(source.splitlines(), changed.splitlines(), strict=False))
        number = next((index for index, (one, other) in enumerate(pairs, start=1) if one != other), 0)
        is_wording = number in wording and changed.replace("XX", "") == source
        if count != 1 or is_wording or bare(changed) in ("", bare(source)):
            continue
        yield Mutant(module, number, *pairs[number - 1], changed)


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
            options = ["-x", "-q", "-p", "no:cacheprovider"]
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


def report(results: dict[str, dict[str, list[Mutant]]], reasons: dict[str, str]) -> str:
    lines = [
        "# Mutants",
        "",
        "Made by `make mutate`. A mutant that survives is a change of one line that no test of its",
    ]
    lines += ["module notices.", "", "| module | mutants | killed | out of time | survived |", "|---|---|---|---|---|"]
    for module, kinds in results.items():
        counts = [len(kinds[kind]) for kind in ("killed", "timeout", "survived")]
        lines.append(f"| {module} | {sum(counts)} | {' | '.join(map(str, counts))} |")
    survived = [mutant for kinds in results.values() for mutant in kinds["survived"]]
    total = sum(len(found) for kinds in results.values() for found in kinds.values())
    lines += ["", f"{len(survived)} of {total} survive ({len(survived) / max(1, total):.1%}):", ""]
    for mutant in survived:
        lines.append(f"- `{mutant.module}`: `{mutant.before.strip()}`  ")
        lines.append(f"  as `{mutant.after.strip()}`: {reasons.get(mutant.name, 'UNEXPLAINED')}")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(TESTS)}; all by default")
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    chosen = {module: TESTS[module] for module in arguments.modules or TESTS}
    # Mutants must meet a fresh package: what this script itself imported of it is forgotten.
    for name in [name for name in sys.modules if name.split(".")[0] == "latent_tracer"]:
        del sys.modules[name]
    for name in HEAVY:
        importlib.import_module(name)
    os.chdir(REPOSITORY)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # looking for plugins takes longer than most tests
    results: dict[str, dict[str, list[Mutant]]] = {}
    for module, names in chosen.items():
        tests = [f"tests/test_{name}.py" for name in names]
        began = time.monotonic()
        if run(None, tests, 600) != "survived":
            raise SystemExit(f"The tests of {module} fail without any mutant: mend them first.")
        limit = 10 + 4 * (time.monotonic() - began)
        results[module] = {"killed": [], "timeout": [], "survived": []}
        for mutant in mutants_of(module):
            fate = run(mutant, tests, limit)
            results[module][fate].append(mutant)
            if fate != "killed":
                print(f"{fate}: {mutant.name}", flush=True)
        print(f"{module}: {time.monotonic() - began:.0f} s", flush=True)
    text = report(results, json.loads(REASONS.read_text(encoding="utf-8")) if REASONS.exists() else {})
    write_text(arguments.output, text)
    print(text)
    return 1 if "UNEXPLAINED" in text else 0


if __name__ == "__main__":
    sys.exit(main())
