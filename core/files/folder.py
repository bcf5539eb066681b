"""Folders of pictures: what lies in them, listed without leaving them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidSettingError
from ..storage.safe_text import clean_text
from .formats import PICTURE_SUFFIXES, READ_FORMATS
from .picture import PictureFile, UnreadableFile


@dataclass(frozen=True)
class FolderListing:
    """The picture files of a folder in the order of their names; ``refused`` ones were not opened."""

    files: tuple[PictureFile, ...]
    refused: tuple[UnreadableFile, ...] = ()
    other_files: int = 0

    def __add__(self, other: FolderListing) -> FolderListing:
        return FolderListing(
            self.files + other.files, self.refused + other.refused, self.other_files + other.other_files
        )


def list_folder(folder: str | Path, *, below: bool = True, leave_out: Iterable[Path] = ()) -> FolderListing:
    """The pictures in ``folder`` (and ``below`` it), by their extension; ``leave_out`` names folders to pass over.

    Links to folders are not followed, links to files only where they stay inside ``folder``. Raises
    :class:`InvalidSettingError` unless ``folder`` is one that can be read and holds pictures.
    """
    root = Path(folder)
    if not os.path.isdir(root):
        raise InvalidSettingError(f"{clean_text(str(root))} is not a folder: give a folder of pictures.")
    files: list[PictureFile] = []
    problems: list[UnreadableFile] = []
    other_files = 0
    for found in walk_folder(root, below=below, leave_out=leave_out):
        if isinstance(found, PictureFile):
            files.append(found)
        elif isinstance(found, UnreadableFile):
            problems.append(found)
        else:
            other_files += 1
    if not files and problems and problems[0].name == ".":
        raise InvalidSettingError(f"{clean_text(str(root))}: {problems[0].error}: allow it to be read.")
    if not files and not problems:
        passed = f" ({other_files} other files were passed over)" if other_files else ""
        raise InvalidSettingError(
            f"There is no picture in {clean_text(str(root))}{passed}: give a folder of {READ_FORMATS} files."
        )
    return FolderListing(
        tuple(sorted(files, key=lambda file: file.name)), tuple(sorted(problems, key=lambda one: one.name)), other_files
    )


def walk_folder(
    root: Path, *, below: bool = True, leave_out: Iterable[Path] = ()
) -> Iterator[PictureFile | UnreadableFile | None]:
    """What :func:`list_folder` lists, one by one and folder by folder, so that a million files cost no memory.

    ``None`` for a file without a picture's extension.
    """
    inside = os.path.realpath(root)
    passed_over = {os.path.realpath(path) for path in leave_out}
    problems: list[UnreadableFile] = []

    def note_problem(error: OSError) -> None:
        where = os.path.relpath(error.filename or root, root)
        problems.append(UnreadableFile(where, f"the folder cannot be read ({error.strerror})"))

    for current, folders, names in os.walk(root, onerror=note_problem, followlinks=False):
        folders[:] = sorted(
            n for n in folders if below and os.path.realpath(os.path.join(current, n)) not in passed_over
        )
        yield from problems
        problems.clear()
        for name in sorted(names):
            path = Path(current, name)
            if path.suffix.lower() not in PICTURE_SUFFIXES:
                yield None
                continue
            shown = path.relative_to(root).as_posix()
            if not _is_inside(inside, os.path.realpath(path)):
                yield UnreadableFile(shown, "is a link that leads out of the folder: it was not opened")
            elif os.path.exists(path) and not os.path.isfile(path):  # opening a pipe would wait for ever
                yield UnreadableFile(shown, "is no ordinary file: it was not opened")
            else:
                yield PictureFile(path, shown)
    yield from problems


def _is_inside(folder: str, path: str) -> bool:
    try:
        return os.path.commonpath((folder, path)) == folder
    except ValueError:  # another drive
        return False
