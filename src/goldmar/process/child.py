"""A process that was started here: its output is read, its end explained, and nothing of it is left afterwards."""

import codecs
import io
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from goldmar.errors import NotStartedError
from goldmar.process.exits import Exit
from goldmar.process.family import Family
from goldmar.process.keeper import Keeper
from goldmar.process.memory import for_want_of_memory, oom_kills
from goldmar.process.signals import held_up

__all__ = ["Process"]

LINES = 2000
"""Kept of what it prints; a traceback is far shorter."""

LINE = 4000
"""Characters that are kept of a line: who prints without a line end must not fill the memory."""

GRACE_S = 2.0
"""What a process gets to end by itself."""

_QUIET_S = 0.5  # without a word from whoever still holds the output of a process that has ended
_DRAIN_S = 2.0  # for what still comes then, however much
_POLL_S = 0.01


class Process:
    """A running command, in a session of its own: Ctrl-C at the terminal is for this process, which ends the command.

    It ends with this process, even where that is killed. It is started inside `held_up()`, so that whoever did so knows
    of it; `end` has to be called, and leaving a `with` block does it.

    Args:
        command: the program and its arguments; no shell reads them.
        on_line: is told each line of the output, in another thread. An error that it raises ends the process, and is
            raised by `wait`.
        ignore: how lines begin that are not worth keeping.
        keeper: what ends it when this process is killed; None makes one. `end` dismisses it.
        kept: False for a command that ends by itself in a moment, and need not be ended with a killed process.
        stdin: what it reads; None for an input that stays open and silent.
        merge: whether both outputs are one.
        collect: whether `output` will be asked for.
        pass_fds: file descriptors that stay open in it.

    Raises NotStartedError.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], object] | None = None,
        ignore: tuple[str, ...] = (),
        keeper: Keeper | None = None,
        kept: bool = True,
        stdin: bytes | None = b"",
        merge: bool = True,
        collect: bool = False,
        pass_fds: Sequence[int] = (),
        umask: int = -1,
    ) -> None:
        name = str(command[0])
        self._oom_kills = oom_kills()
        try:
            keeper = keeper or (Keeper() if kept else None)
            self._popen = subprocess.Popen(
                [str(word) for word in command],
                cwd=cwd,
                env=keeper.environment(env) if keeper else env,
                stdin=subprocess.DEVNULL if stdin == b"" else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merge else subprocess.PIPE,
                pass_fds=pass_fds,
                start_new_session=True,
                umask=umask,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in a word
            if keeper is not None:
                keeper.dismiss()
            reason = getattr(error, "strerror", None) or str(error)
            missing = False
            if isinstance(error, FileNotFoundError):
                missing = error.filename == name and shutil.which(name) is None
                name = f"{name} in the folder {cwd}" if error.filename != name else name
            raise NotStartedError(name, reason, missing=missing) from error
        self.pid = self._popen.pid
        mark, folder = (keeper.mark, str(keeper.folder or "")) if keeper else ("", "")
        self._family = Family(mark, folder, self.pid)
        if keeper is not None:
            keeper.tell(str(self.pid))
        self._keeper = keeper
        self._exit: Exit | None = None
        self._ending = threading.Lock()
        self._ended = False
        self._failure: BaseException | None = None
        self._on_line = on_line
        self._ignore = ignore
        self._lines: deque[str] = deque(maxlen=LINES)
        streams = filter(None, (self._popen.stdout, self._popen.stderr))
        self._readers = [_Reader(stream, self._take, collect) for stream in streams]
        for reader in self._readers:
            reader.start()
        if stdin:
            threading.Thread(target=self._write, args=(stdin,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def alive(self) -> bool:
        """Whether it runs; what it has started may go on after it."""
        return self._popen.poll() is None

    @property
    def exit(self) -> Exit | None:
        """How it ended, with its last lines; None while it runs."""
        if self.alive:
            return None
        if self._exit is None:
            killed = self._popen.returncode == -signal.SIGKILL
            killer = for_want_of_memory(self._oom_kills, oom_kills()) if killed else ""
            for reader in self._readers:
                reader.finish()
            self._exit = Exit(self._popen.returncode, tuple(self.lines()[-20:]), killer)
        return self._exit

    def lines(self) -> list[str]:
        """The last lines that it has printed so far."""
        return list(self._lines)

    def output(self) -> list[bytes]:
        """All that it has printed, for each output; empty where nothing was collected."""
        return [b"".join(reader.chunks) for reader in self._readers]

    def wait(self, timeout_s: float | None = None) -> Exit:
        """Wait until it has ended by itself. Raises TimeoutError, and what `on_line` raised."""
        if not self._awaited(timeout_s):
            raise TimeoutError
        ended = self.exit
        if self._failure is not None:
            raise self._failure
        if ended is None:
            raise AssertionError
        return ended

    def end(
        self,
        grace_s: float = GRACE_S,
        *,
        first: signal.Signals | None = signal.SIGTERM,
        children_only: bool = False,
    ) -> Exit:
        """End it and all that it has started, wherever that went; returns how it ended.

        May be called twice, and by several threads at once: all return when nothing is left.

        Args:
            grace_s: seconds to end by themselves, before SIGKILL. Ctrl-C cuts them short.
            first: the signal that asks them to; None where they were asked otherwise.
            children_only: the grace is for what it has started; it is killed itself once these are gone.
        """
        with self._ending:
            if not self._ended:
                try:
                    self._ask_to_end(grace_s, first, children_only)
                finally:
                    self._kill()
        ended = self.exit
        if ended is None:
            raise AssertionError
        return ended

    def _ask_to_end(self, grace_s: float, first: signal.Signals | None, children_only: bool) -> None:
        if self._popen.returncode is not None and Path(f"/proc/{self.pid}").exists():
            self._family.session = 0  # it was waited for, and its number is now that of a foreign process
        _ = self._family.members() if first is None else self._family.send(first)
        until = time.monotonic() + grace_s
        if not children_only:
            self._awaited(grace_s)
        leader = {self.pid} if children_only else set()
        while first is not None and time.monotonic() < until and self._family.members().keys() - leader:
            time.sleep(_POLL_S)

    def _kill(self) -> None:
        with held_up():
            self._family.kill()
            self._popen.wait()
            if self._popen.stdin is not None:
                with suppress(OSError):
                    self._popen.stdin.close()
            _ = self.exit
            self.release()
            self._ended = True

    def release(self) -> None:
        """It has ended by itself, and what it has left running is none of ours."""
        if self._keeper is not None:
            self._keeper.dismiss()

    def _awaited(self, timeout_s: float | None) -> bool:
        # Popen.wait would take a second Ctrl-C within a quarter of a second for the first one.
        until = None if timeout_s is None else time.monotonic() + timeout_s
        pause = 0.0005
        while self.alive:
            if until is not None and time.monotonic() >= until:
                return False
            if reading := next((reader for reader in self._readers if reader.is_alive()), None):
                reading.join(_POLL_S)  # most processes end when their output does
            else:
                time.sleep(pause)
                pause = min(2 * pause, _POLL_S)
        return True

    def _write(self, data: bytes) -> None:
        with suppress(OSError, ValueError):  # it does not want to read it
            if self._popen.stdin is not None:
                with self._popen.stdin as stream:
                    stream.write(data)

    def _take(self, line: str) -> None:
        if not line.startswith(self._ignore):
            self._lines.append(line)
        if self._on_line is not None and self._failure is None:
            try:
                self._on_line(line)
            except BaseException as error:
                self._failure = error
                threading.Thread(target=self.end).start()


class _Reader(threading.Thread):
    """Reads an output to its end, so that nobody waits for room in a pipe."""

    def __init__(self, stream: IO[bytes], take: Callable[[str], None], collect: bool) -> None:
        super().__init__(name="goldmar-output", daemon=True)
        self.chunks: list[bytes] = []
        self._stream = stream
        self._take = take
        self._collect = collect
        self._count = 0
        self._busy = False
        self._given_up = False

    def run(self) -> None:
        decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
        rest = ""
        with self._stream as stream:
            while not self._given_up and (chunk := os.read(stream.fileno(), 65536)):
                self._busy = True
                self._count += 1
                if self._collect:
                    self.chunks.append(chunk)
                *lines, rest = (rest + decoder.decode(chunk)).split("\n")
                for line in lines:
                    self._take(line[:LINE])
                rest = rest[:LINE]
                self._busy = False
            if rest := rest + decoder.decode(b"", final=True):
                self._take(rest[:LINE])

    def finish(self) -> None:
        """Wait for what the ended process has printed; who still holds its output is not waited for."""
        until = time.monotonic() + _DRAIN_S
        if self is threading.current_thread():
            return
        while self.is_alive() and (self._busy or time.monotonic() < until):
            before = self._count
            self.join(_QUIET_S)
            if self._count == before and not self._busy:
                break
        self._given_up = True
