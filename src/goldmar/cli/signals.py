"""Ctrl-C, SIGTERM and SIGHUP from the first moment to the last; imports next to nothing, so that it is there first.

Before that Python itself starts, for some ten milliseconds, and Ctrl-C is its own: a traceback. `typing` alone would
make that twice as long, so no module that is imported until then uses it; a test holds that.

While Python imports, nothing has begun: one line, and gone. After that the first signal raises KeyboardInterrupt, which
ends what runs in good order; what was started is stopped on the way out, and those that follow do not disturb that.
"""

import contextlib
import os
import signal
import sys
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130  # errors.ExitCode.INTERRUPTED, which would have to be imported
PATIENCE = 4
"""Signals after which nothing is waited for; what was started sees its pipe break, and ends by itself."""


class _State:
    loading = False
    count = 0


def install() -> None:
    """Take the signals over, those that were not ignored when this process was started (nohup, a job in a script)."""
    _State.loading, _State.count = True, 0
    try:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _on_signal)
    except ValueError:  # not the main thread, which alone hears signals
        return
    sys.unraisablehook = _unraisable


def loaded() -> None:
    """From now on there is something to end in good order."""
    _State.loading = False


def ignore() -> None:
    """The command is over; Python's own end must not be disturbed."""
    with contextlib.suppress(ValueError):  # not the main thread
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def end(code: int) -> None:
    """The command is over: leave with its code where it was interrupted, else let Python end as ever.

    A KeyboardInterrupt that passed through `exec` of a text (dataclasses and named tuples are made so) has Python end
    itself by SIGINT in the end, whatever the exit code; so it does not get that far.
    """
    ignore()
    if _State.count and code == INTERRUPTED:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(INTERRUPTED)


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    _State.count += 1
    if _State.loading:
        _leave("interrupted; nothing was changed\n")
    if _State.count > 1 and _ending():
        if _State.count >= PATIENCE:
            _leave("left at once; what was started is ending by itself\n")
        _tell("already stopping: what was started is being ended first\n")
        return
    raise KeyboardInterrupt


def interrupts(error: BaseException | None) -> bool:
    """Whether it is a KeyboardInterrupt, or came of one."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _ending() -> bool:
    """Whether an earlier KeyboardInterrupt is on its way out: clean-up runs while it is handled."""
    return interrupts(sys.exception())


def _unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """A signal that arrives in a destructor or a callback is swallowed there by Python: send it again."""
    if not isinstance(unraisable.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    import threading

    with contextlib.suppress(RuntimeError):  # no thread can be started any more: Python is ending
        threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, text.encode())


def _leave(text: str) -> None:
    _tell(text)
    os._exit(INTERRUPTED)
