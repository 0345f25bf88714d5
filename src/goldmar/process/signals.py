"""Signals held up while something is begun that has to be noted down, so that it can be ended."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["held_up"]


@contextmanager
def held_up() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP wait for the end of the body, which should be short.

    A KeyboardInterrupt between the start of a process (or the making of a folder) and the assignment that remembers it
    would leave it behind for good. In another thread than the main one, where no signal arrives, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if callable(handler := signal.getsignal(number))
    }
    try:
        for number in before:
            signal.signal(number, lambda number, _frame: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
