"""One picture's answer, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from ..files.picture import Picture
from ..inversion.latents import Inversion
from ..inversion.objective import Passes
from ..profiles import Profile
from ..scores.placement import Placement
from ..scores.protocol import Scored
from ..verdicts.doubt import History
from ..verdicts.verdict import Verdict


@dataclass(frozen=True)
class Traced:
    """One picture's answer and what it rests on.

    ``history`` is what the pixels tell of the picture's past, ``profile`` the calibration that answered, ``scored`` the
    score with the first reconstruction it made; each ``None`` where it did not come to that. ``seconds`` and
    ``peak_bytes`` (beyond weights and picture) are those of the answer and, if there is one, of the ``inversion``.
    ``placement``: how the picture was taken to lie for a yes, where not as it does.
    ``is_complete`` is false where what was asked for beside the answer may well succeed another time.
    """

    picture: Picture
    model: str
    fingerprint: str
    verdict: Verdict
    seconds: float
    peak_bytes: int
    history: History | None = None
    profile: Profile | None = None
    scored: Scored | None = None
    inversion: Inversion | None = None
    notes: tuple[str, ...] = ()
    is_complete: bool = True
    placement: Placement | None = None

    @classmethod
    def of_inversion(cls, inversion: Inversion, index: int, verdict: Verdict, profile: Profile | None = None) -> Traced:
        """An answer that was found on another road, about image ``index`` of an ``inversion``."""
        alone = inversion.alone(index)
        return cls(
            Picture.of(alone.images),
            inversion.autoencoder,
            inversion.fingerprint,
            verdict,
            alone.seconds[0],
            max(alone.peak_bytes, default=0),
            profile=profile,
            inversion=alone,
            notes=inversion.notes,
        )

    @property
    def passes(self) -> Passes:
        """Passes of the networks for the answer and the explanation."""
        judged = Passes() if self.scored is None else self.scored.passes
        return judged if self.inversion is None else judged + self.inversion.passes[0]
