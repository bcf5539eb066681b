"""Profiles: what is known about one decoder's scores, kept as a versioned JSON file."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import compress
from pathlib import Path
from typing import Any

from .atomic import write_text
from .conditions import CONDITIONS, LOSSY, NO_JPEG, jpeg_quality_of
from .errors import LatentTracerError
from .thresholds import lower_p_value, rate_interval, upper_p_value

EMBEDDED = Path(__file__).parent / "embedded"
FORMAT = "latent-tracer-profile"
VERSION = 1
# Estimates of a JPEG quality are one off at most where all is well.
JPEG_TOLERANCE = 2


class InvalidProfileError(LatentTracerError):
    """A profile that cannot be used: corrupted, altered by hand, newer, or made for another decoder or score."""


@dataclass(frozen=True)
class Profile:
    """Calibration of one score for one decoder under one condition.

    Scores are lower for belonging images. ``fpr`` and ``fnr`` are the rates asked for; :attr:`stated_fpr` is what so
    many calibration images can support. ``image_sizes``: smallest and largest side in pixels.
    """

    fingerprint: str
    autoencoder: str
    score: str
    score_settings: dict[str, Any]
    quantiser: str
    decode_path: str
    condition: str
    image_sizes: tuple[int, int]
    calibrated_on: str
    belonging_scores: tuple[float, ...]
    non_belonging_scores: tuple[float, ...]
    non_belonging_sources: tuple[str, ...]
    fpr: float = 0.01
    fnr: float = 0.01
    thresholds: dict[str, Any] = field(default_factory=dict)
    error_rates: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def stated_fpr(self) -> float:
        """The false-positive rate of a belonging answer: ``fpr``, or 1/(n+1) where n images cannot show that little.

        n is the smallest number of images from any one source, see :meth:`p_value`.
        """
        return max(self.fpr, self.smallest_p_value)

    @property
    def smallest_p_value(self) -> float:
        """The p-value of a score below all others."""
        return 1 / (min(len(scores) for scores in self.scores_by_source.values()) + 1)

    @property
    def scores_by_source(self) -> dict[str, list[float]]:
        """The non-belonging scores of each source: the photographs, each other decoder's versions of them."""
        sources: dict[str, list[float]] = {}
        for source, score in zip(self.non_belonging_sources, self.non_belonging_scores, strict=True):
            sources.setdefault(source, []).append(score)
        return sources

    def history_of(self, source: str) -> str:
        """The condition that the others of ``source`` went through: named at its end, else the profile's own."""
        _, comma, named = source.rpartition(", ")
        named = named.split(" under ")[0]
        return named if comma and named in CONDITIONS else self.condition

    def like(self, jpeg: int | None) -> Profile:
        """The profile without the sources that an image which shows JPEG of quality ``jpeg`` is not comparable with.

        A profile for JPEG files keeps those whose images went through JPEG of that quality, or of the next above and
        below it: an image that shows it was neither left as it was made nor ever in a rougher file. Any other profile,
        and one for an image that shows none, is kept whole.
        """
        qualities = {source: jpeg_quality_of(self.history_of(source)) for source in set(self.non_belonging_sources)}
        if jpeg is None or jpeg_quality_of(self.condition) == NO_JPEG:
            return self
        below = [quality for quality in qualities.values() if quality <= jpeg + JPEG_TOLERANCE]
        above = [quality for quality in qualities.values() if quality >= jpeg - JPEG_TOLERANCE]
        bounds = {max(below) if below else min(above), min(above) if above else max(below)}
        kept = [qualities[source] in bounds for source in self.non_belonging_sources]
        return replace(
            self,
            non_belonging_scores=tuple(compress(self.non_belonging_scores, kept)),
            non_belonging_sources=tuple(compress(self.non_belonging_sources, kept)),
        )

    @property
    def covers_lossy_files(self) -> bool:
        """Whether pictures out of lossy files are among the non-belonging ones: then a yes holds for such files too."""
        return any(source.endswith(LOSSY) for source in set(self.non_belonging_sources))

    @property
    def stated_fnr(self) -> float:
        return max(self.fnr, 1 / (len(self.belonging_scores) + 1))

    def p_value(self, score: float) -> float:
        """Conformal p-value under "the image does not belong": how often such an image scores this low.

        The largest over the sources of non-belonging images: pooled, the easy sources would excuse the hard one, and
        several versions of one photograph would count as independent images.
        """
        return max(lower_p_value(score, scores) for scores in self.scores_by_source.values())

    def belonging_p_value(self, score: float) -> float:
        """Conformal p-value under "the image belongs": how often a belonging image scores this high."""
        return upper_p_value(score, self.belonging_scores)

    def check(self, fingerprint: str, score: str, settings: dict[str, Any]) -> None:
        """Raise :class:`InvalidProfileError` unless the profile was made for this decoder, score and settings."""
        if self.fingerprint != fingerprint:
            raise InvalidProfileError(
                f"The profile was calibrated for {self.autoencoder} ({self.fingerprint[:8]}), not for this decoder"
                f" ({fingerprint[:8]}): calibrate this one, or load the profile's own VAE."
            )
        if (self.score, self.score_settings) != (score, settings):
            raise InvalidProfileError(
                f"The profile holds {self.score} scores with {self.score_settings}, not {score} with {settings}:"
                " use its score or calibrate again."
            )

    def to_json(self) -> str:
        content = asdict(self)
        record = {"format": FORMAT, "version": VERSION, **content, "digest": _digest(content)}
        return json.dumps(record, indent=1, allow_nan=False) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the profile, whole or not at all; raises :class:`InvalidSettingError` where it cannot be written."""
        write_text(Path(path), self.to_json())


def load_profile(path: str | Path) -> Profile:
    """Read a profile; raises :class:`InvalidProfileError` with the reason when it cannot be trusted."""
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidProfileError(f"There is no profile at {path}: calibrate first.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidProfileError(f"{path} is no readable JSON profile ({error}): calibrate again.") from None
    return parse_profile(record, str(path))


def parse_profile(record: Any, where: str) -> Profile:
    """Check a decoded JSON profile field by field."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InvalidProfileError(f"{where} is not a Latent Tracer profile: choose a file that calibrate wrote.")
    version = record.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise InvalidProfileError(
            f"{where} has profile version {version}, this release reads 1 to {VERSION}: update it, or calibrate again."
        )
    names = {entry.name for entry in fields(Profile)}
    content = {key: value for key, value in record.items() if key not in ("format", "version", "digest")}
    if set(content) != names:
        odd = ", ".join(sorted(set(content) ^ names))
        raise InvalidProfileError(f"{where} lacks or adds fields ({odd}): calibrate again.")
    if record.get("digest") != _digest(content):
        raise InvalidProfileError(f"{where} was changed or damaged after it was written: calibrate again.")
    wrong = sorted(key for key, is_right in _FIELDS.items() if not is_right(content[key]))
    if wrong:
        raise InvalidProfileError(f"{where} holds missing or impossible values ({', '.join(wrong)}): calibrate again.")
    if len(content["non_belonging_scores"]) != len(content["non_belonging_sources"]):
        raise InvalidProfileError(f"{where} does not name the source of every score: calibrate again.")
    for key in ("image_sizes", "belonging_scores", "non_belonging_scores", "non_belonging_sources", "notes"):
        content[key] = tuple(content[key])
    return Profile(**content)


def measured_error_rates(profile: Profile) -> dict[str, Any]:
    """How many belonging calibration images the profile accepts, with the 95 % Clopper–Pearson interval."""
    scores = profile.belonging_scores
    quality = jpeg_quality_of(profile.condition)
    profile = profile if quality == NO_JPEG else profile.like(quality)
    hits = sum(profile.p_value(score) <= profile.stated_fpr for score in scores)
    low, high = rate_interval(hits, len(scores))
    return {"true_positive_rate": hits / len(scores), "interval_95": [low, high], "n": len(scores)}


def _is_number(value: Any) -> bool:
    # JSON's whole numbers have no bound: those beyond a float's range are no scores.
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_rate(value: Any) -> bool:
    return _is_number(value) and 0 < value < 1


def _is_scores(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_number, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and [type(side) for side in value] == [int, int] and 0 < value[0] <= value[1]


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "fingerprint": _is_text,
    "autoencoder": _is_text,
    "score": _is_text,
    "score_settings": _is_mapping,
    "quantiser": _is_text,
    "decode_path": _is_text,
    "condition": _is_text,
    "image_sizes": _is_sizes,
    "calibrated_on": _is_text,
    "belonging_scores": _is_scores,
    "non_belonging_scores": _is_scores,
    "non_belonging_sources": _is_texts,
    "fpr": _is_rate,
    "fnr": _is_rate,
    "thresholds": _is_mapping,
    "error_rates": _is_mapping,
    "notes": _is_texts,
}


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def builtin_profile(fingerprint: str) -> Profile | None:
    """The profile that ships for the decoder with these weights, or ``None``.

    Measured by this project on free pictures; a calibration of one's own comes closer to one's images.
    """
    for path in sorted(EMBEDDED.glob("*.profile.json")):
        profile = load_profile(path)
        if profile.fingerprint == fingerprint:
            return profile
    return None


@functools.cache
def default_profile() -> Profile:
    """What serves until a decoder is calibrated: other images' scores under several decoders, each its own source.

    Its fingerprint is that of no decoder, so no verdict of its own can rest on it.
    """
    return load_profile(EMBEDDED / "default.json")
