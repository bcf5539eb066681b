"""Fuzzing: files of every kind that is read, changed at random, must end in an answer or in one of our own sentences.

python benchmarks/fuzz.py [--minutes 10] [--kind pictures]     (make fuzz)

Failures are anything else: another exception, a call of more than 5 s of processor time, of more than 1 GB of memory,
or a death of the process. Inputs are numbered, and each is made from its number alone: a run goes on where the last one
ended, and ``--again KIND NUMBER`` repeats one. Inputs that failed are kept in ``tests/fuzz_seeds`` and come first.
What was run is a row of ``results/fuzz-rows.jsonl`` for each run and kind, and ``results/fuzz.md`` sums it up.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import datetime
import gc
import hashlib
import json
import os
import random
import select
import signal
import struct
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import machine
from fuzz_kinds import KINDS, Kind, allowed

BENCHMARKS = Path(__file__).resolve().parent
SEEDS = BENCHMARKS.parent / "tests" / "fuzz_seeds"
ROWS, RESULT = BENCHMARKS / "results" / "fuzz-rows.jsonl", BENCHMARKS / "results" / "fuzz.md"
SECONDS, BYTES = 5.0, 10**9
# By the clock, of a call that does not come back.
PATIENCE = 120.0
BATCH = 200
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**400), 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", "\0", "\x1b[31m", "\u202e", "\ud800", "=1", "../../x", "x" * 5000, "1e999", "NaN", [], {}, [[]], {"": {}}),
    *(["1", 0], [0] * 3000, {str(n): n for n in range(300)}, "DEEP"),
)


def made(kind: Kind, number: int) -> tuple[bytes, str]:
    """Input ``number`` of ``kind`` and the name of the seed it came from; the first ones are the seeds themselves."""
    seeds = kind.seeds()
    names = sorted(seeds)
    if number < len(names):
        return seeds[names[number]], names[number]
    chance = random.Random(number)
    name = chance.choice(names)
    content = seeds[name]
    changed = None
    if kind.json and chance.random() < 0.6:
        with contextlib.suppress(ValueError):
            changed = (changed_json if kind.json == "whole" else changed_header)(content, chance)
    if changed is None:
        changed = changed_bytes(content, chance, [seeds[other] for other in names])
    return (kind.sign(changed) if chance.random() < 0.8 else changed), name


def changed_bytes(content: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """``content`` after one to eight changes."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        # Headers matter more than what follows.
        end = len(data) if chance.random() < 0.4 else min(len(data), 400)
        at = chance.randrange(end) if end else 0
        kind = chance.randrange(8)
        if kind == 0 and data:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and data:
            data[at] = chance.randrange(256)
        elif kind in (2, 3):
            code = chance.choice(("<H", ">H", "<I", ">I"))
            number = chance.choice((*NUMBERS, len(data), chance.getrandbits(32)))
            packed = struct.pack(code, number & (0xFFFF if code[1] == "H" else 0xFFFFFFFF))
            data[at : at + len(packed)] = packed
        elif kind == 4:
            del data[at : at + chance.choice((1, 2, 4, 16, len(data)))]
        elif kind == 5:
            data[at:at] = data[at : at + chance.choice((4, 16, 64, 1024))] * chance.choice((1, 2, 50))
        elif kind == 6:
            data[at:at] = chance.choice((b"\xff" * 64, bytes(64), b"[" * 2000, b'{"a":' * 2000, chance.randbytes(8)))
        else:
            other = chance.choice(others)
            start = chance.randrange(len(other))
            data[at : at + chance.choice((0, 32, len(data)))] = other[start : start + chance.choice((32, 4096))]
    return bytes(data)


def changed_json(content: bytes, chance: random.Random) -> bytes:
    """``content`` with one to three of its values replaced, removed, repeated or renamed. Raises ValueError."""
    value = {"": json.loads(content)}
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = list(_places(value))
        holder, key = chance.choice(places)
        kind = chance.randrange(6)
        if kind <= 3:
            holder[key] = copy.deepcopy(chance.choice(VALUES))  # it may be changed itself
        elif kind == 4 and holder is not value:
            del holder[key]
        elif isinstance(holder, dict) and holder is not value:
            holder[chance.choice(("", "\0", "x" * 300, "__class__", "extra"))] = holder[key]
        elif isinstance(holder, list):
            holder.extend(holder[:] * chance.choice((1, 100)))
    text = json.dumps(value[""], ensure_ascii=chance.random() < 0.5)
    return text.replace('"DEEP"', "[" * 3000 + "]" * 3000).encode("utf-8", "surrogatepass")


def changed_header(content: bytes, chance: random.Random) -> bytes:
    """A safetensors file with another header, and its length as it should be. Raises ValueError."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = changed_json(content[8:end], chance)
    return struct.pack("<Q", len(header)) + header + content[end:]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Holder and key of every value below ``value``, at most a few thousand."""
    waiting, count = [value], 0
    while waiting and count < 5000:
        holder = waiting.pop()
        for key, one in list(holder.items() if isinstance(holder, dict) else enumerate(holder))[:500]:
            count += 1
            yield holder, key
            if isinstance(one, (dict, list)) and one:
                waiting.append(one)


def memory_now() -> tuple[int, int]:
    """Bytes that this process holds, and the most it held since :func:`forget_peak`; zeros where the system is mute."""
    with contextlib.suppress(OSError):
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(lines["VmRSS"].split()[0]) * 1024, int(lines["VmHWM"].split()[0]) * 1024
    return 0, 0


def forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def judged(kind: Kind, content: bytes, name: str) -> dict[str, Any]:
    """What one call cost, and in ``failure`` what is wrong with how it ended, "" for nothing."""
    forget_peak()
    before, _ = memory_now()
    began, failure = time.process_time(), ""
    try:
        kind.call(content, name)
    except Exception as error:
        if not allowed(error):
            failure = "".join(traceback.format_exception(error)[-6:])
    except BaseException as error:  # Rust's panics are no Exception
        failure = repr(error)
    seconds, used = time.process_time() - began, max(0, memory_now()[1] - before)
    if not failure and seconds > SECONDS:
        failure = f"{seconds:.1f} s"
    if not failure and used > BYTES:
        failure = f"{used / 1e6:.0f} MB"
    return {"seconds": seconds, "bytes": used, "failure": failure}


def keep(kind: str, content: bytes, name: str) -> Path:
    SEEDS.mkdir(exist_ok=True)
    path = SEEDS / f"{kind}-{hashlib.sha256(content).hexdigest()[:12]}-{Path(name).suffix.lstrip('.') or 'bin'}"
    path.write_bytes(content)
    return path


def kept(kind: str) -> Iterator[tuple[bytes, str]]:
    """Inputs that once failed, and a name of the same ending."""
    for path in sorted(SEEDS.glob(f"{kind}-*")):
        yield path.read_bytes(), f"kept.{path.name.rsplit('-', 1)[1]}"


def run_batch(kind: str, first: int, count: int) -> tuple[list[dict[str, Any]], int]:
    """Inputs ``first`` and after, in a process of their own; its results, and the number it did not survive or -1."""
    reading, writing = os.pipe()
    # A collection in the child would touch, and so copy, every page of the libraries: seconds that no input caused.
    gc.collect()
    gc.freeze()
    child = os.fork()
    if not child:
        os.close(reading)
        with os.fdopen(writing, "w") as told, contextlib.suppress(BrokenPipeError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            for number in range(first, first + count):
                content, name = made(KINDS[kind], number)
                print(json.dumps({"number": number, **judged(KINDS[kind], content, name)}), file=told, flush=True)
        os._exit(0)
    os.close(writing)
    results: list[dict[str, Any]] = []
    with os.fdopen(reading, "rb", buffering=0) as told:  # a line in a buffer would be none to select
        while select.select([told], [], [], PATIENCE)[0] and (line := told.readline()):
            results.append(json.loads(line))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return results, -1 if len(results) == count else first + len(results)


def measure(kind: str, seconds: float, first: int) -> dict[str, Any]:
    """Run inputs of ``kind`` from number ``first`` for so many seconds by the clock, and sum them up."""
    row: dict[str, Any] = {"kind": kind, "first": first, "inputs": 0, "seconds": 0.0, "slowest": 0.0, "largest": 0}
    row |= {"failures": []}
    made(KINDS[kind], 0)  # once, and not in every process anew
    began = time.monotonic()
    for content, name in kept(kind):
        result = judged(KINDS[kind], content, name)
        if result["failure"]:
            row["failures"].append(f"kept input: {result['failure'].splitlines()[-1]}")
    while time.monotonic() - began < seconds:
        number = first + row["inputs"]
        results, dead = run_batch(kind, number, max(10, BATCH // KINDS[kind].cost))
        if dead >= 0:
            results.append({"number": dead, "seconds": 0.0, "bytes": 0, "failure": "it died or did not come back"})
        for one in results:
            row["inputs"] += 1
            row["seconds"] += one["seconds"]
            row["slowest"], row["largest"] = max(row["slowest"], one["seconds"]), max(row["largest"], one["bytes"])
            if one["failure"]:
                path = keep(kind, *made(KINDS[kind], one["number"]))
                row["failures"].append(f"input {one['number']}: {one['failure'].splitlines()[-1][:200]}")
                print(f"{kind} {one['number']} ({path.name}):\n{one['failure']}", file=sys.stderr)
    return {**row, "seconds": round(row["seconds"], 1), "slowest": round(row["slowest"], 3)}


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.exists() else []


def write_result() -> None:
    """The sums of all runs; what failed then and is mended now stays told."""
    lines = [
        "# Fuzzing",
        "",
        f"Made by `python benchmarks/fuzz.py` from `{ROWS.name}`, {datetime.date.today()}, on {machine()}.",
        "",
        "Files of every kind that is read, changed at random. A failure is an exception that is not one of ours, a",
        "call of more than 5 s of processor time or 1 GB of memory, or a process that dies.",
        "",
        "| kind | inputs | minutes | slowest call, s | most memory, MB | failures | of them in the last run |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        runs = [row for row in rows() if row["kind"] == kind]
        if runs:
            lines.append(
                f"| {kind} | {sum(row['inputs'] for row in runs)} | {sum(row['clock'] for row in runs) / 60:.1f}"
                f" | {max(row['slowest'] for row in runs):.2f} | {max(row['largest'] for row in runs) / 1e6:.0f}"
                f" | {sum(len(row['failures']) for row in runs)} | {len(runs[-1]['failures'])} |"
            )
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="by the clock, all kinds together")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this one; repeat for several")
    parser.add_argument("--again", nargs=2, metavar=("KIND", "NUMBER"), help="repeat one input")
    asked = parser.parse_args()
    if asked.again:
        content, name = made(KINDS[asked.again[0]], int(asked.again[1]))
        print(name, len(content), content[:200])
        KINDS[asked.again[0]].call(content, name)
        return 0
    failures = 0
    chosen = asked.kind or list(KINDS)
    # Pictures are decoded by other people's code, and get as much time as all others together.
    weights = {kind: len(KINDS) - 1 if kind == "pictures" else 1 for kind in chosen}
    for kind in chosen:
        first = sum(row["inputs"] for row in rows() if row["kind"] == kind)
        began = time.monotonic()
        row = measure(kind, 60 * asked.minutes * weights[kind] / sum(weights.values()), first)
        row["clock"] = round(time.monotonic() - began, 1)
        failures += len(row["failures"])
        with ROWS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print({key: value for key, value in row.items() if key != "failures"}, len(row["failures"]), "failures")
    write_result()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
