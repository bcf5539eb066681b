"""Ray under a corpus: started here or joined, workers that hold a model each, and what happens when one dies."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
import ray.data
import torch

from ..core.errors import LatentTracerError
from ..core.storage.safe_text import clean_text
from .desk import Desk
from .inputs import Source
from .schema import table_of
from .work import DeviceLostError, Work

# Of the object store: paths and rows go through it, and one copy of the models.
STORE_BYTES = 150 * 2**20
# A picture that was being judged alone when its worker died so often gets a row that says so.
MOST_DEATHS = 3
# Pictures of one task: what a killed worker costs; more where there would be too many tasks to keep books of, fewer
# where there are few pictures for each worker.
TASK, MOST_TASKS, TASKS_EACH = 16, 10_000, 8


class EngineError(LatentTracerError):
    """Ray cannot be started or joined, or gave up."""


@dataclass(frozen=True)
class Engine:
    """Where the work is done: ``address`` of a Ray cluster, ``None`` for this machine; ``workers`` with ``gpus`` each
    (0: on processors, with ``threads``)."""

    workers: int
    gpus: float = 0.0
    address: str | None = None
    threads: int = 1

    @classmethod
    def of(cls, workers: int | None, gpus: float, address: str | None, threads: int | None = None) -> Engine:
        """The usual: a worker for each GPU, or as many as there are processors, up to four; threads share them."""
        processors = os.cpu_count() or 1
        if workers is None:
            workers = max(1, int(torch.cuda.device_count() / gpus)) if gpus else min(4, processors)
        return cls(workers, gpus, address, threads or max(1, processors // workers))

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"


@contextlib.contextmanager
def started(engine: Engine) -> Iterator[None]:
    """Ray, for as long as this is open; one that is running in this process already is used and left running.

    Raises :class:`EngineError` where it cannot be had.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # By default Ray's workers yield to everything else: on a busy machine they do not even get to load torch.
    os.environ.setdefault("RAY_worker_niceness", "0")
    kept = _handlers()
    local: dict[str, Any] = {}
    if engine.address is None:
        # One processor beside those of the workers, for what Ray Data runs itself.
        local = {"num_cpus": engine.workers + 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    try:
        ray.init(address=engine.address or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
    except Exception as error:  # ConnectionError, ValueError, RuntimeError …
        ray.shutdown()
        raise EngineError(f"Ray cannot be used ({_reason(error)}): check --ray, and the room in /tmp.") from None
    finally:
        _restore(kept)  # Ray takes signals for itself; a cancel is ours
    try:
        yield
    finally:
        ray.shutdown()
        _restore(kept)


def judged(engine: Engine, desk: Any, sources: Sequence[Source]) -> Iterator[pa.Table]:
    """The rows of ``sources`` as they come, each once. ``desk``: of :func:`new_desk`. Raises :class:`EngineError` where
    Ray gives up."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    tasks = min(len(sources), max(min(len(sources) // TASK, MOST_TASKS), TASKS_EACH * engine.workers))
    try:
        dataset = ray.data.from_items([source.record() for source in sources], override_num_blocks=tasks).map_batches(
            Judge,
            batch_size=None,  # a task is a block: no row of another is in it
            batch_format="pyarrow",
            zero_copy_batch=True,
            compute=ray.data.ActorPoolStrategy(size=engine.workers),
            num_cpus=1,
            num_gpus=engine.gpus or None,
            fn_constructor_kwargs={"desk": desk, "device": engine.device, "threads": engine.threads},
        )
        yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    except Exception as error:  # of Ray, or what it found of ours in a worker
        if was_cancelled(error):
            raise KeyboardInterrupt from None
        raise EngineError(f"Ray gave up ({_reason(error)}): run the same command again, it goes on.") from None


def was_cancelled(error: BaseException) -> bool:
    """Whether a Ctrl-C is behind ``error``: what Ray raises while one passes through it takes its place."""
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, KeyboardInterrupt):
        behind = behind.__cause__ or behind.__context__
    return behind is not None


def new_desk(work: Work) -> Any:
    """The desk of a run, with ``work`` in the object store."""
    # In a list a reference stays one, until a worker fetches what it refers to.
    return ray.remote(num_cpus=0)(Desk).remote([ray.put(work)])


class Judge:
    """A worker: one copy of the models, and a task after the other. Ray starts it anew when it dies."""

    def __init__(self, desk: Any, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.desk = desk
        self.work: Work = ray.get(ray.get(desk.work.remote())[0])
        self.work.begin(device)

    def __call__(self, batch: pa.Table) -> pa.Table:
        sources = [Source.of(record) for record in batch.to_pylist()]
        task = "\n".join(source.image for source in sources)
        try:
            if self._begin(task) == 1:
                records = list(self.work.records(sources))
            else:  # the worker died over one of them: one by one it shows which
                records = [self._alone(source) for source in sources]
        except DeviceLostError:
            os._exit(70)  # Ray starts another worker, in which the device may answer
        self.desk.end.remote(task)
        return table_of(self.work.kind, [{**record, "shard": ""} for record in records])

    def _alone(self, source: Source) -> dict[str, Any]:
        if self._begin(source.image) > MOST_DEATHS:
            return self.work.failed(
                source, f"could not be judged, its worker died {MOST_DEATHS} times over it: trace it alone to see why."
            )
        (record,) = self.work.records([source])
        ray.get(self.desk.end.remote(source.image))
        return record

    def _begin(self, name: str) -> int:
        count: int = ray.get(self.desk.begin.remote(name))
        return count


def _reason(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return clean_text(lines[-1] if lines else type(error).__name__, 300)


_TAKEN = ("SIGINT", "SIGTERM", "SIGHUP")


def _handlers() -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [getattr(signal, name) for name in _TAKEN if hasattr(signal, name)]
    return {number: signal.getsignal(number) for number in numbers}


def _restore(kept: dict[int, Any]) -> None:
    for number, handler in kept.items():
        if handler is not None:
            signal.signal(number, handler)
