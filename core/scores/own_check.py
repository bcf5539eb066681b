"""Does a decoder that nobody calibrated recognise its own work? Asked once, on pictures drawn for it.

What other pictures score hardly depends on the decoder: each is its own control. What a decoder's own pictures score
does, so that is looked at before a profile of other decoders may answer for it.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass

from ..errors import InvalidImageError
from ..images.quantiser import quantise
from ..images.regularity import grid_strength
from ..images.synthetic import synthetic_photograph
from ..inversion.objective import Passes
from ..models.autoencoder import Autoencoder
from ..profiles import Profile
from . import make_score
from .protocol import reconstruct

# Pictures, their side in latent cells (and at least in pixels), and how many of them must be recognised.
PICTURES, CELLS, LEAST_SIDE, ENOUGH = 6, 24, 192, 5
FIRST_SEED = 7100
# For a rate of 1 % on average; and how many versions of each photograph a calibration for the usual conditions scores
# (core/calibration/estimate.py).
CALIBRATION_PICTURES, VERSIONS = 99, 19


@dataclass(frozen=True)
class OwnCheck:
    """The scores of pictures that a decoder made of drawn ones (NaN where there is none), how many of them the profile
    accepts, the seconds it took, and how strong a grid of their own each picture has, see :func:`grid_strength`."""

    scores: tuple[float, ...]
    recognised: int
    seconds: float = 0.0
    grids: tuple[float, ...] = ()

    @property
    def passed(self) -> bool:
        return self.recognised >= ENOUGH

    @property
    def weakest(self) -> float:
        """The score up to which a picture is as much like the decoder's own as all of these that have one."""
        return max((score for score in self.scores if math.isfinite(score)), default=-math.inf)

    @property
    def typical(self) -> float:
        """The median of the scores that there are."""
        return statistics.median([score for score in self.scores if math.isfinite(score)] or [math.nan])

    @property
    def words(self) -> str:
        return f"{self.recognised} of {len(self.scores)} pictures it made for this check"

    @property
    def advice(self) -> str:
        """How to get an answer of this decoder's own, how long that takes here, and what it buys."""
        minutes = math.ceil(CALIBRATION_PICTURES * VERSIONS * self.seconds / len(self.scores) / 60)
        return (
            f"nobody calibrated this decoder: the rates were measured on other ones. Calibrate it on"
            f" {CALIBRATION_PICTURES} photographs or more (pictures as small as those of this check take about"
            f" {minutes} min here) for rates of its own, 1 % on average"
        )


_checked: dict[tuple[str, str], OwnCheck] = {}


def own_check(autoencoder: Autoencoder, profile: Profile) -> OwnCheck:
    """Whether ``autoencoder`` recognises its own under ``profile``; once per process, weights and score.

    Some three passes of each network for each picture. Raises as the score does.
    """
    key = (autoencoder.fingerprint, profile.score)
    if key not in _checked:
        score = make_score(profile.score)
        side = max(LEAST_SIDE, CELLS * autoencoder.spatial_ratio)
        side -= side % autoencoder.spatial_ratio
        scores: list[float] = []
        grids: list[float] = []
        began = time.perf_counter()
        for number in range(PICTURES):
            drawn = synthetic_photograph(FIRST_SEED + number, side).to(autoencoder.device, autoencoder.dtype)
            made = quantise(reconstruct(autoencoder, drawn, Passes()).float().cpu())
            grids.append(grid_strength(made))
            try:
                scores.append(score(autoencoder, made).value)
            except InvalidImageError:
                scores.append(math.nan)
        recognised = sum(map(profile.accepts, scores))
        _checked[key] = OwnCheck(tuple(scores), recognised, time.perf_counter() - began, tuple(grids))
    return _checked[key]
