"""A folder of pictures for calibration: one at a time, so that its size costs no memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from ..core import InvalidImageError, InvalidSettingError, Picture
from ..core.files.folder import list_folder
from .console import say


class FolderPictures:
    """Iterates over the pixels ``[1,3,H,W]`` of every picture under ``folder``; unreadable ones are listed, not fatal.

    ``len`` counts the files. Raises :class:`InvalidSettingError` for a folder without picture files, or, once read,
    without a readable one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listing = list_folder(folder)
        if not self.listing.files:
            raise InvalidSettingError(f"There is no picture in {folder}: give a folder of PNG, JPEG or WebP files.")

    def __len__(self) -> int:
        return len(self.listing.files)

    def __iter__(self) -> Iterator[Tensor]:
        unreadable = [f"{file.name} {file.error}" for file in self.listing.refused]
        for file in self.listing.files:
            try:
                pixels = Picture.read(file).pixels
            except InvalidImageError as error:
                unreadable.append(str(error))
                continue
            yield pixels
            del pixels
        total = len(self) + len(self.listing.refused)
        if unreadable:
            say(f"skipped {len(unreadable)} unreadable of {total} files in {self.folder}:")
            for line in unreadable:
                say(f"  {line}")
        if len(unreadable) == total:
            raise InvalidSettingError(
                f"There is no readable picture in {self.folder}: give a folder of PNG, JPEG or WebP files."
            )
