"""Trace many files one after another: every file ends in a row, finished ones are not traced twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from .errors import InvalidImageError, LatentTracerError
from .folder import FolderListing
from .journal import Journal
from .picture_file import Picture, UnreadableFile, content_digest, read_bytes
from .safe_text import clean_text
from .trace_row import TraceRow, failed_row, unreadable_row


def trace_files(
    listing: FolderListing, journal: Journal, trace: Callable[[Picture], TraceRow]
) -> Iterator[tuple[TraceRow, bool]]:
    """The row of every file of ``listing``, and whether the ``journal`` already had it; refused files come last.

    ``trace`` makes the row of one picture; a :class:`LatentTracerError` it raises becomes the row's
    error. A row is in the journal before it is yielded.
    """
    total = len(listing.files)
    for position, file in enumerate(listing.files, start=1):
        try:
            content = read_bytes(file)
        except InvalidImageError as error:  # not in the journal: it may be readable next time
            yield unreadable_row(UnreadableFile(file.name, _without_name(error, file.name))), False
            continue
        digest = content_digest(content)
        if digest in journal.finished:
            yield dataclasses.replace(journal.finished[digest], name=file.name), True
            continue
        try:
            picture = Picture.read(file, content, position=position, total=total)
        except InvalidImageError as error:
            row = unreadable_row(UnreadableFile(file.name, _without_name(error, file.name), digest, len(content)))
        else:
            try:
                row = trace(picture)
            except LatentTracerError as error:
                row = failed_row(picture.facts, picture.upright, _without_name(error, file.name))
        journal.add(row)
        yield row, False
    for refused in listing.refused:
        yield unreadable_row(refused), False


def _without_name(error: LatentTracerError, name: str) -> str:
    """A copy of the file under another name shares the row, and with it the message."""
    return clean_text(str(error).removeprefix(f"{name} "), 500)
