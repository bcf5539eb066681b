"""What ``latent-tracer corpus`` does with a question once it is asked: settings, progress, and the exit code."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..core import Autoencoder, InvalidSettingError
from ..version import VERSION
from .console import emit_json, is_terminal, on_errors, say, show

if TYPE_CHECKING:
    from ..corpus.engine import Engine
    from ..corpus.run import Progress as RunProgress
    from ..corpus.work import Work

# Without a terminal a line now and then.
TELL_SECONDS = 60.0


@dataclass(frozen=True)
class CorpusRun:
    """What a command was given: ``models``, called ``names``, and of their ``calibrations`` what rows depend on.

    ``shown``: about these, for people.
    """

    models: Sequence[Autoencoder]
    names: Sequence[str]
    calibrations: Mapping[str, Any]
    shown: Mapping[str, str]
    inputs: Sequence[str]
    output: Path
    engine: Engine
    batch: int
    as_json: bool
    retry_errors: bool

    def __call__(self, work: Work, **further: Any) -> int:
        """The exit code is 2 if anything could not be judged."""
        from ..corpus.run import run_corpus
        from ..corpus.settings import RunSettings
        from ..corpus.status import counted

        if os.path.exists(self.output) and not os.path.isdir(self.output):
            raise InvalidSettingError(f"{self.output} is a file: give a folder for the rows.")
        inputs = tuple(map(_absolute, self.inputs))
        settings = RunSettings(work.kind, inputs, {**self._settings(), **further}, dict(self.shown))
        with _progress() as tell:
            end = run_corpus(work, settings, self.output, self.engine, tell, retry_errors=self.retry_errors)
        if end.earlier:
            say(f"{end.earlier} of {end.total} had been finished before.")
        if self.as_json:
            emit_json(end.record())
        else:
            show(f"{end.counts.rows} rows: {counted(end.counts)}\n{self.output}")
        return 2 if end.counts.errors else 0

    def _settings(self) -> dict[str, Any]:
        """All that rows depend on beside their files."""
        return {
            "release": VERSION,
            "models": [model.fingerprint for model in self.models],
            "names": list(self.names),
            **self.calibrations,
            "device": self.engine.device,
            "batch": self.batch,
        }


def _absolute(given: str) -> str:
    """So that the command may be given again from elsewhere."""
    return given if "://" in given else str(Path(given).absolute())


@contextmanager
def _progress() -> Iterator[Any]:
    """What tells of a run's progress on standard error: a bar, and where there is no terminal a line now and then."""
    if not is_terminal():
        yield _Lines()
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("{task.fields[told]}", markup=False))  # fmt: skip
    with Progress(*columns, console=on_errors(), transient=True) as bar:
        task = bar.add_task("judging", total=None, told="")

        def tell(progress: RunProgress) -> None:
            bar.update(task, description=progress.state, total=progress.total,
                       completed=progress.earlier + progress.now, told=_told(progress))  # fmt: skip

        yield tell


class _Lines:
    """A line when the state changes, and every minute."""

    def __init__(self) -> None:
        self._state, self._said = "", 0.0

    def __call__(self, progress: RunProgress) -> None:
        if progress.state == self._state and progress.seconds - self._said < TELL_SECONDS:
            return
        self._state, self._said = progress.state, progress.seconds
        say(f"{progress.state}: {progress.earlier + progress.now} of {progress.total} {_told(progress)}".rstrip())


def _told(progress: RunProgress) -> str:
    from ..corpus.status import counted, duration

    rate = progress.rate
    speed = "" if rate is None else f"{rate:.2f}/s, {duration(progress.remaining_seconds)} to go; "
    return speed + (counted(progress.counts) if progress.counts.rows else "")
