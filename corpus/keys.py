"""Which pictures are done: sixteen bytes each, so that a hundred million fit into a driver's memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

WIDTH = 16
Digests = NDArray[np.bytes_]


def digests_of(images: Iterable[str]) -> Digests:
    """``[N]`` 128-bit digests of the names of pictures: among 10^8 two are alike with probability 10^-23."""
    joined = b"".join(hashlib.blake2b(image.encode(), digest_size=WIDTH).digest() for image in images)
    return np.frombuffer(joined, f"S{WIDTH}")


class Keys:
    """A set of digests as sorted arrays, each more than twice as long as the next: little is sorted twice."""

    def __init__(self) -> None:
        self._runs: list[Digests] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def has(self, digests: Digests) -> NDArray[np.bool_]:
        """``[N]``: which of ``digests`` are in the set."""
        found = np.zeros(len(digests), bool)
        for run in self._runs:
            places = np.searchsorted(run, digests)
            found |= run[np.minimum(places, len(run) - 1)] == digests
        return found

    def add(self, digests: Digests) -> NDArray[np.bool_]:
        """Add ``digests``; ``[N]``: which of them are new, a repeated one the first time."""
        order = np.argsort(digests, kind="stable")
        ordered = digests[order]  # asked in order, a long run is walked through once
        is_first = np.ones(len(digests), bool)
        is_first[1:] = ordered[1:] != ordered[:-1]
        is_new = is_first & ~self.has(ordered)
        run = ordered[is_new]
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        if len(run):
            self._runs.append(run)
        new = np.zeros(len(digests), bool)
        new[order[is_new]] = True
        return new
