"""One run over a corpus: what is left to do, window by window, and the rows as they come."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..core.errors import InvalidSettingError
from ..core.storage.atomic import write_text
from ..core.storage.locking import locked
from .counts import Counts
from .engine import Engine, judged, new_desk, started
from .inputs import Source, encodable, sources
from .keys import Keys, digests_of
from .schema import Kind
from .settings import NAME, RunSettings
from .shards import ShardWriter, counts_in, drop_errors, failed_in, finished_in
from .work import Work

PROGRESS_NAME = "progress.json"
# Pictures that are named to Ray at a time: what bounds the driver's memory, to a kilobyte each. Between two windows the
# workers start anew, which takes seconds: the faster they are, the larger is a window, up to so many times this one.
WINDOW, MOST_WINDOWS, WINDOW_SECONDS = 50_000, 20, 1000
PROGRESS_SECONDS = 2.0


@dataclass
class Progress:
    """Where a run is: ``total`` pictures of the inputs, ``earlier`` of them done before it, ``counts`` of all rows.

    ``now``: those of this run; ``seconds``: since the first of them came, in which all but these ``first`` were done.
    ``state``: ``starting``, ``running``, ``cancelled``, ``failed`` or ``complete``.
    """

    total: int = 0
    earlier: int = 0
    now: int = 0
    first: int = 0
    counts: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    state: str = "starting"

    @property
    def rate(self) -> float | None:
        """Pictures a second; ``None`` before the first two came."""
        return (self.now - self.first) / self.seconds if self.now > self.first and self.seconds else None

    @property
    def remaining_seconds(self) -> float | None:
        rate, left = self.rate, max(0, self.total - self.earlier - self.now)
        return None if rate is None else left / rate

    def record(self) -> dict[str, Any]:
        rate, remaining = self.rate, self.remaining_seconds
        return {
            "state": self.state,
            "total": self.total,
            "earlier": self.earlier,
            "now": self.now,
            "seconds": round(self.seconds, 1),
            "rate": None if rate is None else round(rate, 3),
            "remaining_seconds": None if remaining is None else round(remaining),
            "counts": self.counts.record(),
        }


OnProgress = Callable[[Progress], None]


def run_corpus(
    work: Work,
    settings: RunSettings,
    folder: Path,
    engine: Engine,
    on_progress: OnProgress = lambda _: None,
    window: int = WINDOW,
    retry_errors: bool = False,
) -> Progress:
    """Judge every picture of ``settings.inputs`` that has no row in ``folder`` yet; returns where that ended.

    ``retry_errors``: those of them whose row tells of an error are judged again.

    Raises :class:`InvalidSettingError` for other settings than the folder's, for one in which another run writes, and
    for inputs that cannot be read; :class:`EngineError` where Ray fails. Whatever ends it, rows that came are kept.
    """
    with locked(folder / NAME, timeout=1.0):
        settings.write(folder)
        given = [*settings.inputs]
        failed = failed_in(folder) if retry_errors else set[str]()
        total, again = 0, set[str]()
        for source in sources(given, [folder]):
            total += 1
            if source.image in failed:
                again.add(source.image)
        progress = Progress(total)
        if not progress.total:
            raise InvalidSettingError(f"There is no picture in {', '.join(given)}: give a folder or a list of some.")
        if again:
            drop_errors(folder, work.kind, again)
        progress.counts = counts_in(folder)
        finished = finished_in(folder)
        writer = ShardWriter(folder, work.kind)
        told = _Teller(folder, progress, on_progress)
        told.tell(always=True)
        try:
            rest = left(sources(given, [folder]), finished, progress)
            first = next(rest, None)
            if first is not None:
                with started(engine):
                    desk = new_desk(work)
                    for some in windows(itertools.chain([first], rest), lambda: window_of(progress.rate, window)):
                        told.begin()
                        for table in judged(engine, desk, some):
                            writer.add(table)
                            told.came(table, work.kind)
            progress.state = "complete"
        except KeyboardInterrupt:
            progress.state = "cancelled"
            raise
        except BaseException:
            progress.state = "failed"
            raise
        finally:
            try:
                writer.flush()
            finally:
                told.tell(always=True)
    return progress


def left(found: Iterator[Source], finished: Keys, progress: Progress) -> Iterator[Source]:
    """Those of ``found`` that are not in ``finished``, each once; they are in it from then on."""
    while some := list(itertools.islice(found, 2000)):
        new = finished.add(digests_of(encodable(source.image) for source in some))
        progress.earlier += len(some) - int(new.sum())
        yield from (source for source, is_new in zip(some, new, strict=True) if is_new)


def windows(found: Iterator[Source], size: Callable[[], int]) -> Iterator[Sequence[Source]]:
    """``found`` in parts, each as large as ``size`` says when its turn comes."""
    while some := list(itertools.islice(found, size())):
        yield some


def window_of(rate: float | None, least: int = WINDOW) -> int:
    """How many pictures to name at a time where so many are judged a second."""
    return max(least, min(MOST_WINDOWS * least, round((rate or 0) * WINDOW_SECONDS)))


class _Teller:
    """Tells of the progress, now and then also in a file for other terminals."""

    def __init__(self, folder: Path, progress: Progress, on_progress: OnProgress) -> None:
        self.folder, self.progress, self.on_progress = folder, progress, on_progress
        self._began: float | None = None
        self._written = 0.0

    def begin(self) -> None:
        self.progress.state = "running"
        self.tell(always=True)

    def came(self, table: pa.Table, kind: Kind) -> None:
        self.progress.counts.add(Counts.of(kind, table))
        self.progress.now += len(table)
        if self._began is None:
            self._began, self.progress.first = time.monotonic(), len(table)
        self.progress.seconds = time.monotonic() - self._began
        self.tell()

    def tell(self, always: bool = False) -> None:
        self.on_progress(self.progress)
        now = time.monotonic()
        if always or now - self._written > PROGRESS_SECONDS:
            self._written = now
            with contextlib.suppress(InvalidSettingError):  # the rows count; where they cannot be written, that is told
                write_text(self.folder / PROGRESS_NAME, json.dumps(self.progress.record()) + "\n")
