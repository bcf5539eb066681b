"""What a worker does with pictures: from where they lie to their records. Nothing here knows of Ray.

The verdict is the tracer's; this reads files ahead of it, and has the pictures of a batch share their passes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from ..core.errors import InvalidImageError, LatentTracerError
from ..core.files.picture import Picture, PictureFile, UnreadableFile, content_digest
from ..core.files.read_ahead import read_ahead
from ..core.models.autoencoder import Autoencoder, ModuleAutoencoder
from ..core.profiles.families import Families
from ..core.reports.folder_trace import opened, outcome_of, reason_of
from ..core.scores.decoder_grid import grid_of
from ..core.tracing.attribute import attribute
from ..core.tracing.family import held, which_family
from ..core.tracing.gathered import Gathering
from ..core.tracing.row import TraceRow
from ..core.tracing.tracer import Tracer
from ..core.verdicts.attribution import attribution_record
from ..core.verdicts.family import family_record
from .inputs import Source, read_source
from .schema import FAMILY_FIELDS, Kind

Read = tuple[Source, Picture | UnreadableFile]
# Pictures that are read ahead, beyond those of a batch. A picture of the largest size takes a gigabyte.
AHEAD = 2
# So many pixels at most wait together for shared passes.
MOST_PIXELS = 32_000_000


class DeviceLostError(BaseException):
    """The device failed for good in this process: not the picture's fault, and no other would fare better here."""


class Work(Protocol):
    """One question, with its models, asked of many pictures. A copy of it goes to every worker."""

    kind: Kind

    def begin(self, device: str) -> None:
        """Move the models to ``device`` and measure what is measured once."""

    def records(self, sources: Sequence[Source]) -> Iterator[dict[str, Any]]:
        """A record for each of ``sources``, whatever is wrong with it, in any order.

        Raises :class:`DeviceLostError` alone.
        """

    def failed(self, source: Source, reason: str) -> dict[str, Any]:
        """The record of a picture that was not judged."""


class _Holder(Protocol):
    """What asks through a model."""

    autoencoder: Autoencoder


class _Shared:
    """What the questions have in common: the models of ``holders``, and ``batch`` pictures that share passes."""

    def __init__(self, holders: Sequence[_Holder], batch: int) -> None:
        self.batch = batch
        self._holders = tuple(holders)
        self._gathering: Gathering | None = None

    def begin(self, device: str) -> None:
        for holder in self._holders:
            autoencoder = holder.autoencoder
            assert isinstance(autoencoder, ModuleAutoencoder)
            autoencoder.to(torch.device(device))
            with contextlib.suppress(LatentTracerError):  # told of every picture
                grid_of(autoencoder)
        if self.batch > 1:
            self._gathering = Gathering()
            for holder in self._holders:
                holder.autoencoder = self._gathering.shared(holder.autoencoder)

    def records(self, sources: Sequence[Source]) -> Iterator[dict[str, Any]]:
        pictures = read_ahead(sources, read_picture, AHEAD + (self.batch if self.batch > 1 else 0))
        if self._gathering is None:
            for source, picture in pictures:
                yield self._record(source, picture)
            return
        for chunk in alike(pictures, self.batch):
            works = [_bound(self._record, source, picture) for source, picture in chunk]
            for ended in self._gathering.run(works):
                # Of the memory and the time, this one's part.
                yield self._with_cost(ended.get(), ended.seconds)

    def _record(self, source: Source, picture: Picture | UnreadableFile) -> dict[str, Any]:
        raise NotImplementedError

    def _with_cost(self, record: dict[str, Any], seconds: float) -> dict[str, Any]:
        costs = {"seconds": None if record["seconds"] is None else round(seconds, 3), "peak_bytes": None}
        return {**record, **{name: cost for name, cost in costs.items() if name in record}}


class TraceWork(_Shared):
    """Does each picture belong to the model of ``tracer``? ``vae``: as it was given."""

    kind: Kind = "trace"

    def __init__(self, tracer: Tracer, vae: str, *, checks_refusal: bool = True, batch: int = 1) -> None:
        super().__init__([tracer], batch)
        self.tracer = tracer
        self.vae, self.checks_refusal = vae, checks_refusal

    def failed(self, source: Source, reason: str) -> dict[str, Any]:
        return TraceRow(source.name, error=reason).to_json(source.image, self.vae)

    def _record(self, source: Source, picture: Picture | UnreadableFile) -> dict[str, Any]:
        judge = told_of_lost(lambda one: self.tracer.trace(one, checks_refusal=self.checks_refusal))
        outcome, _ = outcome_of(PictureFile(Path(source.place), source.name), picture, judge, self.tracer)
        return replace(outcome.row, name=source.name).to_json(source.image, self.vae)


class _Answering(_Shared):
    """Questions whose record is an answer about a picture, or an error in its place."""

    def failed(self, source: Source, reason: str) -> dict[str, Any]:
        raise NotImplementedError

    def _answer(self, image: str, picture: Picture) -> dict[str, Any]:
        raise NotImplementedError

    def _record(self, source: Source, picture: Picture | UnreadableFile) -> dict[str, Any]:
        if isinstance(picture, UnreadableFile):
            return {**self.failed(source, picture.error), "digest": picture.digest}
        began = time.perf_counter()
        try:
            record = told_of_lost(lambda one: self._answer(source.image, one))(picture)
        except Exception as error:  # one picture's failure must not cost the others their answers
            record = self.failed(source, reason_of(error, source.name))
        about = {"error": record.get("error", ""), "name": source.name, "digest": picture.facts.digest}
        return {**record, **about, "seconds": round(time.perf_counter() - began, 3)}


class AttributeWork(_Answering):
    """Which of the models made each picture? Every candidate is asked while the picture is in memory."""

    kind: Kind = "attribute"

    def __init__(self, tracers: Sequence[Tracer], batch: int) -> None:
        super().__init__(tracers, batch)
        self.tracers = tuple(tracers)

    def failed(self, source: Source, reason: str) -> dict[str, Any]:
        empty: dict[str, Any] = {"vae": None, "reason": None, "tied": [], "candidates": [], "fpr": None}
        return {"image": source.image, **empty, "error": reason, "name": source.name, "digest": "", "seconds": None}

    def _answer(self, image: str, picture: Picture) -> dict[str, Any]:
        return attribution_record(image, attribute(self.tracers, picture))


@dataclass
class _Proxy:
    """A tiny autoencoder that stands for a family."""

    autoencoder: Autoencoder


class FamilyWork(_Answering):
    """Which family of models made each picture? Every one of ``proxies`` is asked while the picture is in memory."""

    kind: Kind = "family"

    def __init__(self, proxies: Sequence[Autoencoder], families: Families, batch: int = 1) -> None:
        self.proxies, self.families = tuple(map(_Proxy, proxies)), families
        super().__init__(self.proxies, batch)

    def failed(self, source: Source, reason: str) -> dict[str, Any]:
        empty: dict[str, Any] = dict.fromkeys(FAMILY_FIELDS) | {"scores": [], "missing": []}
        return {**empty, "image": source.image, "error": reason, "name": source.name, "digest": "", "seconds": None}

    def _answer(self, image: str, picture: Picture) -> dict[str, Any]:
        opened = [held(proxy.autoencoder) for proxy in self.proxies]
        (verdict,) = which_family(opened, [picture], self.families)
        record = family_record(image, verdict)
        # A column of a table has the same fields in every row, whatever proxies are called.
        scores = [{"proxy": name, **score} for name, score in record["scores"].items()]
        return {**record, "scores": scores, "claims": picture.facts.claims.sentence}


def told_of_lost(judge: Callable[[Picture], Any]) -> Callable[[Picture], Any]:
    """``judge``, which raises :class:`DeviceLostError` for what no handler of pictures' errors may take."""

    def judged(picture: Picture) -> Any:
        try:
            return judge(picture)
        except RuntimeError as error:
            if is_lost(error):
                raise DeviceLostError(str(error)) from None
            raise

    return judged


def is_lost(error: BaseException) -> bool:
    """Whether ``error`` is one after which CUDA answers nothing more in this process."""
    return not isinstance(error, torch.OutOfMemoryError) and any(
        sign in str(error) for sign in ("CUDA error", "CUBLAS_STATUS", "CUDNN_STATUS_EXECUTION_FAILED")
    )


def read_picture(source: Source) -> Picture | UnreadableFile:
    """The picture that lies at ``source``, or why there is none."""
    if source.refused:
        return UnreadableFile(source.name, source.refused)
    file = PictureFile(Path(source.place), source.name)
    try:
        content = read_source(source)
        return opened(file, content, content_digest(content))
    except InvalidImageError as error:
        return UnreadableFile(source.name, reason_of(error, source.name))
    except Exception as error:  # a thread's failure is its picture's
        return UnreadableFile(source.name, reason_of(error, source.name))


def alike(pictures: Iterator[Read], batch: int) -> Iterator[list[Read]]:
    """Chunks of at most ``batch``, equal sizes together as far as few enough pixels wait."""
    waiting: list[Read] = []
    for one in pictures:
        waiting.append(one)
        if len(waiting) >= 4 * batch or sum(map(_pixels, waiting)) > MOST_PIXELS:
            yield from _chunks(waiting, batch)
            waiting = []
    yield from _chunks(waiting, batch)


def _chunks(waiting: list[Read], batch: int) -> Iterator[list[Read]]:
    by_size: dict[Any, list[Read]] = {}
    for one in waiting:
        picture = one[1]
        shape = picture.pixels.shape if isinstance(picture, Picture) else None
        by_size.setdefault(shape, []).append(one)
    for group in by_size.values():
        for start in range(0, len(group), batch):
            yield group[start : start + batch]


def _pixels(one: Read) -> int:
    return one[1].pixels[0, 0].numel() if isinstance(one[1], Picture) else 0


def _bound(
    record: Callable[[Source, Picture | UnreadableFile], dict[str, Any]], source: Source, picture: Any
) -> Callable[[], dict[str, Any]]:
    return lambda: record(source, picture)
