"""Files read while earlier ones are judged: in threads, so far ahead and no further."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def read_ahead(items: Iterable[T], read: Callable[[T], R], ahead: int) -> Iterator[tuple[T, R]]:
    """Each of ``items`` with ``read`` of it, in their order; at most ``ahead`` of them wait, which bounds the memory.

    What ``read`` raises is raised when its item's turn comes.
    """
    waiting: deque[tuple[T, Future[R]]] = deque()
    with ThreadPoolExecutor(max(1, ahead // 2), "reading") as readers:
        for item in items:
            waiting.append((item, readers.submit(read, item)))
            if len(waiting) > ahead:
                first, found = waiting.popleft()
                yield first, found.result()
        while waiting:
            first, found = waiting.popleft()
            yield first, found.result()
