"""How long a calibration will take here, told before it starts."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from ..errors import LatentTracerError
from ..images.synthetic import synthetic_photograph
from ..images.tensors import whole_cells
from ..models.autoencoder import Autoencoder
from ..scores.protocol import Score
from .latents import LARGEST_SIDE
from .under import histories_of


def estimate_words(
    autoencoder: Autoencoder, scores: Mapping[str, Score], photographs: int, size: tuple[int, int], others: int
) -> str:
    """One sentence; a drawn picture of ``size`` (height, width) is scored for it, which takes as long as one of many.

    ``scores``: of each condition; ``others``: how many further decoders take part.
    """
    samples = photographs * samples_of_a_photograph({one: score.name for one, score in scores.items()}, others)
    score = next(iter(scores.values()))
    height, width = (min(side, LARGEST_SIDE) for side in size)
    try:
        picture = whole_cells(
            synthetic_photograph(1, max(height, width))[..., :height, :width], autoencoder.spatial_ratio
        )
        score(autoencoder, picture)  # measures the grid, too, which is asked for once
        began = time.perf_counter()
        score(autoencoder, picture)
        seconds = (time.perf_counter() - began) * samples
    except (LatentTracerError, MemoryError, RuntimeError):  # calibration says so, or makes do with less
        return f"{samples} scores are to be made; how long one takes could not be measured"
    return f"about {shown_time(seconds)}: {samples} scores of {photographs} photographs"


def samples_of_a_photograph(scores: Mapping[str, str], others: int) -> int:
    """How many scores each photograph takes, by the name of each condition's score: what two conditions have in common
    is scored once.

    >>> samples_of_a_photograph({"clean": "a"}, 1), samples_of_a_photograph({"clean": "a", "jpeg-90": "a"}, 1)
    (6, 10)
    """
    stored = {
        (score, history) for condition, score in scores.items() for history in (condition, *histories_of(condition))
    }
    return (2 + others) * len(scores) + len(stored)


def shown_time(seconds: float) -> str:
    """
    >>> shown_time(12.3), shown_time(400), shown_time(9000)
    ('13 s', '7 min', '2.5 h')
    """
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
