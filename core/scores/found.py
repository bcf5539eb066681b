"""What a search for another placement of a picture ended with, and whether that is a sign of the decoder."""

from __future__ import annotations

from dataclasses import dataclass

from ..inversion.objective import Passes
from .placement import Placement

# A picture may have been made so where the evidence of the whole is below this, and its contrast at least this share
# of what the decoder's own version of it shows after the same delivery, less where it was reduced: of an own picture
# the version lacks detail that its first reduction took (benchmarks/results/signs.md).
SIGN_EVIDENCE, SIGN_SHARE = -2.0, 0.4


@dataclass(frozen=True)
class Found:
    """The placement under which a picture looks most like the decoder's work. ``looks``: how many were looked at.

    ``score``: the contrast of the whole picture there, ``strength``: its :meth:`.ContrastMap.evidence`; ``unseen`` and
    ``evidence``: contrast of what was not looked at to choose it, and the evidence of that; so many ``tests`` of
    placements were made. ``control``: the contrast there of the decoder's own version of the picture, delivered alike,
    0 where the evidence is no reason to ask. ``scale``: of its sides since it was made.
    """

    placement: Placement
    score: float
    looks: int
    passes: Passes
    evidence: float = 0.0
    tests: int = 1
    unseen: float = 0.0
    strength: float = 0.0
    control: float = 0.0
    scale: float = 1.0

    @property
    def is_sign(self) -> bool:
        """Whether the picture shows so much of a trace there that it can get no *no*."""
        share = SIGN_SHARE * min(1.0, self.scale)
        return self.strength < SIGN_EVIDENCE and self.control < 0 and self.score < share * self.control
