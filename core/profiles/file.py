"""Profile files: read strictly, or refused in one sentence; never anything between."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..errors import InvalidProfileError, InvalidSettingError
from ..storage.atomic import write_text
from ..storage.safe_text import clean_text
from . import format_1
from .consistency import contradiction
from .fields import Fields, Wrong
from .grid import Grid
from .limits import LARGEST, Limit, Limits
from .profile import FORMAT, Profile, digest_of
from .source import BELONGING_KINDS, OTHER_KINDS, Source
from .trust import MADE_HERE, calibration_of, remember

MAX_BYTES = 20 * 2**20
MAX_DEPTH = 6
MAX_SCORES = 200_000
# A file of several conditions. One alone is written as before, which earlier releases read.
SEVERAL = 3
MAX_CONDITIONS = 20


def load_profile(path: str | Path) -> Profile:
    """As :func:`load_profiles`, of a file of one condition; raises :class:`InvalidProfileError` for several."""
    return _the_one(load_profiles(path), str(path))


def load_profiles(path: str | Path) -> tuple[Profile, ...]:
    """Read one decoder's profiles, one for each condition.

    Raises :class:`InvalidProfileError` with the reason when they cannot be trusted.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InvalidProfileError(f"{path} is larger than {MAX_BYTES // 2**20} MiB: it is no profile.")
        record = json.loads(content.decode(), object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise InvalidProfileError(f"There is no profile at {path}: calibrate first.") from None
    except InvalidProfileError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidProfileError(f"{path} is no readable JSON profile ({error}): calibrate again.") from None
    return parse_profiles(record, str(path))


def save_profile(profile: Profile, path: str | Path) -> None:
    """As :func:`save_profiles`, of one."""
    save_profiles([profile], path)


def save_profiles(profiles: Sequence[Profile], path: str | Path) -> None:
    """Write one decoder's ``profiles``, one for each condition, whole or not at all.

    Those calibrated here are remembered as made on this machine. Raises :class:`InvalidProfileError` where they cannot
    be written, or could never be read again.
    """
    text = profiles[0].to_json() if len(profiles) == 1 else _together(profiles)
    parse_profiles(json.loads(text), "The new profile")
    try:
        write_text(Path(path), text)
    except InvalidSettingError as error:
        raise InvalidProfileError(str(error)) from error
    if all(profile.calibration == MADE_HERE for profile in profiles):
        remember(digest_of(json.loads(text)))


def _together(profiles: Sequence[Profile]) -> str:
    content = {"profiles": [profile.content() for profile in profiles]}
    record = {"format": FORMAT, "version": SEVERAL, **content, "digest": digest_of(content)}
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(key for key in found if sum(key == one for one, _ in pairs) > 1)
        raise ValueError(f"the key {repeated[:50]!r} occurs twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def parse_profile(record: Any, where: str) -> Profile:
    """As :func:`parse_profiles`, of a record that holds one."""
    return _the_one(parse_profiles(record, where), where)


def _the_one(profiles: Sequence[Profile], where: str) -> Profile:
    if len(profiles) > 1:
        held = ", ".join(profile.condition for profile in profiles)
        raise InvalidProfileError(f"{where} holds several conditions ({held}): name a profile of one.")
    return profiles[0]


def parse_profiles(record: Any, where: str) -> tuple[Profile, ...]:
    """Check decoded JSON field by field; raises :class:`InvalidProfileError`, which begins with ``where``."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InvalidProfileError(f"{where} is not a Latent Tracer profile: choose a file that calibrate wrote.")
    # Those of several conditions lie in a list.
    if _deeper_than(record, MAX_DEPTH + 2 * ("profiles" in record)):
        raise InvalidProfileError(f"{where} is nested deeper than any profile: calibrate again.")
    version = record.get("version")
    if type(version) is not int or not 1 <= version <= SEVERAL:
        raise InvalidProfileError(
            f"{where} has profile version {clean_text(str(version), 20)}, this release reads 1 to {SEVERAL}: update"
            " it, or calibrate again."
        )
    content = {key: value for key, value in record.items() if key not in ("format", "version", "digest")}
    try:
        fields = Fields(content, "")
        fields.only(*(("profiles",) if version == SEVERAL else format_1.FIELDS if version == 1 else _FIELDS))
        digest = digest_of(content)
        if record.get("digest") != digest:
            raise InvalidProfileError(f"{where} was changed or damaged after it was written: calibrate again.")
        profiles = {1: _first, 2: _one, SEVERAL: _several}[version](fields)
    except Wrong as error:
        raise InvalidProfileError(f"{where} {error}: calibrate again.") from None
    for profile in profiles:
        reason = contradiction(profile)
        if reason:
            raise InvalidProfileError(f"{where} contradicts itself ({reason}): calibrate again.")
        object.__setattr__(profile, "calibration", calibration_of(digest))
    return profiles


_FIELDS = (
    *("fingerprint", "autoencoder", "score", "score_settings", "condition", "image_sizes", "calibrated_on"),
    *("belonging", "others", "pictures_given", "pictures_counted", "grid", "fpr", "fnr", "guarantee", "limits"),
    "notes",
)


def _first(fields: Fields) -> tuple[Profile, ...]:
    return (format_1.parse(fields),)


def _one(fields: Fields) -> tuple[Profile, ...]:
    return (_parse(fields),)


def _several(fields: Fields) -> tuple[Profile, ...]:
    parts = fields.tables("profiles")
    if not 2 <= len(parts) <= MAX_CONDITIONS:
        fields.wrong("profiles")
    profiles = []
    for part in parts:
        part.only(*_FIELDS)
        profiles.append(_parse(part))
    first = profiles[0]
    if len({profile.condition for profile in profiles}) < len(profiles):
        raise Wrong("holds one condition twice")
    if any((one.fingerprint, one.grid) != (first.fingerprint, first.grid) for one in profiles):
        raise Wrong("holds profiles of different decoders")
    return tuple(profiles)


def _parse(fields: Fields) -> Profile:
    grid, guarantee = fields.table_or_none("grid"), fields.value("guarantee")
    if grid is not None:
        grid.only("period", "phase")
    limits = fields.table("limits")
    limits.only(*LARGEST)
    profile = Profile(
        **format_1.common(fields),
        belonging=tuple(_source(one, BELONGING_KINDS) for one in fields.tables("belonging")),
        others=tuple(_source(one, OTHER_KINDS) for one in fields.tables("others")),
        pictures_given=fields.count("pictures_given", optional=True),
        pictures_counted=fields.count("pictures_counted", optional=True),
        grid=None if grid is None else Grid(grid.whole("period", 1, 4096), grid.whole("phase", 0, 4095)),
        guarantee=None if guarantee is None else fields.number("guarantee", 0.5, 0.9999),
        limits=Limits(**{name: _limit(limits, name) for name in LARGEST}),
    )
    if sum(len(source.scores) for source in (*profile.belonging, *profile.others)) > MAX_SCORES:
        raise Wrong(f"holds more than {MAX_SCORES} scores")
    return profile


def _source(fields: Fields, kinds: tuple[str, ...]) -> Source:
    fields.only("kind", "scores", "pictures", "history", "decoders", "under")
    kind = fields.text("kind")
    if kind not in kinds:
        fields.wrong("kind")
    scores = fields.numbers("scores")
    pictures = fields.wholes("pictures")
    decoders = fields.texts("decoders")
    if len(pictures) != len(scores) or len(decoders) not in (0, len(scores)):
        raise Wrong(f"does not name the picture and decoder of every score in {fields.place}")
    # Format 1 named some sources by labels that say neither who made them nor that nobody did: those keep theirs.
    if kind != "other" and (kind in ("decoder", "generated") and kinds is OTHER_KINDS) != bool(decoders):
        fields.wrong("decoders")
    return Source(kind, scores, pictures, fields.text("history"), decoders, fields.text("under"))


def _limit(limits: Fields, name: str) -> Limit | None:
    held = limits.table_or_none(name)
    if held is None:
        return None
    held.only("value", "n", "rate")
    rate = held.value("rate")
    return Limit(
        held.number("value", 0.0, LARGEST[name]),
        held.whole("n", 1, 10**9),
        None if rate is None else held.number("rate", 1e-9, 1.0),
    )


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for holder in level
            if isinstance(holder, (dict, list))
            for inner in (holder.values() if isinstance(holder, dict) else holder)
        ]
        if not level:
            return False
    return any(isinstance(one, (dict, list)) for one in level)
