"""Standard output and error as they are in real life: closed, of an ASCII terminal, read by a CI server."""

import contextlib
import io
import os
import sys
from typing import TextIO

from goldmar.text import guarded


class Guarded(io.TextIOWrapper):
    """Text that no CI server takes for a command, whoever writes it; what the encoding lacks becomes an escape.

    `quiet`: what cannot be written is given up. That is standard error: a run must not fail because its progress is
    read by nobody. Standard output holds the verdict, and one that nobody got must not look like one that passed.
    """

    def __init__(self, stream: io.BufferedIOBase, encoding: str, *, line_buffering: bool, quiet: bool) -> None:
        super().__init__(
            stream,  # type: ignore[arg-type]
            encoding=encoding,
            errors="backslashreplace",
            line_buffering=line_buffering,
        )
        self._quiet = quiet
        self._begins = True  # nothing but white space so far on this line

    def write(self, text: str) -> int:
        lines = text.split("\n")
        first = lines[0]
        shown = [guarded(first) if self._begins else guarded(f".{first}")[1:], *map(guarded, lines[1:])]
        self._begins = not lines[-1].strip() and (self._begins or len(lines) > 1)
        try:
            super().write("\n".join(shown))
        except OSError:
            if not self._quiet:
                raise
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            if not self._quiet:
                raise


def install() -> None:
    """Put `Guarded` in the place of the interpreter's own streams, and something in that of those that are closed.

    A file opened later must not get the number of a closed standard stream: what is printed would end up in it. A
    closed standard output fails when something is written to it, a closed standard error takes everything.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = _guarded(sys.stdout, 1, quiet=False)
    sys.stderr = _guarded(sys.stderr, 2, quiet=True)


def _guarded(stream: TextIO | None, number: int, *, quiet: bool) -> TextIO:
    if stream is None:
        return Guarded(open(number, "wb", closefd=False), "utf-8", line_buffering=False, quiet=quiet)
    if type(stream) is not io.TextIOWrapper:
        return stream  # somebody's own, a test's say
    encoding, line_buffering = stream.encoding, stream.line_buffering
    binary = stream.detach()
    if isinstance(binary, io.RawIOBase):
        # PYTHONUNBUFFERED: Python would then take a write that got half way for a whole one, and lose the rest.
        binary, line_buffering = io.BufferedWriter(binary), True
    return Guarded(binary, encoding, line_buffering=line_buffering, quiet=quiet)


def flushed() -> OSError | None:
    """Write what is still buffered; the error where that fails, and the buffer is then dropped."""
    try:
        sys.stdout.flush()
    except OSError as error:
        drop()
        return error
    return None


def drop() -> None:
    """What is still buffered cannot be written; without this the interpreter tries again at its end, and complains."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
