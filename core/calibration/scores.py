"""Scores of calibration samples, one by one, kept by source with the picture behind each."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from torch import Tensor

from ..errors import InvalidImageError, InvalidSettingError
from ..profiles import Source
from .pictures import MIN_IMAGES


@dataclass(frozen=True)
class CalibrationStep:
    """Progress, given to ``on_image``: images scored so far of all (``None``: not known), and what the last one was, in
    words and by its ``kind`` (see :class:`Source`).

    ``photographs``: how many are finished, with all their versions, of so many ``expected``. ``measured``: scores that
    were computed, ``kept``: those that were taken over from a calibration that was stopped.
    """

    done: int
    total: int | None
    source: str
    kind: str = ""
    photographs: int = 0
    expected: int | None = None
    measured: int = 0
    kept: int = 0


@dataclass(frozen=True)
class Sample:
    """One picture to score: of what ``kind`` (see :class:`Source`), whether the inspected model made it, who else did.

    ``number``: of the photograph behind it. ``history``: the alteration it went through, in place of the condition that
    all others go through. ``pixels`` are ``None`` where the photograph is left out, which ``stands_for`` samples.
    ``is_last``: of its photograph.
    """

    kind: str
    belongs: bool
    number: int
    pixels: Tensor | None
    history: str = ""
    decoder: str = ""
    stands_for: int = 1
    is_last: bool = False

    @property
    def name(self) -> str:
        """For progress."""
        names = {"perturbed": "decoded, perturbed", "decoder": "decoded"}
        if self.belongs and self.kind == "generated":
            return "really generated"
        by = f" by {self.decoder}" if self.decoder else ""
        return names.get(self.kind, self.kind) + by + (f", {self.history}" if self.history else "")


@dataclass
class CollectedScores:
    """Scores by source, and the sides (pixels) of the pictures behind them."""

    condition: str
    sides: list[int] = field(default_factory=list)
    scored: int = 0
    skipped: int = 0
    _found: dict[tuple[bool, str, str, str], list[tuple[int, float]]] = field(default_factory=dict)

    @property
    def image_sizes(self) -> tuple[int, int]:
        """The shortest side that nine of ten pictures reach, and the longest of all.

        Scores scatter the more the smaller the picture: a few small ones among large must not admit others like them.
        """
        shortest = sorted(map(min, zip(self.sides[::2], self.sides[1::2], strict=True)))
        return shortest[len(shortest) // 10], max(self.sides)

    def add(self, sample: Sample, value: float, sides: tuple[int, int]) -> None:
        self.scored += 1
        self.sides += sides
        key = (sample.belongs, sample.kind, sample.history or self.condition, sample.decoder)
        self._found.setdefault(key, []).append((sample.number, value))

    def sources(self, belonging: bool) -> tuple[Source, ...]:
        return tuple(
            Source(
                kind,
                tuple(value for _, value in scores),
                tuple(number for number, _ in scores),
                history,
                (decoder,) * len(scores) if decoder else (),
            )
            for (belongs, kind, history, decoder), scores in self._found.items()
            if belongs == belonging
        )

    @property
    def notes(self) -> list[str]:
        left_out = f"{self.skipped} of {self.scored + self.skipped} samples could not be scored and were left out"
        return [left_out] if self.skipped else []


S = TypeVar("S", bound=CollectedScores)


def collect_scores(
    samples: Iterable[tuple[S, Sample]],
    score_of: Callable[[S, Sample], tuple[float, tuple[int, int]]],
    total: int | None,
    on_image: Callable[[CalibrationStep], None] | None = None,
) -> None:
    """Score all ``samples``, each for the collection that it comes with.

    ``score_of`` gives the score of a sample and the sides of what it judged, in pixels, or raises
    :class:`InvalidImageError` for what cannot be scored; it is not asked for a photograph that is left out.
    """
    done = photographs = 0
    for scores, sample in samples:
        value, sides = math.nan, (0, 0)
        if sample.pixels is not None:
            # What cannot be scored (flat, too small once altered, NaN from a broken decoder) calibrates nothing.
            with contextlib.suppress(InvalidImageError):
                value, sides = score_of(scores, sample)
            if math.isfinite(value):
                scores.add(sample, value, sides)
            else:
                scores.skipped += 1
        done += sample.stands_for
        photographs += sample.is_last
        if on_image is not None:
            on_image(CalibrationStep(done, total, sample.name, sample.kind, photographs))


def check_enough(scores: CollectedScores) -> None:
    """Raise :class:`InvalidSettingError` where fewer than five of either kind could be scored."""
    own, other = _counts(scores)
    if not is_enough(scores):
        raise InvalidSettingError(
            f"Only {own} belonging and {other} other samples gave finite scores under {scores.condition}: at least"
            f" {MIN_IMAGES} of each are needed."
        )


def is_enough(scores: CollectedScores) -> bool:
    return min(_counts(scores)) >= MIN_IMAGES


def _counts(scores: CollectedScores) -> tuple[int, int]:
    """Scores of belonging samples and of others."""
    own, other = (sum(len(one.scores) for one in scores.sources(belongs)) for belongs in (True, False))
    return own, other
