"""Trace many files one after another: every file ends in a row, finished ones are not traced twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import InvalidImageError, LatentTracerError, NotEnoughMemoryError, is_out_of_memory, visible
from ..files.folder import FolderListing
from ..files.picture import Picture, PictureFile, UnreadableFile, content_digest, read_bytes
from ..files.read_ahead import read_ahead
from ..storage.safe_text import clean_text
from ..tracing.row import TraceRow, failed_row, unreadable_row
from ..tracing.traced import Traced
from ..tracing.tracer import Tracer
from .journal import Journal

Finish = Callable[[Traced], Traced]
# Files that are read, hashed and decoded while one is judged: the largest takes a gigabyte.
AHEAD = 1


@dataclass(frozen=True)
class _Read:
    """The ``digest`` of a file, empty where it could not be read; its ``picture``, ``None`` where none is needed."""

    digest: str
    picture: Picture | UnreadableFile | None


@dataclass(frozen=True)
class Outcome:
    """What became of one file. ``traced`` is ``None`` where it could not be judged, and where an ``earlier`` run did.

    ``final`` is false for an answer that is out while its explanation is still to come.
    """

    file: PictureFile | UnreadableFile
    row: TraceRow
    traced: Traced | None = None
    final: bool = True
    earlier: bool = False


def trace_files(
    listing: FolderListing,
    trace: Callable[[Picture], Traced],
    tracer: Tracer,
    *,
    finish: Finish | None = None,
    journal: Journal | None = None,
) -> Iterator[Outcome]:
    """The outcome of every file of ``listing``; refused files come last.

    ``trace`` judges one picture, ``tracer`` makes its row, ``finish`` adds what may take longer: the explanation, a
    drawing. Whatever goes wrong with one file becomes the error of its row, or a note on its answer; only an interrupt
    ends the run. With a ``journal`` a row is in it before it is yielded, unless the file may well be traced next time,
    and a file whose final row is in it already is not traced again.
    """
    finished = {} if journal is None else journal.finished

    def read(numbered: tuple[int, PictureFile]) -> _Read:
        position, file = numbered
        try:
            content = read_bytes(file)
        except InvalidImageError as error:
            return _Read("", UnreadableFile(file.name, reason_of(error, file.name)))
        digest = content_digest(content)
        if digest in finished:
            return _Read(digest, None)
        return _Read(digest, opened(file, content, digest, position=position, total=len(listing.files)))

    for (_, file), found in read_ahead(enumerate(listing.files, start=1), read, AHEAD):
        if not found.digest:  # not in the journal: it may be readable next time
            assert isinstance(found.picture, UnreadableFile)
            yield Outcome(file, unreadable_row(found.picture))
            continue
        if found.picture is None or found.digest in finished:  # a copy may have been traced since it was read
            yield Outcome(file, dataclasses.replace(finished[found.digest], name=file.name), earlier=True)
            continue
        outcome, lasts = outcome_of(file, found.picture, trace, tracer)
        if outcome.traced is not None and finish is not None:
            yield from _begun(outcome, journal)
            traced = _finished(outcome.traced, finish)
            outcome = dataclasses.replace(outcome, row=tracer.row(traced), traced=traced)
            lasts = lasts and traced.is_complete
        if journal is not None and lasts:
            journal.add(outcome.row)
        yield outcome
    for refused in listing.refused:
        yield Outcome(refused, unreadable_row(refused))


def _begun(outcome: Outcome, journal: Journal | None) -> Iterator[Outcome]:
    if journal is not None:
        journal.add(outcome.row, final=False)
    yield dataclasses.replace(outcome, final=False)


def _finished(traced: Traced, finish: Finish) -> Traced:
    try:
        return finish(traced)
    except Exception as error:  # the answer stands
        note = reason_of(error, traced.picture.facts.name)
        return dataclasses.replace(traced, notes=(*traced.notes, note), is_complete=False)


def opened(
    file: PictureFile, content: bytes, digest: str, *, position: int = 1, total: int = 1
) -> Picture | UnreadableFile:
    """The picture in ``content``, or why there is none. May run in any thread, ahead of :func:`outcome_of`."""
    try:
        return Picture.read(file, content, position=position, total=total)
    except InvalidImageError as error:
        return UnreadableFile(file.name, reason_of(error, file.name), digest, len(content))


def outcome_of(
    file: PictureFile, picture: Picture | UnreadableFile, trace: Callable[[Picture], Traced], tracer: Tracer
) -> tuple[Outcome, bool]:
    """The outcome of one file, and whether another run would say the same: not where memory or disk ran out.

    What cannot be read is read again, which costs little: a plugin may have been installed, or memory freed.
    """
    if isinstance(picture, UnreadableFile):
        return Outcome(file, unreadable_row(picture)), False
    try:
        traced = trace(picture)
        return Outcome(file, tracer.row(traced), traced), True
    except Exception as error:  # one picture's failure must not cost the others their verdicts
        reason = reason_of(error, file.name)
        lasts = isinstance(error, LatentTracerError) and not isinstance(error, NotEnoughMemoryError)
    try:
        return Outcome(file, failed_row(picture.facts, picture.upright, reason)), lasts
    except Exception:  # there may be no memory for a thumbnail either
        unreadable = UnreadableFile(file.name, reason, picture.facts.digest, picture.facts.size)
        return Outcome(file, unreadable_row(unreadable)), lasts


def reason_of(error: Exception, name: str) -> str:
    """One clean sentence, without the name: a copy of the file under another one shares the row."""
    if isinstance(error, LatentTracerError):
        return clean_text(str(error).removeprefix(f"{visible(name)} "), 500)
    text = clean_text(str(error) or "no message", 300)
    if is_out_of_memory(error):
        return f"could not be judged, the memory did not suffice ({text}): close other programs or trace a part of it."
    if isinstance(error, OSError):
        return f"could not be finished ({text}): see that the place can be written and has room."
    return f"could not be judged, by a defect of this program ({type(error).__name__}: {text}): please report it."
