"""Ctrl-C always ends a command, even where Python would lose it; a polite kill ends it likewise."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

# Long enough for the finaliser that lost the interrupt to be left, short enough that nobody presses the keys again.
REPEAT_SECONDS = 0.05


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """While this is open, an interrupt that a finaliser swallows is raised once more, in the main thread.

    Python delivers Ctrl-C between any two instructions, so also inside ``__del__`` and callbacks of weak references,
    which a search runs by the thousand. An exception raised there is printed and dropped: the command would go on.
    SIGTERM, and SIGHUP of a terminal that was closed, are taken as Ctrl-C unless whoever started the command chose
    otherwise (nohup). :func:`was_interrupted` tells of any of them: libraries make other errors of it.
    """
    global _interrupted
    _interrupted = False
    previous = sys.unraisablehook

    def repeat(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            previous(lost)
            return
        # Not from here: what this hook raises is dropped as well.
        timer = threading.Timer(REPEAT_SECONDS, interrupt_main_thread)
        timer.daemon = True
        timer.start()

    ends = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        ends = []
    usual = (signal.SIG_DFL, signal.default_int_handler)
    taken = {one: handler for one in ends if (handler := signal.getsignal(one)) in usual}
    sys.unraisablehook = repeat
    for one in taken:
        signal.signal(one, _interrupt)
    try:
        yield
    finally:
        sys.unraisablehook = previous
        for one, handler in taken.items():
            signal.signal(one, handler)


_interrupted = False


def was_interrupted() -> bool:
    """Whether an interrupt came since :func:`interrupts_kept` was opened."""
    return _interrupted


def _interrupt(number: int, frame: object) -> NoReturn:
    global _interrupted
    _interrupted = True
    raise KeyboardInterrupt


def interrupt_main_thread() -> None:
    """As Ctrl-C does; where signals can be sent to a thread, waiting calls end, too."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()
