"""What real models' pictures and photographs scored through tiny autoencoders: the calibration of families.

One file for all families, of its own format: its scores are not those of a decoder's own pictures, and no profile of a
loaded VAE can be made of them.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidProfileError
from ..models.weight_digest import same_weights
from ..storage.safe_text import clean_text
from .fields import Fields, Wrong
from .profile import digest_of
from .thresholds import accepted_rank, lower_p_value, rate_bound, upper_p_value
from .trust import EMBEDDED

FORMAT = "latent-tracer-families"
# Of calibrations without weights of bands, and with these.
PLAIN, WEIGHTED = 1, 2
MAX_BYTES = 20 * 2**20
# What is not of any family: photographs, and pictures of models that no proxy stands for.
NO_FAMILY = "none"
# A family shows a signal where at least so many of its pictures were measured, and this share of them would be found.
LEAST_OWN, LEAST_SHARE = 5, 0.5
# A picture is refused only if a family's own would lie below it even were it measured so many errors too high.
ALLOWED_ERRORS = 2.0

Scores = NDArray[np.float64]
# Contrast and error of each band.
Bands = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class KnownPicture:
    """A picture behind the calibration, by its file's ``sha256``; ``model`` empty for a photograph."""

    sha256: str
    family: str
    model: str
    source: str


@dataclass(frozen=True)
class FamilyProxy:
    """The scores of the ``pictures`` of a calibration through the proxy of one ``family``, in the same order.

    ``digest``: that of the proxy's weights. ``contrasts`` and ``errors`` as in
    :class:`latent_tracer.core.scores.family_score.FamilyScore`. ``weights``: of the bands of a new picture, such that
    evidence of others scatters by one; ``evidence`` of each picture, by weights from those of other models and sources.
    Both are empty in a calibration by the contrast alone.
    """

    family: str
    proxy: str
    digest: str
    contrasts: tuple[float, ...]
    errors: tuple[float, ...]
    weights: tuple[float, ...] = ()
    evidence: tuple[float, ...] = ()


@dataclass(frozen=True)
class Families:
    """``systematic``: deviation of the contrasts of pictures that do not belong, however large they are;
    ``own_work``: contrast below which a picture shows the proxy's own trace. ``fpr``: rate asked for of all families
    together, ``fnr`` of each. ``score_settings``: what the scores depend on."""

    calibrated_on: str
    score_settings: dict[str, Any]
    systematic: float
    own_work: float
    fpr: float
    fnr: float
    pictures: tuple[KnownPicture, ...]
    proxies: tuple[FamilyProxy, ...]

    def of(self, digest: str) -> FamilyProxy | None:
        """The proxy with these weights."""
        return next((one for one in self.proxies if same_weights(one.digest, digest)), None)

    def evidence(self, proxy: FamilyProxy, contrast: float, error: float, bands: Bands = ()) -> float:
        """A score in deviations, below zero where the trace shows: of its ``bands`` where the proxy weighs them."""
        if not proxy.weights:
            return contrast / math.hypot(error, self.systematic)
        counted = zip(proxy.weights, bands, strict=True)
        return sum(weight * band / math.hypot(own, self.systematic) for weight, (band, own) in counted)

    def others(self, proxy: FamilyProxy) -> Scores:
        """Evidence of the pictures that are not of its family."""
        return self._evidence(proxy, False)

    def own(self, proxy: FamilyProxy) -> Scores:
        return self._evidence(proxy, True)

    def _evidence(self, proxy: FamilyProxy, own: bool) -> Scores:
        known = proxy.evidence or [
            self.evidence(proxy, *one) for one in zip(proxy.contrasts, proxy.errors, strict=True)
        ]
        return np.array([known[k] for k in self._places(proxy, own)])

    def _places(self, proxy: FamilyProxy, own: bool) -> list[int]:
        return [k for k, picture in enumerate(self.pictures) if (picture.family == proxy.family) is own]

    def rank(self, proxy: FamilyProxy, tests: int) -> int:
        """Of its others: what lies below the rank-th lowest is accepted, one of ``tests`` that share the rate."""
        return accepted_rank(len(self.others(proxy)), self.fpr / tests)

    def rate(self, proxy: FamilyProxy, tests: int) -> tuple[float, float]:
        """The false-positive rate of one of ``tests``, on average and at most with 95 % confidence for all together."""
        n, rank = len(self.others(proxy)), self.rank(proxy, tests)
        return rank / (n + 1), rate_bound(rank, n, 1 - 0.05 / tests)

    def p_value(self, proxy: FamilyProxy, evidence: float) -> float:
        """How often pictures of no such family score this low."""
        return lower_p_value(evidence, self.others(proxy))

    def own_p_value(self, proxy: FamilyProxy, contrast: float, error: float) -> float:
        """How often the family's own pictures have a contrast this high, measured with this ``error``."""
        own = [proxy.contrasts[k] for k in self._places(proxy, True)]
        return upper_p_value(contrast - ALLOWED_ERRORS * error, own)

    def refused_level(self, proxy: FamilyProxy) -> float:
        """The ``own_p_value`` up to which a picture is refused, which is the false-negative rate of that."""
        n = len(self.own(proxy))
        return accepted_rank(n, self.fnr) / (n + 1)

    def share_found(self, proxy: FamilyProxy, tests: int = 1) -> float:
        """Of its own pictures."""
        own, others = self.own(proxy), np.sort(self.others(proxy))
        return float((own < others[self.rank(proxy, tests) - 1]).mean()) if len(own) else 0.0

    def shows(self, proxy: FamilyProxy) -> bool:
        """Whether the family's pictures show a trace through its proxy at all."""
        return len(self.own(proxy)) >= LEAST_OWN and self.share_found(proxy) >= LEAST_SHARE

    def to_json(self) -> str:
        content = json.loads(json.dumps(asdict(self)))
        version = WEIGHTED if any(one.weights for one in self.proxies) else PLAIN
        if version == PLAIN:
            content["proxies"] = [{name: one[name] for name in _OF_PLAIN} for one in content["proxies"]]
        record = {"format": FORMAT, "version": version, **content, "digest": digest_of(content)}
        return json.dumps(record, indent=1, allow_nan=False) + "\n"


def load_families(path: str | Path) -> Families:
    """Read a calibration of families; raises :class:`InvalidProfileError` for a newer one or one that is damaged."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        record = json.loads(content.decode()) if len(content) <= MAX_BYTES else None
    except FileNotFoundError:
        raise InvalidProfileError(f"There is no calibration of families at {path}: check the path.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidProfileError(f"{path} is no readable calibration of families ({error}): use another.") from None
    return parse_families(record, str(path))


def parse_families(record: Any, where: str) -> Families:
    """Check decoded JSON field by field; raises :class:`InvalidProfileError`, which begins with ``where``."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InvalidProfileError(f"{where} is not a calibration of families: use the one that ships.")
    version = record.get("version")
    if type(version) is not int or version not in (PLAIN, WEIGHTED):
        raise InvalidProfileError(
            f"{where} has version {clean_text(str(version), 20)} of its format, this release reads up to {WEIGHTED}:"
            " update."
        )
    content = {key: value for key, value in record.items() if key not in ("format", "version", "digest")}
    if record.get("digest") != digest_of(content):
        raise InvalidProfileError(f"{where} was changed or damaged after it was written: use another copy.")
    try:
        return _parse(Fields(content, ""), version == WEIGHTED)
    except Wrong as error:
        raise InvalidProfileError(f"{where} {error}: use another copy.") from None


# Fields of a proxy in a calibration without weights.
_OF_PLAIN = ("family", "proxy", "digest", "contrasts", "errors")


def _parse(fields: Fields, is_weighted: bool) -> Families:
    fields.only(*Families.__dataclass_fields__)
    pictures = []
    for one in fields.tables("pictures"):
        one.only(*KnownPicture.__dataclass_fields__)
        pictures.append(KnownPicture(*(one.text(name) for name in KnownPicture.__dataclass_fields__)))
    proxies = []
    for one in fields.tables("proxies"):
        one.only(*(FamilyProxy.__dataclass_fields__ if is_weighted else _OF_PLAIN))
        contrasts, errors = one.numbers("contrasts"), one.numbers("errors")
        if not len(contrasts) == len(errors) == len(pictures) or min(errors) <= 0:
            raise Wrong(f"does not hold a contrast and an error of every picture in {one.place}")
        weighing = _weighing(one, len(pictures)) if is_weighted else ()
        proxies.append(
            FamilyProxy(one.text("family"), one.text("proxy"), one.text("digest"), contrasts, errors, *weighing)
        )
        if all(picture.family == proxies[-1].family for picture in pictures):
            raise Wrong(f"holds no picture that is not of the family in {one.place}")
    return Families(
        fields.text("calibrated_on"),
        fields.scalars("score_settings"),
        fields.number("systematic", 0, 1),
        fields.number("own_work", -10, 0),
        fields.rate("fpr"),
        fields.rate("fnr"),
        tuple(pictures),
        tuple(proxies),
    )


def _weighing(proxy: Fields, pictures: int) -> tuple[tuple[float, ...], ...]:
    """Weights of bands, and the evidence of pictures by such."""
    weights, evidence = proxy.numbers("weights"), proxy.numbers("evidence")
    if len(evidence) != pictures:
        raise Wrong(f"does not hold the evidence of every picture in {proxy.place}")
    return weights, evidence


@functools.cache
def shipped_families() -> Families:
    """The calibration that ships, of pictures that real models made."""
    return load_families(EMBEDDED / "families.json")
