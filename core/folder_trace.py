"""Trace many files one after another: every file ends in a row, finished ones are not traced twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import torch

from .errors import InvalidImageError, LatentTracerError
from .folder import FolderListing
from .journal import Journal
from .picture_file import Picture, PictureFile, UnreadableFile, content_digest, read_bytes
from .safe_text import clean_text
from .trace_row import TraceRow, failed_row, unreadable_row


def trace_files(
    listing: FolderListing, journal: Journal, trace: Callable[[Picture], TraceRow]
) -> Iterator[tuple[TraceRow, bool]]:
    """The row of every file of ``listing``, and whether the ``journal`` already had it; refused files come last.

    ``trace`` makes the row of one picture. Whatever goes wrong with one file becomes the error of its row; only an
    interrupt ends the run. A row is in the journal before it is yielded, unless the file may well be traced next time.
    """
    total = len(listing.files)
    for position, file in enumerate(listing.files, start=1):
        try:
            content = read_bytes(file)
        except InvalidImageError as error:  # not in the journal: it may be readable next time
            yield unreadable_row(UnreadableFile(file.name, _reason(error, file.name))), False
            continue
        digest = content_digest(content)
        if digest in journal.finished:
            yield dataclasses.replace(journal.finished[digest], name=file.name), True
            continue
        row, lasts = _row_of(file, content, digest, trace, position, total)
        if lasts:
            journal.add(row)
        yield row, False
    for refused in listing.refused:
        yield unreadable_row(refused), False


def _row_of(
    file: PictureFile, content: bytes, digest: str, trace: Callable[[Picture], TraceRow], position: int, total: int
) -> tuple[TraceRow, bool]:
    """The row of one file, and whether another run would say the same: not where memory or disk ran out."""
    unreadable = UnreadableFile(file.name, "", digest, len(content))
    try:
        picture = Picture.read(file, content, position=position, total=total)
    except InvalidImageError as error:
        return unreadable_row(dataclasses.replace(unreadable, error=_reason(error, file.name))), True
    try:
        return trace(picture), True
    except Exception as error:  # one picture's failure must not cost the others their verdicts
        reason = _reason(error, file.name)
        lasts = isinstance(error, LatentTracerError)
    try:
        return failed_row(picture.facts, picture.upright, reason), lasts
    except Exception:  # there may be no memory for a thumbnail either
        return unreadable_row(dataclasses.replace(unreadable, error=reason)), lasts


def _reason(error: Exception, name: str) -> str:
    """One clean sentence, without the name: a copy of the file under another one shares the row."""
    if isinstance(error, LatentTracerError):
        return clean_text(str(error).removeprefix(f"{name} "), 500)
    text = clean_text(str(error) or "no message", 300)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error):
        return f"could not be judged, the memory did not suffice ({text}): close other programs or trace a part of it."
    if isinstance(error, OSError):
        return f"could not be finished ({text}): see that the place can be written and has room."
    return f"could not be judged, by a defect of this program ({type(error).__name__}: {text}): please report it."
