"""One at a time: a lock around everything that reads a file, changes it and writes it back.

The operating system holds the lock (flock, on Windows msvcrt.locking) and lets it go when the process ends, however it
ends: no lock is ever stale. It lies on a small file beside the one it protects, since that one is replaced at every
write.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ..errors import InvalidSettingError
from .atomic import unwritable


class InUseError(InvalidSettingError):
    """Somebody else holds the lock."""


PATIENCE = 30.0
POLL = 0.01
# Over network file systems the system's lock may belong to the process: threads need one of their own.
_THREADS: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)


@contextlib.contextmanager
def locked(path: Path, timeout: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of ``path``, which need not exist; its folders are made. Not to be nested for one path.

    Raises :class:`InUseError` if somebody else holds it for ``timeout`` seconds, :class:`InvalidSettingError` where
    none can be had.
    """
    deadline = time.monotonic() + timeout
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path = Path(os.path.realpath(path))  # one lock for all names of a file
        beside = path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.lock")
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None
    thread = _THREADS[path]
    if not thread.acquire(timeout=max(0.0, timeout)):
        raise _in_use(path)
    try:
        descriptor = _acquire(path, beside, deadline)
        try:
            yield
        finally:
            # Gone before it is let go: whoever waits for it sees that and makes a new one. Windows keeps open files.
            with contextlib.suppress(OSError):
                beside.unlink()
            os.close(descriptor)
    finally:
        thread.release()


def _acquire(path: Path, beside: Path, deadline: float) -> int:
    while True:
        try:
            descriptor = os.open(beside, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise unwritable(path, error) from None
        try:
            taken = _try_lock(descriptor)
            if taken and _is_still(beside, descriptor):
                return descriptor
        except OSError as error:
            os.close(descriptor)
            raise InvalidSettingError(
                f"{path} cannot be locked ({error.strerror}): choose a folder on a local disk."
            ) from None
        os.close(descriptor)
        if not taken:
            if time.monotonic() >= deadline:
                raise _in_use(path)
            time.sleep(POLL)


def _in_use(path: Path) -> InUseError:
    return InUseError(f"{path} is being written by another run: wait until that one ends, or choose another place.")


def _is_still(beside: Path, descriptor: int) -> bool:
    """Whether the file that was locked is the one that has the name: its last holder may have removed it."""
    try:
        return os.path.samestat(os.stat(beside), os.fstat(descriptor))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
