"""How often each source's pictures are called belonging when a profile does not know them: counted, not assumed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..images.conditions import NO_JPEG, jpeg_quality_of
from .profile import Profile
from .source import Source
from .thresholds import accepted_rank, rate_interval, shown_rate

HEADINGS = ("source", "pictures", "stated rate", "called belonging (95 % interval)")
Judged = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class SourceRow:
    """``accepted`` of ``n`` pictures of ``source`` are called belonging, rightly where it ``belongs``.

    ``stated``: the rate claimed for it, ``None`` where none is. ``interval``: 95 % Clopper–Pearson.
    """

    source: str
    belongs: bool
    n: int
    stated: float | None
    accepted: int
    interval: tuple[float, float]

    @property
    def cells(self) -> tuple[str, str, str, str]:
        low, high = self.interval
        return (
            self.source,
            str(self.n),
            "" if self.stated is None else shown_rate(self.stated),
            f"{self.accepted} ({shown_rate(self.accepted / self.n)}; {shown_rate(low)} to {shown_rate(high)})",
        )


def source_table(profile: Profile) -> tuple[SourceRow, ...]:
    """Each belonging source, each other one, and each other decoder as if the calibration had not known it.

    A picture is judged by what the profile would say without that picture in any source, so no row is true by
    construction. Of several versions of a picture one accepted version counts for others, one refused for belonging.
    """
    as_calibrated = _like(profile, profile.condition)
    rows = [_row(f"own: {source.name}", as_calibrated, _judged([source]), True) for source in profile.belonging]
    for source in profile.others:
        n = len(source.lowest)
        stated = accepted_rank(n, profile.fpr, profile.guarantee) / (n + 1)
        rows.append(_row(source.name, _like(profile, source.history), _judged([source]), False, stated))
    for decoder in dict.fromkeys(name for source in profile.others for name in source.decoders):
        its_own, rest = [], []
        for source in profile.others:
            its_own.append(source.where(_is_made_by(source, decoder)))
            rest.append(source.where([not made for made in _is_made_by(source, decoder)]))
        others = tuple(source for source in rest if source.scores)
        if others:
            ignorant = replace(profile, others=others)
            rows.append(_row(f"{decoder}, left out", ignorant, _judged(its_own), False, profile.stated_fpr))
    return tuple(rows)


def found_among_belonging(profile: Profile) -> SourceRow:
    """One row for all belonging pictures: found where each version of the picture is."""
    return _row("own pictures", _like(profile, profile.condition), _judged(profile.belonging), True)


def _like(profile: Profile, history: str) -> Profile:
    """``profile`` as it judges a picture of that ``history``."""
    quality = jpeg_quality_of(history)
    return profile if quality == NO_JPEG else profile.like(quality)


def _judged(sources: Iterable[Source]) -> Judged:
    return [pair for source in sources for pair in zip(source.pictures, source.scores, strict=True)]


def _is_made_by(source: Source, decoder: str) -> list[bool]:
    return [name == decoder for name in source.decoders] or [False] * len(source.scores)


def _row(name: str, profile: Profile, judged: Judged, belongs: bool, stated: float | None = None) -> SourceRow:
    by_picture: dict[int, list[float]] = {}
    for picture, score in judged:
        by_picture.setdefault(picture, []).append(score)
    together = all if belongs else any
    accepted = 0
    for picture, scores in by_picture.items():
        low, high = _thresholds_without(profile, picture)
        accepted += together(score < low and score <= high for score in scores)
    return SourceRow(name, belongs, len(by_picture), stated, accepted, rate_interval(accepted, len(by_picture)))


def _thresholds_without(profile: Profile, picture: int) -> tuple[float, float]:
    """Acceptance and refusal threshold from all pictures but one; without a picture left, nothing is accepted."""

    def rest(sources: tuple[Source, ...]) -> tuple[Source, ...]:
        return tuple(source.where([one != picture for one in source.pictures]) for source in sources)

    others, belonging = rest(profile.others), rest(profile.belonging)
    if not all(source.scores for source in (*others, *belonging)):
        return -math.inf, math.inf
    without = replace(profile, others=others, belonging=belonging)
    return without.acceptance_threshold, without.refusal_threshold
