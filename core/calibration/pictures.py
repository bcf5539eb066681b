"""Pictures to calibrate on, read one by one: of each only the part that is used, and of copies only the first."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from ..errors import InvalidImageError, InvalidSettingError
from ..images.same_picture import SeenPictures
from ..profiles.thresholds import pictures_needed

# Of so many the least rate that can be stated is 1/6 (conformal p-values, 1/(n+1)).
MIN_IMAGES = 5


class HasPixels(Protocol):
    """Anything read from a file that holds its picture ``[1,3,H,W]`` in [0,1]."""

    @property
    def pixels(self) -> Tensor:
        """``[1,3,H,W]`` in [0,1]."""


GivenPicture = Tensor | HasPixels


@dataclass
class IndependentPictures:
    """``given`` pictures as (number, part) in their order; the part is ``None`` where one is left out.

    ``part`` cuts what is used, or raises :class:`InvalidImageError` for what cannot be. Numbers begin at ``first``.
    What is counted here grows while the pictures are read; no more than one of them is in memory at a time.
    """

    given: Iterable[GivenPicture]
    part: Callable[[Tensor], Tensor]
    first: int = 0
    read: int = 0
    copies: int = 0
    counted: int = 0
    _wholes: SeenPictures = field(default_factory=SeenPictures)
    _parts: SeenPictures = field(default_factory=SeenPictures)

    @property
    def expected(self) -> int | None:
        """How many there will be, where that is known beforehand."""
        hint = operator.length_hint(self.given, -1)
        return None if hint < 0 else hint

    def __iter__(self) -> Iterator[tuple[int, Tensor | None]]:
        """(number, part ``[1,3,h,w]`` in [0,1]) of each picture; (-1, ``None``) for copies and what cannot be used."""
        for picture in self.given:
            self.read += 1
            pixels = picture if isinstance(picture, Tensor) else picture.pixels
            entry = self._look_at(pixels)
            del picture, pixels  # a generator keeps its variables while it waits
            yield entry

    def _look_at(self, pixels: Tensor) -> tuple[int, Tensor | None]:
        try:
            # A view would keep the whole picture in memory.
            part = self.part(pixels).clone()
            # Other crops of one photograph may differ as a whole and be the same where they are looked at.
            is_new = self._wholes.number_of(pixels)[1]
            is_new = self._parts.number_of(part)[1] and is_new
        except InvalidImageError:
            return -1, None
        if not is_new:
            self.copies += 1
            return -1, None
        self.counted += 1
        return self.first + self.counted - 1, part

    def at_least(self, needed: int, fpr: float, guarantee: float | None) -> Iterator[tuple[int, Tensor | None]]:
        """As iterating, parts ``[1,3,h,w]``, once ``needed`` can be used: else raises :class:`InvalidSettingError`."""
        entries = iter(self)
        early = []
        while self.counted < needed:
            try:
                early.append(next(entries))
            except StopIteration:
                copies = f" (and {self.copies} that repeat them)" if self.copies else ""
                raise InvalidSettingError(
                    f"Calibration needs at least {needed} readable photographs, got {self.counted}{copies}: add more"
                    f" (a false-positive rate of {100 * fpr:g} % needs {pictures_needed(fpr, guarantee)})."
                ) from None
        return itertools.chain(early, entries)


def check_rates(fpr: float, fnr: float, guarantee: float | None) -> None:
    """Raise :class:`InvalidSettingError` for rates that no calibration can aim at."""
    if not (0 < fpr < 0.5 and 0 < fnr < 0.5):
        raise InvalidSettingError(f"fpr and fnr must lie between 0 and 0.5, got {fpr} and {fnr}.")
    if guarantee is not None and not 0.5 <= guarantee <= 0.9999:
        raise InvalidSettingError(f"The guarantee is a confidence from 0.5 to 0.9999, got {guarantee}: 0.95 is usual.")
