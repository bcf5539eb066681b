"""One question about each picture of a listing: the loop that commands with one answer a picture share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core import Picture
from ..core.errors import visible
from ..core.files.folder import FolderListing
from ..core.reports.folder_trace import reason_of
from .console import emit_json, progress_bar, say, show

# Passes that are done, and how many are expected.
Advance = Callable[[int, int], None]
# What is asked of a picture and its path: the JSON object, and the same in words.
Ask = Callable[[Picture, str, Advance], tuple[dict[str, Any], str]]


def ask_each(
    listing: FolderListing,
    doing: str,
    unanswered: dict[str, Any],
    ask: Ask,
    as_json: bool,
    failures: list[dict[str, Any]] | None = None,
) -> int:
    """Show the answer of ``ask`` to each picture of ``listing``; returns the exit code, 2 where one has none.

    ``doing``: what the progress bar says; ``unanswered``: JSON fields of a picture that has no answer; ``failures``:
    gathers the objects of these.
    """
    failures = [] if failures is None else failures

    def failed(image: str, name: str, reason: str) -> None:
        failures.append({"image": image, **unanswered, "error": reason})
        say(f"latent-tracer: {visible(name)} {reason}")
        if as_json:
            emit_json(failures[-1])

    with progress_bar(len(listing.files), doing) as (progress, task):
        for position, file in enumerate(listing.files):

            def advance(done: int, expected: int, position: int = position) -> None:
                progress.update(task, completed=position + done / (expected + 1))

            try:
                record, words = ask(Picture.read(file), str(file.path), advance)
            except Exception as error:  # one picture's failure must not cost the others their answers
                failed(str(file.path), file.name, reason_of(error, file.name))
                continue
            if as_json:
                emit_json(record)
            else:
                show(f"{visible(file.name)}: {words}")
    for refused in listing.refused:
        failed(refused.name, refused.name, refused.error)
    return 2 if failures else 0
