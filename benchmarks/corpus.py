"""What a corpus on Ray costs beyond its passes, whether that grows with pictures or workers, and what a kill leaves.

    python benchmarks/corpus.py                  # everything, about an hour on two busy cores; goes on where it stopped
    python benchmarks/corpus.py --quick          # the same with a tenth of the pictures

Costs are counted from the first row on: seconds of processor time of the driver, Ray's own processes and the workers,
and wall time beside the bare passes of the score before each run, on as many threads as a worker has: in this program
alone, and in as many at once as there are workers. An embedded decoder, without the checks before a no.
``--only cost`` needs a machine that does nothing else for about an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from common import RESULTS, Row, Rows, cells_table, decoder, made_by, parser_of, rows_of, write_json
from latent_tracer.core import Picture, Tracer, quantise, synthetic_photograph, to_picture
from latent_tracer.core.inversion.objective import Passes
from latent_tracer.core.scores import make_score
from latent_tracer.core.scores.protocol import reconstruct
from latent_tracer.core.storage.atomic import write_text
from latent_tracer.core.tracing.row import TraceRow
from latent_tracer.corpus.counts import Counts
from latent_tracer.corpus.engine import TASK, Engine
from latent_tracer.corpus.inputs import Source, sources
from latent_tracer.corpus.keys import WIDTH, Keys, digests_of
from latent_tracer.corpus.report import write_corpus_report
from latent_tracer.corpus.run import Progress, run_corpus
from latent_tracer.corpus.schema import Kind, table_of
from latent_tracer.corpus.settings import RunSettings
from latent_tracer.corpus.shards import batches_in, counts_in, finished_in, shards_in, write_shard
from latent_tracer.corpus.work import TraceWork
from memory import stable_diffusion_size

SIDES = (40, 48, 56)  # of what is killed
# A picture's own work grows with its pixels: of small ones the engine's share is large.
COST_SIDES = {"cost": (96, 128, 160), "cost-larger": (192, 256, 320)}
LARGER = (96, 192)
# Both networks, of an answer to most pictures: once on the grid and once beside it.
LOOKS = 2
COST = ("seconds", "peak_bytes", "shard")
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def pictures(folder: Path, count: int, sides: Sequence[int] = SIDES, broken: bool = True) -> Path:
    """``count`` pictures of mixed size, every second one the decoder's own, one in fifty broken where asked."""
    own = decoder("demo-a")
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:06}.png"
        if broken and number % 50 == 7:
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(number % 100))
            continue
        picture = synthetic_photograph(number, sides[number % len(sides)])
        if number % 2:
            with torch.no_grad():
                picture = quantise(own.decode(own.encode(picture)).clamp(0, 1))
        to_picture(picture).save(path)
    return folder


def processes_below(pid: int) -> dict[int, tuple[str, float, int]]:
    """By process: its command line, processor seconds and resident bytes, ``pid`` itself among them."""
    found, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            title = (path / "cmdline").read_bytes().decode(errors="replace")
        except (OSError, ValueError):
            continue
        one = int(path.name)
        parents[one] = int(fields[1])
        found[one] = (title, (int(fields[11]) + int(fields[12])) / TICKS, int(fields[21]) * resource.getpagesize())

    def is_below(one: int) -> bool:
        while one in parents and one != pid:
            one = parents[one]
        return one == pid

    return {one: values for one, values in found.items() if is_below(one)}


class Run:
    """``corpus run`` as a program of its own, looked at twice a second."""

    def __init__(self, folder: Path, out: Path, workers: int) -> None:
        self.out, self.began = out, time.perf_counter()
        command = [sys.executable, "-c", "from latent_tracer.cli import main; main()", "corpus", "run", str(folder)]
        command += ["--vae", "demo-a", "--no-checks-refusal", "--workers", str(workers), "--threads", "1"]
        command += ["-o", str(out)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        self._last: dict[int, float] = {}
        self.driver_bytes: list[int] = []

    def processor_seconds(self) -> float:
        """Of everything below the driver so far, also of what has ended."""
        for one, (_, seconds, size) in processes_below(self.process.pid).items():
            self._last[one] = max(seconds, self._last.get(one, 0.0))
            if one == self.process.pid:
                self.driver_bytes.append(size)
        return sum(self._last.values())

    def workers(self) -> list[int]:
        return [one for one, (title, *_) in processes_below(self.process.pid).items() if "MapWorker" in title]

    def told(self) -> dict[str, Any]:
        try:
            return json.loads((self.out / "progress.json").read_bytes())
        except (OSError, ValueError):
            return {}

    def looks(self, pause: float = 0.5) -> Iterator[None]:
        """Until the program ends."""
        while self.process.poll() is None:
            self.processor_seconds()
            yield
            time.sleep(pause)


def scored(folder: Path, count: int) -> float:
    """Wall seconds of the bare score for each of ``count`` readable pictures of ``folder``."""
    own = decoder("demo-a")
    score = make_score(Tracer(own, known_as=("demo-a",)).profiles[0].score)
    readable = [path for number, path in enumerate(sorted(folder.glob("*.png"))) if number % 50 != 7]
    held = [Picture.read(path).pixels for path in readable[:count]]
    score(own, held[0])  # warms up
    return timed(lambda: [score(own, pixels) for pixels in held])[1] / len(held)


def cost_of(folder: Path, out: Path, workers: int) -> Row:
    """One run: its start, and what each picture cost from the first row on, in all processes together."""
    bare = scored(folder, 30)
    line = [sys.executable, __file__, "--one-score", str(folder)]
    together = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(workers)]
    at_once = [float(one.communicate()[0]) for one in together]
    run, beside = Run(folder, out, workers), list[float]()

    def score_beside() -> None:
        while run.process.poll() is None:
            beside.append(float(subprocess.run(line, capture_output=True, check=True, text=True).stdout))

    # A host gives its guests now more and now less: where a processor is free the bare score goes on meanwhile.
    meanwhile = threading.Thread(target=score_beside)
    if workers < (os.cpu_count() or 1):
        meanwhile.start()
    start: tuple[float, float, int] | None = None
    end = (0.0, 0.0, 0)
    for _ in run.looks():
        done = run.told().get("now", 0)
        spent = sum(run._last.values())
        if done and start is None:
            start = (time.perf_counter() - run.began, spent, done)
        if start is not None and done > end[2]:
            end = (time.perf_counter() - run.began, spent, done)
    if meanwhile.ident is not None:
        meanwhile.join()
    assert start is not None and end[2] > start[2], "too few pictures to tell their cost"
    judged = end[2] - start[2]
    counts = counts_in(out)
    return {
        "pictures": counts.rows,
        "workers": workers,
        "start_wall": round(start[0], 1),
        "start_processor": round(start[1], 1),
        "wall": round(end[0] - start[0], 1),
        "each_processor": round((end[1] - start[1]) / judged, 4),
        "each_worker_wall": round(counts.seconds / (counts.rows - counts.errors), 4),
        "each_wall": round(workers * (end[0] - start[0]) / judged / (1 - counts.errors / counts.rows), 4),
        "each_score_wall": round(bare, 4),
        "each_score_wall_at_once": round(sum(at_once) / workers, 4),
        "each_score_wall_beside": round(sum(beside) / len(beside), 4) if beside else None,
        "driver_mib": [round(size / 2**20) for size in run.driver_bytes[:: max(1, len(run.driver_bytes) // 8)]],
        "errors": counts.errors,
    }


def rows_in(out: Path) -> dict[str, Row]:
    found = [row for table in batches_in(out) for row in table.to_pylist()]
    rows = {row["image"]: {name: value for name, value in row.items() if name not in COST} for row in found}
    assert len(rows) == len(found), "a picture has two rows"
    return rows


def killed(folder: Path, out: Path, whole: Path, kills: int, seed: int) -> Row:
    """Workers and drivers killed by turns at random moments, then an end in peace, against the rows of ``whole``."""
    generator = random.Random(seed)
    spread: list[str] = []
    for number in range(kills):
        run = Run(folder, out, 2)
        before = counts_in(out).rows
        for _ in run.looks(0.2):
            if run.told().get("now", 0) and counts_in(out).rows > before:
                break
        time.sleep(generator.uniform(0, 8))
        victims = run.workers()
        if number % 2 == 0 and victims:
            os.kill(generator.choice(victims), signal.SIGKILL)
            spread.append(f"worker at {counts_in(out).rows}")
            time.sleep(generator.uniform(2, 8))
        run.process.kill()
        run.process.wait()
        spread.append(f"driver at {counts_in(out).rows}")
    run = Run(folder, out, 2)
    for _ in run.looks():
        pass
    found, expected = rows_in(out), rows_in(whole)
    differing = sum(found.get(image) != row for image, row in expected.items()) + len(found.keys() - expected.keys())
    return {"pictures": len(found), "kills": spread, "differing": differing}


class NoWork:
    """Judges nothing: what is left is the engine."""

    kind: Kind = "trace"

    def begin(self, device: str) -> None:
        pass

    def records(self, sources: Sequence[Source]) -> Iterator[dict[str, Any]]:
        for source in sources:
            yield TraceRow(source.name, "0" * 64, verdict="inconclusive", seconds=0.0).to_json(source.image, "none")

    def failed(self, source: Source, reason: str) -> dict[str, Any]:
        return TraceRow(source.name, error=reason).to_json(source.image, "none")


def engine_alone(place: Path, count: int) -> Row:
    """What a picture costs driver, Ray and workers where nothing is read and nothing judged; from the first row on."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / "list.txt").write_text("".join(f"{number:08}.png\n" for number in range(count)))
    seen: list[tuple[float, float, float, int]] = []

    def told(progress: Progress) -> None:
        if progress.state != "running" or not progress.now:
            return
        if seen and time.perf_counter() - seen[-1][0] < 0.5 and progress.now < count:
            return
        below = processes_below(os.getpid())
        whole, driver = sum(seconds for _, seconds, _ in below.values()), below[os.getpid()][1]
        seen.append((time.perf_counter(), whole, driver, progress.now))

    run_corpus(NoWork(), RunSettings("trace", (str(place / "list.txt"),), {}), place / "out", Engine(2), told)
    (wall, whole, driver, first), (wall_end, whole_end, driver_end, last) = seen[0], seen[-1]
    judged = last - first
    return {"pictures": count, "each_processor": round((whole_end - whole) / judged, 5),
            "each_driver": round((driver_end - driver) / judged, 5), "each_wall": round((wall_end - wall) / judged, 5),
            "task": TASK}  # fmt: skip


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Processor and wall seconds."""
    processor, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - processor, time.perf_counter() - wall


def overhead(folder: Path, side: int, count: int) -> Row:
    """What a picture of ``side``² costs here: the networks alone, the score, the tracer, and a worker's whole road."""
    pictures(folder, count, (side,), broken=False)
    own = decoder("demo-a")
    tracer = Tracer(own, known_as=("demo-a",))
    score = make_score(tracer.profiles[0].score)
    found = list(sources([str(folder)]))
    held = [Picture.read(source.place) for source in found]
    work = TraceWork(tracer, "demo-a", checks_refusal=False)
    scored = [score(own, picture.pixels) for picture in held]  # warms up

    def networks() -> None:
        for picture, one in zip(held, scored, strict=True):
            for _ in range(one.passes.encoder):
                reconstruct(own, picture.pixels[..., : side - 8, : side - 8], Passes())

    kinds: dict[str, Callable[[], Any]] = {
        "networks": networks,
        "score": lambda: [score(own, picture.pixels) for picture in held],
        "tracer": lambda: [tracer.trace(picture, checks_refusal=False) for picture in held],
        "worker": lambda: list(work.records(found)),
    }
    # Turn by turn, three times, the least of each: other work comes and goes.
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(3):
        for name, run in kinds.items():
            times[name].append(timed(run)[0] / count)
    least = {name: round(min(values), 4) for name, values in times.items()}
    return {"side": side, "count": count, **least}


def batched(name: str, side: int, count: int) -> Row:
    """``count`` pictures in one pass against one by one: time, distance of what comes out, answers."""
    own = decoder(name)
    pixels = [synthetic_photograph(seed, side) for seed in range(count)]
    times: dict[str, list[float]] = {"alone": [], "together": []}
    distance = 0.0
    with torch.no_grad():
        for _ in range(3):
            began = time.process_time()
            alone = torch.cat([own.decode(own.encode(one)) for one in pixels])
            between = time.process_time()
            together = own.decode(own.encode(torch.cat(pixels)))
            times["together"].append(time.process_time() - between)
            times["alone"].append(between - began)
            distance = max(distance, float((alone - together).abs().max()))
    tracer = TraceWork(Tracer(decoder(name)), name, checks_refusal=False)
    with tempfile.TemporaryDirectory() as folder:
        found = list(sources([str(pictures(Path(folder), count, (side,), broken=False))]))
        one_by_one = {record["image"]: record for record in tracer.records(found)}
        tracer.batch = count
        tracer.begin("cpu")
        shared = {record["image"]: record for record in tracer.records(found)}
    pairs = [(one_by_one[image], shared[image]) for image in one_by_one]
    scores = [(one["score"], two["score"]) for one, two in pairs if one["score"] is not None]
    return {
        "decoder": name,
        "side": side,
        "batch": count,
        "time_ratio": round(min(times["together"]) / min(times["alone"]), 3),
        "distance": distance,
        "score_distance": max((abs(one - two) for one, two in scores), default=0.0),
        "same_answers": all(one["verdict"] == two["verdict"] for one, two in pairs),
    }


@torch.no_grad()
def sd_size(side: int) -> Row:
    """Passes of a VAE of Stable Diffusion's architecture and size, of random weights, on a GPU where there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    is_gpu = device.type == "cuda"
    network = stable_diffusion_size(device.type)
    seconds = {}
    for batch in (1, 8) if is_gpu else (1,):
        images = torch.rand(batch, 3, side, side, device=device)
        times = []
        for _ in range(5 if is_gpu else 1):
            began = time.perf_counter()
            network.decode(network.encode(images))
            if is_gpu:
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
        seconds[str(batch)] = round(min(times) / batch, 3)
    where = torch.cuda.get_device_name() if is_gpu else f"{torch.get_num_threads()} processor thread(s)"
    return {"side": side, "device": where, "seconds": seconds}


def synthetic(out: Path, count: int) -> None:
    """A corpus of ``count`` rows that nobody traced."""
    generator, per = np.random.default_rng(0), 5000
    usual = TraceRow(
        "", "", 12_345, "PNG", 512, 512, model="demo-a", p_value=0.0147, fpr=0.0147, condition="clean", seconds=0.1,
        agreement="no claim", encoder_passes=2, decoder_passes=2, calibration="shipped with this program",
        stage="grid contrast, one look",
    ).to_json("", "demo-a")  # fmt: skip
    rows = [{**usual, "error": "is damaged" if place % 50 == 0 else "", "shard": ""} for place in range(per)]
    template = table_of("trace", rows)
    for number in range(count // per):
        shard = f"rows-{number + 1:06}-{number:08x}.parquet"
        scores = generator.normal(-0.2, 0.3, per)
        answers = np.where(scores < -0.3, "belonging", np.where(scores > -0.05, "non-belonging", "inconclusive"))
        broken = np.arange(per) % 50 == 0
        basis = [f"Its score {score:.3g} is lower than that of 98.5 % of the other images." for score in scores]
        names = [f"{number * per + place}.png" for place in range(per)]
        columns = {
            "image": pa.array([f"/corpus/{name}" for name in names]),
            "name": pa.array(names),
            "digest": pa.array([f"{number * per + place:064x}" for place in range(per)]),
            "score": pa.array(scores, mask=broken),
            "verdict": pa.array(answers.tolist(), pa.string(), mask=broken),
            "basis": pa.array(basis),
            "shard": pa.array([shard] * per),
        }
        table = template
        for name, values in columns.items():
            table = table.set_column(table.schema.get_field_index(name), name, values)
        write_shard(out / shard, table, Counts.of("trace", table))
    RunSettings("trace", ("/corpus",), {}, {"inspected model": "demo-a"}).write(out)


def reported(out: Path, count: int) -> Row:
    """The report of a synthetic corpus, in a program of its own: time and memory at most."""
    if not shards_in(out):
        synthetic(out, count)
    line = [sys.executable, __file__, "--one-report", str(out)]
    found: Row = json.loads(subprocess.run(line, capture_output=True, check=True, text=True).stdout)
    listing = timed(lambda: counts_in(out))
    keys = timed(lambda: finished_in(out))
    size = sum(path.stat().st_size for path in shards_in(out))
    return {"rows": count, **found, "shards": len(shards_in(out)), "mib_on_disk": round(size / 2**20),
            "footers_seconds": round(listing[0], 2), "finished_seconds": round(keys[0], 2)}  # fmt: skip


def one_report(out: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    processor, wall = timed(lambda: write_corpus_report(out, out / "report"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"processor": round(processor, 1), "wall": round(wall, 1), "peak_mib": round(peak / 1024),
                      "before_mib": round(before / 1024)}))  # fmt: skip


def simulated(count: int) -> Row:
    """A driver's knowledge of ``count`` finished pictures, metadata alone: random digests, the rest as it is."""
    generator, keys, size = np.random.default_rng(0), Keys(), 1_000_000
    spent = 0.0
    for _ in range(count // size):
        digests = np.frombuffer(generator.bytes(WIDTH * size), f"S{WIDTH}")
        spent += timed(lambda digests=digests: keys.add(digests))[0]
    names = [f"/corpus/{number:012}.png" for number in range(100_000)]
    hashing = timed(lambda: digests_of(names))[0] * 10
    asked = digests_of(names)
    asking = timed(lambda: keys.has(asked))[0] * 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"rows": count, "kept_mib": round(WIDTH * len(keys) / 2**20), "peak_mib": round(peak / 1024),
            "adding_seconds": round(spent, 1), "hashing_per_million": round(hashing, 2),
            "asking_per_million": round(asking, 2)}  # fmt: skip


def measured(args: argparse.Namespace, rows: Rows, place: Path) -> None:
    share = 10 if args.quick else 1
    small, large = 200 // share, 2000 // share
    wanted = set(args.only.split(",")) if args.only else None

    def lacks(kind: str, key: str) -> bool:
        return (wanted is None or kind in wanted) and rows.lacks(kind, key)

    def simulate(count: int) -> None:
        if lacks("simulation", str(count)):
            line = [sys.executable, __file__, "--one-simulation", str(count)]
            found = json.loads(subprocess.run(line, capture_output=True, check=True, text=True).stdout)
            rows.add({"kind": "simulation", "key": str(count), **found})

    def cost(workers: int, count: int, kind: str = "cost") -> None:
        if lacks(kind, f"{workers} {count}"):
            out = place / f"out-{kind}-{workers}-{count}"
            shutil.rmtree(out, ignore_errors=True)
            folder = place / f"{kind}-in-{count}"
            if not (folder / f"{count - 1:06}.png").exists():
                pictures(folder, count, COST_SIDES[kind])
            found = cost_of(folder, out, workers)
            rows.add({"kind": kind, "key": f"{workers} {count}", **found})

    simulate(1_000_000)
    simulate(10_000_000)
    for workers in (1, 2):
        cost(workers, small, "cost-larger")
        cost(workers, small)
    cost(2, large)
    if lacks("kills", str(large)):
        shutil.rmtree(place / "out-killed", ignore_errors=True)
        folder, whole = pictures(place / f"in-{large}", large), place / f"out-whole-{large}"
        for _ in Run(folder, whole, 2).looks():
            pass
        found = killed(folder, place / "out-killed", whole, 5, 0)
        rows.add({"kind": "kills", "key": str(large), **found})
    if lacks("engine", str(10_000 // share)):
        found = engine_alone(place / "nothing", 10_000 // share)
        rows.add({"kind": "engine", "key": str(10_000 // share), **found})
    if lacks("report", str(1_000_000 // share)):
        found = reported(place / "synthetic", 1_000_000 // share)
        rows.add({"kind": "report", "key": str(1_000_000 // share), **found})
    for side in LARGER:
        if lacks("overhead", str(side)):
            rows.add({"kind": "overhead", "key": str(side), **overhead(place / f"larger-{side}", side, 8)})
    for name, side in (("demo-a", 64), ("demo-a", 192), ("taesd", 64)):
        if lacks("batch", f"{name} {side}"):
            rows.add({"kind": "batch", "key": f"{name} {side}", **batched(name, side, 8)})
    for side in (512, 1024) if torch.cuda.is_available() else (512,):
        if lacks("sd-size", str(side)):
            rows.add({"kind": "sd-size", "key": str(side), **sd_size(side)})
    cost(1, large)
    simulate(100_000_000)


def report(rows: Rows) -> str:
    of = {kind: [row for row in rows if row["kind"] == kind] for kind in {row["kind"] for row in rows}}
    text = [f"# Corpora on Ray\n\n{made_by('`corpus-rows.jsonl`')}"]
    text.append(
        "Seconds are processor seconds unless they say *wall*. Pictures are"
        f" {', '.join(map(str, SIDES))} pixels a side unless said otherwise, every second one demo-a's own, one in"
        " fifty broken; demo-a answers, without the checks before a no.\n"
    )
    if "cost" in of:
        sides = [", ".join(map(str, COST_SIDES[kind])) for kind in ("cost", "cost-larger")]
        text.append(
            f"## Cost per picture\n\nPictures of {sides[0]} pixels a side, the *larger* ones of {sides[1]}. Driver, Ray"
            " and workers together, from the first row on; wall seconds of a worker, and of the bare score on one"
            " thread, too: before the run by itself, as often at once as there are workers, and meanwhile where a"
            " processor was free. The ratio is to the last of these.\n"
        )
        heads = ("pictures", "workers", "each", "each, wall of a worker", "bare score, wall", "at once", "meanwhile",
                 "ratio", "wall", "start", "start, wall", "driver, MiB")  # fmt: skip
        bare = ("each_score_wall", "each_score_wall_at_once", "each_score_wall_beside")
        lines = [
            (
                f"{row['pictures']}{' larger' if row['kind'] == 'cost-larger' else ''}",
                *(row[name] for name in ("workers", "each_processor", "each_wall")),
                *(row.get(name) or "–" for name in bare),
                f"{row['each_wall'] / next(row[name] for name in reversed(bare) if row.get(name)):.2f}",
                *(row[name] for name in ("wall", "start_processor", "start_wall")),
                " ".join(map(str, row["driver_mib"])),
            )
            for row in of["cost"] + of.get("cost-larger", [])
        ]
        text.append(cells_table(heads, lines))
        for name, words in (("each_processor", "processor time"), ("each_wall", "wall time of a worker")):
            each = [row[name] for row in of["cost"]]
            text.append(f"\nOf the smaller, in {words}, the dearest is {max(each) / min(each):.2f} times the cheapest.")
        text.append("")
    if "overhead" in of:
        text.append(
            "## Beside the bare passes\n\nOne process, one thread, the least of three turns. *Networks*: encoder and"
            " decoder alone; *score*: grid contrast; *tracer*: with the picture's history and the verdict;"
            " *worker*: with"
            " reading, hashing, decoding and the row.\n"
        )
        text.append(
            cells_table(
                ("side", "networks", "score", "tracer", "worker", "worker ÷ networks", "worker ÷ tracer"),
                [
                    (
                        r["side"],
                        r["networks"],
                        r["score"],
                        r["tracer"],
                        r["worker"],
                        f"{r['worker'] / r['networks']:.2f}",
                        f"{r['worker'] / r['tracer']:.2f}",
                    )
                    for r in of["overhead"]
                ],
            )
        )
        text.append("")
    for row in of.get("engine", []):
        text.append(
            f"## The engine alone\n\n{row['pictures']} names, of which nothing is read or judged, two workers, tasks of"
            f" {row['task']}: {1000 * row['each_processor']:.2f} ms of processor time a picture in all processes,"
            f" {1000 * row['each_driver']:.2f} of them in the driver; {1000 * row['each_wall']:.2f} ms wall.\n"
        )
    if "batch" in of:
        text.append("## Pictures that share a pass\n\nEight in one pass against one by one, on the processor.\n")
        text.append(
            cells_table(
                ("decoder", "side", "time", "distance of pixels", "of scores", "same answers"),
                [
                    (
                        r["decoder"],
                        r["side"],
                        r["time_ratio"],
                        f"{r['distance']:.1g}",
                        f"{r['score_distance']:.1g}",
                        "yes" if r["same_answers"] else "no",
                    )
                    for r in of["batch"]
                ],
            )
        )
        text.append("")
    for row in of.get("sd-size", []):
        each = "; ".join(f"{second} s each, {batch} at once" for batch, second in row["seconds"].items())
        text.append(
            f"A VAE of Stable Diffusion's size, random weights, encoder and decoder once at {row['side']}² on"
            f" {row['device']}: {each}. A picture takes {LOOKS} of these.\n"
        )
    for row in of.get("kills", []):
        text.append(
            f"## Kills\n\n{row['pictures']} pictures, two workers, killed with signal 9: {', '.join(row['kills'])}"
            f" rows. After the last start {row['differing']} rows differ from those of an uninterrupted run, and no"
            " picture has two.\n"
        )
    for row in of.get("report", []):
        text.append(
            f"## Report\n\n{row['rows']} synthetic rows in {row['shards']} shards ({row['mib_on_disk']} MiB): page and"
            f" CSV in {row['processor']} s ({row['wall']} s wall), {row['peak_mib']} MiB at most, {row['before_mib']}"
            f" of them before it began (torch). The footers alone take {row['footers_seconds']} s, to learn which"
            f" pictures are done {row['finished_seconds']} s.\n"
        )
    if "simulation" in of:
        text.append("## A driver's memory\n\nDigests of finished pictures, random, added a million at a time.\n")
        text.append(
            cells_table(
                (
                    "pictures",
                    "kept, MiB",
                    "process at most, MiB",
                    "adding all",
                    "hashing a million names",
                    "asking a million",
                ),
                [
                    (
                        r["rows"],
                        r["kept_mib"],
                        r["peak_mib"],
                        r["adding_seconds"],
                        r["hashing_per_million"],
                        r["asking_per_million"],
                    )
                    for r in of["simulation"]
                ],
            )
        )
        text.append("")
    return "\n".join(text).rstrip() + "\n"


def main() -> None:
    parser = parser_of(__doc__, "a tenth of the pictures")
    parser.add_argument(
        "--only", default="", help="batch, overhead, cost, cost-larger, kills, engine, report, sd-size, simulation"
    )
    parser.add_argument("--place", type=Path, help="where pictures and rows are kept (default: results/partial/corpus)")
    parser.add_argument("--one-report", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one-score", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one-simulation", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one_report:
        one_report(args.one_report)
        return
    if args.one_simulation:
        print(json.dumps(simulated(args.one_simulation)))
        return
    torch.set_num_threads(1)
    if args.one_score:
        print(scored(args.one_score, 30))
        return
    if not args.quick and args.rows is None:
        args.rows = RESULTS / "corpus-rows.jsonl"
    rows = rows_of(args, "corpus", ("kind", "key"))
    if not args.report_only:
        place = args.place or RESULTS / "partial" / ("corpus-quick" if args.quick else "corpus")
        measured(args, rows, place)
    text = report(rows)
    write_json(args.json, list(rows))
    if args.quick:
        print(text)
    else:
        write_text(RESULTS / "corpus.md", text)


if __name__ == "__main__":
    main()
