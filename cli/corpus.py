"""``latent-tracer corpus``: folders that outgrow one card, on Ray. Everything it needs is the extra ``corpus``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core import InvalidProfileError, Tracer, load_autoencoder, load_profiles
from ..core.profiles.families import load_families, shipped_families
from .attribute import tracer_of
from .console import emit_json, say, show
from .corpus_run import CorpusRun
from .family import known_proxies

if TYPE_CHECKING:
    from ..corpus.engine import Engine

corpus = typer.Typer(no_args_is_help=True, help="Judge a million pictures on Ray: resumable, one row each in Parquet.")

Inputs = Annotated[
    list[str],
    typer.Argument(
        help="Folders, pictures, lists (.txt), manifests (.parquet with a column path), .tar files, or fsspec URLs."
    ),
]
Profiles = Annotated[
    list[Path] | None, typer.Option(help="Calibration of the model, from `calibrate`; repeat for several conditions.")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the rows. The same command again goes on where it stopped.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes with a model each (default: one a GPU, or a processor up to 4).")
]
Gpus = Annotated[float, typer.Option("--num-gpus", min=0, help="GPUs of each worker; 0: processors.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads of each worker (default: the workers share the processors).")
]
Address = Annotated[str | None, typer.Option("--ray", help="Address of a Ray cluster (default: this machine alone).")]
Batch = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Pictures of one size that share a pass (default: 8 on GPUs, 1 on processors, where it changes bits).",
    ),
]
Retry = Annotated[
    bool, typer.Option(help="Judge again what has an error: a disk that was away, memory that was short.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
Folder = Annotated[Path, typer.Argument(help="The folder that `corpus run` wrote to.")]

GPU_BATCH = 8


@corpus.command("run")
def run_command(
    inputs: Inputs,
    vae: Annotated[str, typer.Option(help="Inspected model: a TAESD prefix, a .safetensors file, a diffusers folder.")],
    output: Output,
    profile: Profiles = None,
    workers: Workers = None,
    num_gpus: Gpus = 0.0,
    threads: Threads = None,
    ray: Address = None,
    batch: Batch = None,
    retry_errors: Retry = False,
    checks_refusal: Annotated[
        bool, typer.Option(help="Before a no, look whether a yes could have been seen: many times the cost of a yes.")
    ] = True,
    as_json: AsJson = False,
) -> int:
    """Say of each picture whether it belongs to this model, as `trace` does, with any number of workers."""
    _check_installed()
    from ..corpus.work import TraceWork

    profiles = [one for path in profile for one in load_profiles(path)] if profile else None
    tracer = Tracer(load_autoencoder(vae), profiles, known_as=(vae,))
    shared = _batch(batch, num_gpus)
    work = TraceWork(tracer, vae, checks_refusal=checks_refusal, batch=shared)
    run = _run([tracer], [vae], inputs, output, _engine(workers, num_gpus, ray, threads), shared, as_json, retry_errors)
    return run(work, checks_refusal=checks_refusal)


@corpus.command("attribute")
def attribute_command(
    inputs: Inputs,
    vae: Annotated[list[str], typer.Option(help="A candidate; repeat for each.")],
    output: Output,
    profile: Profiles = None,
    workers: Workers = None,
    num_gpus: Gpus = 0.0,
    threads: Threads = None,
    ray: Address = None,
    batch: Batch = None,
    retry_errors: Retry = False,
    as_json: AsJson = False,
) -> int:
    """Say which candidate made each picture, as `attribute` does; every picture is read once for all of them."""
    _check_installed()
    from ..corpus.work import AttributeWork

    known = [one for path in profile or [] for one in load_profiles(path)]
    tracers = [tracer_of(load_autoencoder(name), name, known) for name in vae]
    for tracer in tracers:
        if not tracer.profiles:
            raise InvalidProfileError(f"No profile fits {tracer.name} and none ships for it: calibrate it first.")
    shared = _batch(batch, num_gpus)
    run = _run(tracers, vae, inputs, output, _engine(workers, num_gpus, ray, threads), shared, as_json, retry_errors)
    return run(AttributeWork(tracers, shared))


@corpus.command("family")
def family_command(
    inputs: Inputs,
    proxies: Annotated[
        Path,
        typer.Option(help="Folder of TAESD and its relatives: NAME_encoder.safetensors, NAME_decoder.safetensors."),
    ],
    output: Output,
    calibration: Annotated[
        Path | None, typer.Option(help="Another calibration of families than the one that ships.")
    ] = None,
    workers: Workers = None,
    num_gpus: Gpus = 0.0,
    threads: Threads = None,
    ray: Address = None,
    batch: Batch = None,
    retry_errors: Retry = False,
    as_json: AsJson = False,
) -> int:
    """Say which family of models made each picture, as `family` does; every picture is read once for all proxies."""
    _check_installed()
    from ..corpus.work import FamilyWork

    families = shipped_families() if calibration is None else load_families(calibration)
    loaded = known_proxies(proxies, families, "cpu")
    names = [one.name for one in loaded]
    digest = hashlib.sha256(families.to_json().encode()).hexdigest()
    shown = {"proxies": ", ".join(names), "calibrated on": families.calibrated_on}
    engine, shared = _engine(workers, num_gpus, ray, threads), _batch(batch, num_gpus)
    run = CorpusRun(loaded, names, {"families": digest}, shown, inputs, output, engine, shared, as_json, retry_errors)
    return run(FamilyWork(loaded, families, shared))


@corpus.command("status")
def status_command(folder: Folder, as_json: AsJson = False) -> int:
    """Where a run stands: rows, answers, errors; while it goes on also its rate and the time that remains."""
    _check_installed()
    from ..corpus.status import status_of

    status = status_of(folder)
    if as_json:
        emit_json(status.record())
    else:
        show("\n".join(status.lines))
    return 0


@corpus.command("report")
def report_command(
    folder: Folder,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the report (default: the corpus's own).")
    ] = None,
    csv: Annotated[bool, typer.Option(help="Also every row as CSV.")] = True,
) -> int:
    """Write corpus.html and corpus.csv: answers, profiles, scores, the most certain ones, errors."""
    _check_installed()
    from ..corpus.report import write_corpus_report

    target = output or folder
    line = write_corpus_report(folder, target, with_csv=csv)
    show(f"{line}\n{target / 'corpus.html'}")
    return 0


@corpus.command("merge")
def merge_command(
    folders: Annotated[list[Path], typer.Argument(help="Folders of runs with the same settings.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder for all their rows, in large shards.")],
) -> int:
    """Put the rows of several runs into one folder; of a picture that was judged twice the first row stays."""
    _check_installed()
    from ..corpus.merge import merge_folders
    from ..corpus.status import counted

    merged = merge_folders(folders, output)
    say(f"{merged.repeated} rows of pictures that had one already were left out.")
    show(f"{merged.counts.rows} rows: {counted(merged.counts)}\n{output}")
    return 0


def _check_installed() -> None:
    from ..corpus.installed import check_installed

    check_installed()


def _engine(workers: int | None, num_gpus: float, address: str | None, threads: int | None) -> Engine:
    from ..corpus.engine import Engine

    return Engine.of(workers, num_gpus, address, threads)


def _batch(batch: int | None, num_gpus: float) -> int:
    return batch or (GPU_BATCH if num_gpus else 1)


def _run(
    tracers: Sequence[Tracer],
    names: Sequence[str],
    inputs: Sequence[str],
    output: Path,
    engine: Engine,
    batch: int,
    as_json: bool,
    retry_errors: bool,
) -> CorpusRun:
    """A run with the profiles of ``tracers``."""
    profiles = [one for tracer in tracers for one in tracer.profiles]
    digests = [hashlib.sha256(one.to_json().encode()).hexdigest() for one in profiles]
    shown = {
        "inspected model" if len(names) == 1 else "candidates": ", ".join(names),
        "score": ", ".join(dict.fromkeys(one.score for one in profiles)) or "the default profile's",
        "calibrated on": ", ".join(dict.fromkeys(one.calibrated_on for one in profiles)) or "other decoders",
    }
    models = [tracer.autoencoder for tracer in tracers]
    return CorpusRun(models, names, {"profiles": digests}, shown, inputs, output, engine, batch, as_json, retry_errors)
