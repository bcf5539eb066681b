"""A profile: what is known about one decoder's scores, and the error rates that so many pictures support."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..errors import InvalidProfileError
from ..images.conditions import LOSSY, NO_JPEG, jpeg_quality_of
from ..models.weight_digest import is_old_digest, same_weights
from .grid import Grid
from .limits import Limits
from .source import Source
from .thresholds import accepted_rank, lower_p_value, pictures_needed, rate_bound, shown_rate, upper_p_value
from .trust import HANDED_OVER

FORMAT = "latent-tracer-profile"
VERSION = 2
# Estimates of a JPEG quality are one off at most where all is well (benchmarks/results/constants.md).
JPEG_TOLERANCE = 2


@dataclass(frozen=True)
class Profile:
    """Calibration of one score for one decoder under one condition.

    ``fingerprint``: the digest of the decoder's weights, by the name it has in files. Scores are lower for belonging
    images. ``belonging`` and ``others`` hold them by source; rates count pictures, not versions, and the weakest source
    sets them. ``fpr`` and ``fnr`` are the rates asked for, on average over calibrations or, with ``guarantee`` (a
    confidence), as bounds; :attr:`stated_fpr` and :attr:`fpr_bound` are what so many pictures support.
    ``image_sizes``: smallest and largest side in pixels. ``pictures_given`` and ``pictures_counted``: before and after
    copies were left out, ``None`` where a profile of format 1 does not tell.
    ``calibration``: whose it is, see :mod:`.trust`; no part of the file.
    """

    fingerprint: str
    autoencoder: str
    score: str
    score_settings: dict[str, Any]
    condition: str
    image_sizes: tuple[int, int]
    calibrated_on: str
    belonging: tuple[Source, ...]
    others: tuple[Source, ...]
    pictures_given: int | None = None
    pictures_counted: int | None = None
    grid: Grid | None = None
    fpr: float = 0.01
    fnr: float = 0.01
    guarantee: float | None = None
    limits: Limits = Limits()
    notes: tuple[str, ...] = ()
    calibration: str = field(default=HANDED_OVER, compare=False)

    @property
    def belonging_scores(self) -> tuple[float, ...]:
        return tuple(score for source in self.belonging for score in source.scores)

    @property
    def non_belonging_scores(self) -> tuple[float, ...]:
        return tuple(score for source in self.others for score in source.scores)

    def p_value(self, score: float) -> float:
        """Conformal p-value under "the image does not belong": how often such a picture scores this low.

        The largest over the sources: pooled, the easy ones would excuse the hard one.
        """
        return max(lower_p_value(score, source.lowest) for source in self.others)

    def belonging_p_value(self, score: float) -> float:
        """Conformal p-value under "the image belongs": how often a belonging picture scores this high.

        The largest over the sources, so that it holds whichever of them the picture under test is like.
        """
        return max(upper_p_value(score, source.highest) for source in self.belonging)

    @property
    def smallest_p_value(self) -> float:
        """The p-value of a score below all others."""
        return 1 / (min(len(source.lowest) for source in self.others) + 1)

    def accepts(self, score: float) -> bool:
        """Whether so low a score is rare enough among all sources of other images."""
        return score < self.acceptance_threshold

    def refuses(self, score: float) -> bool:
        """Whether so high a score is rare enough among all sources of belonging images."""
        return score > self.refusal_threshold

    @functools.cached_property
    def acceptance_threshold(self) -> float:
        """Scores below it are accepted: the smallest over the sources of their k-th lowest picture.

        As no source's own threshold is exceeded, each source's rate, and by the source whose quantile is lowest all of
        them at once, keep the bound of one.
        """
        return min(float(s.lowest[accepted_rank(len(s.lowest), self.fpr, self.guarantee) - 1]) for s in self.others)

    @functools.cached_property
    def refusal_threshold(self) -> float:
        """Scores above it are refused: the largest over the belonging sources of their k-th highest picture."""
        return max(float(s.highest[-accepted_rank(len(s.highest), self.fnr, self.guarantee)]) for s in self.belonging)

    @property
    def stated_fpr(self) -> float:
        """The false-positive rate of a belonging answer on average over calibrations, of the weakest source."""
        return max(k / (n + 1) for k, n in self._ranks(self.others, self.fpr))

    @property
    def fpr_bound(self) -> float:
        """What that rate is at most under this one calibration, with 95 % confidence."""
        return max(rate_bound(k, n) for k, n in self._ranks(self.others, self.fpr))

    @property
    def stated_fnr(self) -> float:
        """The false-negative rate of a non-belonging answer on average over calibrations, of the weakest source."""
        return max(k / (n + 1) for k, n in self._ranks(self.belonging, self.fnr))

    @property
    def fnr_bound(self) -> float:
        return max(rate_bound(k, n) for k, n in self._ranks(self.belonging, self.fnr))

    @property
    def shortfall(self) -> str:
        """What is said where so few pictures cannot support a rate asked for; else empty."""
        yes = self._shortfall(self.others, self.fpr, "independent pictures", "false-positive")
        few = min(self.belonging, key=lambda source: len(source.lowest))
        kind = "really generated pictures" if few.kind == "generated" else "belonging pictures"
        return yes or self._shortfall(self.belonging, self.fnr, kind, "false-negative")

    def _shortfall(self, sources: tuple[Source, ...], rate: float, pictures: str, error: str) -> str:
        guarantee = self.guarantee
        ranks = self._ranks(sources, rate)
        reached = max(k / (n + 1) if guarantee is None else rate_bound(k, n, guarantee) for k, n in ranks)
        if reached <= rate + 1e-9:
            return ""
        how = "on average" if guarantee is None else f"with {100 * guarantee:g} % confidence"
        return (
            f"{min(n for _, n in ranks)} {pictures} support a {error} rate of {shown_rate(reached)} {how}, not"
            f" {shown_rate(rate)}: that takes {pictures_needed(rate, guarantee)}."
        )

    def _ranks(self, sources: tuple[Source, ...], rate: float) -> list[tuple[int, int]]:
        sizes = {len(source.lowest) for source in sources}
        return [(accepted_rank(n, rate, self.guarantee), n) for n in sizes]

    def like(self, jpeg: int | None) -> Profile:
        """The profile without the sources that an image which shows JPEG of quality ``jpeg`` is not comparable with.

        A profile for JPEG files keeps those whose images went through JPEG of that quality, or of the next above and
        below it, of each kind: an image that shows it was neither left as it was made nor ever in a rougher file. What
        other decoders made counts as it was calibrated, if nothing nearer is known. Any other profile, and one for an
        image that shows none, is kept whole.
        """
        if jpeg is None or jpeg_quality_of(self.condition) == NO_JPEG:
            return self

        def nearest(qualities: set[int]) -> set[int]:
            below = [quality for quality in qualities if quality <= jpeg + JPEG_TOLERANCE]
            above = [quality for quality in qualities if quality >= jpeg - JPEG_TOLERANCE]
            return {max(below) if below else min(above), min(above) if above else max(below)}

        def is_kept(source: Source) -> bool:
            kin = (one for one in self.others if one.origin == source.origin)
            return jpeg_quality_of(source.history) in nearest({jpeg_quality_of(one.history) for one in kin})

        return replace(self, others=tuple(filter(is_kept, self.others)))

    @property
    def covers_lossy_files(self) -> bool:
        """Whether pictures out of lossy files are among the non-belonging ones: then a yes holds for such files too."""
        return any(source.history in LOSSY for source in self.others)

    def check(self, digest: str, score: str, settings: dict[str, Any], grid: Grid | None = None) -> None:
        """Raise :class:`InvalidProfileError` unless the profile was made for this decoder, score, settings and grid."""
        if is_old_digest(self.fingerprint):
            raise InvalidProfileError(
                "The profile was made with an earlier release, whose weight digests did not tell biases or the order of"
                " layers apart: calibrate again."
            )
        if not same_weights(self.fingerprint, digest):
            raise InvalidProfileError(
                f"The profile was calibrated for {self.autoencoder} ({self.fingerprint[:8]}), not for this decoder"
                f" ({digest[:8]}): calibrate this one, or load the profile's own VAE."
            )
        if (self.score, self.score_settings) != (score, settings):
            raise InvalidProfileError(
                f"The profile holds {self.score} scores with {self.score_settings}, not {score} with {settings}:"
                " use its score or calibrate again."
            )
        if grid is not None and self.grid is not None and grid != self.grid:
            raise InvalidProfileError(
                f"The profile was calibrated on a grid of {self.grid.period} pixels from {self.grid.phase} on, this"
                f" decoder's has {grid.period} from {grid.phase} on: calibrate again."
            )

    def content(self) -> dict[str, Any]:
        """What the file holds and its digest covers."""
        content = asdict(self)
        del content["calibration"]
        return content

    def to_json(self) -> str:
        """The file: deterministic, with no number that JSON lacks (ValueError)."""
        content = self.content()
        record = {"format": FORMAT, "version": VERSION, **content, "digest": digest_of(content)}
        return json.dumps(record, indent=1, allow_nan=False) + "\n"


def digest_of(content: dict[str, Any]) -> str:
    """SHA-256 over what a profile's record says beside its format, version and digest: it shows damage, not honesty."""
    said = {key: value for key, value in content.items() if key not in ("format", "version", "digest")}
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
