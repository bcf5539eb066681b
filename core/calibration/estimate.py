"""How long a calibration will take here, told before it starts."""

from __future__ import annotations

import math
import time

from ..errors import LatentTracerError
from ..images.conditions import CLEAN
from ..images.synthetic import synthetic_photograph
from ..images.tensors import whole_cells
from ..models.autoencoder import Autoencoder
from ..scores.protocol import Score
from .latents import LARGEST_SIDE, histories_of


def estimate_words(
    autoencoder: Autoencoder, score: Score, photographs: int, size: tuple[int, int], others: int, condition: str = CLEAN
) -> str:
    """One sentence; a drawn picture of ``size`` (height, width) is scored for it, which takes as long as one of many.

    ``others``: how many further decoders take part.
    """
    samples = photographs * (3 + others + len(histories_of(condition)))
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


def shown_time(seconds: float) -> str:
    """
    >>> shown_time(12.3), shown_time(400), shown_time(9000)
    ('13 s', '7 min', '2.5 h')
    """
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
