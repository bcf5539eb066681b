"""Where calibration scores come from: typed, so that no role is ever read out of a name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from .thresholds import Scores

#: Of belonging images: decoded from a photograph's latent, from that latent with noise, or really generated.
BELONGING_KINDS = ("decoded", "perturbed", "generated")
#: Of other images: no decoder's, other decoders' versions of photographs, other generators', given without more.
OTHER_KINDS = ("photograph", "decoder", "generated", "other")


@dataclass(frozen=True)
class Source:
    """Scores of images of one ``kind`` that went one way, and which of them show the same picture.

    ``scores`` and ``pictures`` have the same length; equal numbers in ``pictures``, here or in another source of the
    profile, mean versions of one picture. Without ``pictures`` each score is that of a picture of its own.
    ``history``: the last known condition that the images went through. ``decoders``: for each score who made its image,
    empty where nobody did. ``under``: the decoder that scored them, where it is not the profile's own.
    """

    kind: str
    scores: tuple[float, ...]
    pictures: tuple[int, ...] = ()
    history: str = "clean"
    decoders: tuple[str, ...] = ()
    under: str = ""

    def __post_init__(self) -> None:
        if not self.pictures:
            object.__setattr__(self, "pictures", tuple(range(len(self.scores))))

    @property
    def origin(self) -> tuple[str, str, frozenset[str]]:
        """What its images are, whatever they went through: their kind, who scored and who made them."""
        return self.kind, self.under, frozenset(self.decoders)

    @functools.cached_property
    def lowest(self) -> Scores:
        """The lowest score of each picture, ascending: versions of one picture are no independent evidence.

        Counting pictures by their lowest score is conservative whichever version a new image is like.
        """
        return self._by_picture(min)

    @functools.cached_property
    def highest(self) -> Scores:
        """The highest score of each picture, ascending: the same for belonging images."""
        return self._by_picture(max)

    def _by_picture(self, extreme: Callable[[float, float], float]) -> Scores:
        kept: dict[int, float] = {}
        for picture, score in zip(self.pictures, self.scores, strict=True):
            kept[picture] = extreme(kept.get(picture, score), score)
        return np.sort(np.array(list(kept.values()), dtype=float))

    @property
    def identity(self) -> tuple[str, str, frozenset[str], str]:
        """What no two sources of a profile share."""
        return self.kind, self.history, frozenset(self.decoders), self.under

    def where(self, kept: Sequence[bool]) -> Source:
        """The part whose scores are ``kept``, a truth value for each; it may be empty."""
        return replace(
            self,
            scores=tuple(compress(self.scores, kept)),
            pictures=tuple(compress(self.pictures, kept)),
            decoders=tuple(compress(self.decoders, kept)),
        )

    @property
    def name(self) -> str:
        """For people; nothing is ever decided by it."""
        makers = list(dict.fromkeys(self.decoders))
        by = f" by {makers[0]}" if len(makers) == 1 else " by other decoders" if makers else ""
        named = {"photograph": "photographs", "decoder": f"decoded{by}", "generated": f"generated{by}"}
        under = f" under {self.under}" if self.under else ""
        return f"{named.get(self.kind, self.kind)}, {self.history}{under}"
