"""How long a calibration takes here, told once it has measured a photograph: by what that took, and nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from ..models.autoencoder import Autoencoder
from ..models.weight_digest import same_weights
from ..scores.protocol import Score
from .scores import CalibrationStep
from .under import histories_of


class TimeLeft:
    """What is left of a calibration, by the photographs that it measured itself; ``told`` so many times."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._took: list[float] = []
        self.told = 0
        self._since = clock()
        self._last = CalibrationStep(0, None, "")

    def after(self, step: CalibrationStep) -> str:
        """Words such as "about 7 min for 98 more photographs" when one was finished with ``step``; else, and after the
        last, empty.

        One of which scores were kept from a stopped calibration tells nothing, nor does what is left out.
        """
        now, last = self._clock(), self._last
        if step.kind != "generated" and step.photographs == last.photographs:
            return ""
        if step.photographs > last.photographs and step.measured > last.measured and step.kept == last.kept:
            self._took.append(now - self._since)
        self._since, self._last = now, step
        left = 0 if step.expected is None else step.expected - step.photographs
        # The first one warms the device up.
        took = self._took[1:] or self._took
        if not took or left < 1 or step.kind == "generated":
            return ""
        self.told += 1
        return f"about {shown_time(left * sum(took) / len(took))} for {left} more photograph{'s' * (left > 1)}"


def work_words(
    autoencoder: Autoencoder, scores: Mapping[str, Score], photographs: int, others: Sequence[Autoencoder]
) -> str:
    """What is to be done, told before it starts; arguments as for :func:`.latents.calibrate_conditions`."""
    different = sum(not same_weights(other.fingerprint, autoencoder.fingerprint) for other in others)
    each = samples_of_a_photograph({one: score.name for one, score in scores.items()}, different)
    return (
        f"for {listed(list(scores))}: {each} scores of each of {photographs} photographs; the first one will tell how"
        " long that takes"
    )


def listed(names: Sequence[str]) -> str:
    """
    >>> listed(["clean"]), listed(["clean", "jpeg-90", "jpeg-75"])
    ('clean', 'clean, jpeg-90 and jpeg-75')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def samples_of_a_photograph(scores: Mapping[str, str], others: int) -> int:
    """How many scores each photograph takes, by the name of each condition's score, with so many ``others`` decoders:
    what two conditions have in common is scored once.

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
