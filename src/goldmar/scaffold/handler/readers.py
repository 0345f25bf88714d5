"""The worker's side of `decoder_process`: its processes, and one drawing in one of them.

What comes back is not trusted: an answer is numbers and text, never objects, and its size is checked before it is read.

multiprocessing's forkserver is much the same, but imports the worker's main module in every child, torch and TorchServe
with it, and speaks pickle.
"""

import contextlib
import json
import math
import os
import select
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import decoder_process as wire
import numpy as np
from sheet import CANVAS_HEIGHT, CANVAS_WIDTH, BadDrawing, Sheet

START_S = 60.0
REPLY_S = 10.0  # for the helper process, which never sees a drawing
LEAST_S = 1.0  # that a drawing can use, however busy the machine is and whatever others before it used up in vain

# One thread each, and nothing laid aside for others: a worker counts its threads, and a reader its address space.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}

# What a reader sends where it has no sentence of its own.
DAMAGED = "the drawing is damaged: its decoder gave it up. Export it again and send the whole file."


class DecoderFault(Exception):
    """A drawing was not read for a reason that lies here, not in the drawing; str() is a sentence for its sender."""


@dataclass(frozen=True)
class Lost:
    """A drawing to which its reader gave no answer, or none that can be used.

    why: TIME, MEMORY, DIED or MAD. used: whether the reader had read others, which may be what it suffered from.
    """

    why: str
    used: bool


TIME, MEMORY, DIED, MAD = "took too long", "took too much memory", "killed its reader", "made its reader talk nonsense"


@dataclass(eq=False)
class Reader:
    """A forked process that reads one drawing after the other.

    helper: the process id of the one that forked it. to, back: pipes for drawings and for answers.
    """

    pid: int
    helper: int
    to: int
    back: int
    drawings: int = 0

    def __post_init__(self) -> None:
        # Linux alone tells, and not in every container: then it counts as never held up.
        files = [self.to, self.back]
        with contextlib.suppress(OSError):
            files.append(os.open(f"/proc/{self.pid}/schedstat", os.O_RDONLY | os.O_CLOEXEC))
        self._schedstat = files[2:]
        self.close = weakref.finalize(self, _close_all, *files)

    def held_up(self) -> float:
        """Seconds of its life that it wanted to work and had no CPU; 0 where the system does not tell.

        What it slept is not among them. From /proc/PID/schedstat, see Documentation/scheduler/sched-stats in Linux.
        """
        for file in self._schedstat:
            with contextlib.suppress(OSError, ValueError, IndexError):
                return int(os.pread(file, 100, 0).split()[1]) / 1e9
        return 0.0

    def speaks(self) -> bool:
        """Whether there is something from it: between drawings, that means that it died, or went mad."""
        return bool(wait([(self.back, select.POLLIN)], 0))


class Helper:
    """The process that forks readers: started here, again after it died, and ended with this object or process."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """settings: `module` and `function` that read, `seconds` and `memory_mb` for each drawing."""
        self._settings = settings
        self._start()

    def wait(self) -> None:
        """Until it can fork. Raises RuntimeError with what it said when it cannot."""
        if self._ready:
            return
        try:
            self._control.settimeout(START_S)
            said = self._control.recv(1 + wire.MAX_TEXT)
        except OSError as error:
            said = wire.BROKEN + str(error).encode()
        if said != wire.READY:
            self.close()
            msg = f"the process that reads drawings does not start: {clean(said[1:]) or 'it ended, saying nothing'}"
            raise RuntimeError(msg)
        self._control.settimeout(REPLY_S)
        self._ready = True

    def fork(self) -> Reader:
        """A new reader. Raises RuntimeError when there can be none."""
        with contextlib.suppress(OSError):
            return self._fork()
        self.close()
        self._start()
        try:
            return self._fork()
        except OSError as error:
            msg = f"the process that reads drawings does not answer: {error}"
            raise RuntimeError(msg) from error

    def end(self, reader: Reader) -> None:
        """Kill a reader, if it lives, and leave nothing of it."""
        reader.close()
        # The reader of a helper that is gone leaves by itself: at the end of its pipe, or at its alarm.
        with contextlib.suppress(OSError):
            if reader.helper == self.pid:
                self._ask(wire.END, reader.pid)

    def close(self) -> None:
        self._close()

    def _start(self) -> None:
        self._control, theirs = socket.socketpair()
        command = [sys.executable, wire.__file__, json.dumps(self._settings | {"path": sys.path})]
        with theirs:
            # Nothing of it may get into the worker's output, where TorchServe looks for metrics.
            process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.DEVNULL, env=os.environ | ENVIRONMENT)
        self.pid = process.pid
        self._close = weakref.finalize(self, _close, process, self._control)
        self._ready = False

    def _fork(self) -> Reader:
        self.wait()
        drawings, to = _pipe()
        back, answers = _pipe()
        try:
            pid = self._ask(wire.FORK, 0, [drawings, answers])
            if pid == wire.FAILED:
                msg = "the system has no room for another process"
                raise RuntimeError(msg)
        except BaseException:
            _close_all(to, back)
            raise
        finally:
            _close_all(drawings, answers)
        os.set_blocking(to, False)
        os.set_blocking(back, False)
        return Reader(pid, self.pid, to, back)

    def _ask(self, command: bytes, pid: int, descriptors: Sequence[int] = ()) -> int:
        socket.send_fds(self._control, [wire.COMMAND.pack(command, pid)], descriptors)
        reply = self._control.recv(wire.REPLY.size)
        if len(reply) < wire.REPLY.size:
            msg = "it has ended"
            raise ConnectionError(msg)
        return int(wire.REPLY.unpack(reply)[0])


def _close(process: "subprocess.Popen[bytes]", control: socket.socket) -> None:
    control.close()  # at which it kills its readers and leaves
    try:
        process.wait(REPLY_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _pipe() -> tuple[int, int]:
    """A pipe for reading and writing, with room for most drawings: so they take one change of process."""
    import fcntl  # not on every platform

    ends = os.pipe()
    with contextlib.suppress(OSError, AttributeError):  # more than this user may have; or not Linux
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, wire.CHUNK)
    return ends


def _close_all(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


class Job:
    """A drawing on its way through a reader; times on the monotonic clock."""

    def __init__(self, index: int, reader: Reader, data: bytes, seconds: float, stop: float) -> None:
        """seconds: what it is given. stop: when it ends even though it was held up, on a machine that is busy."""
        self.index = index
        self.reader = reader
        self.seconds = seconds
        self.started = time.monotonic()
        self.deadline = self.started + seconds  # later while it is held up
        self._stop = stop
        self._held_up = reader.held_up()
        self._used = reader.drawings > 0
        self._rest = memoryview(data)
        self._answer = b""
        reader.drawings += 1
        with contextlib.suppress(OSError):  # a reader that died is found out by `advance`
            # The pipe is empty, and takes at least the size.
            self._rest = self._rest[os.writev(reader.to, [wire.SIZE.pack(len(data)), data]) - wire.SIZE.size :]

    @property
    def events(self) -> list[tuple[int, int]]:
        """What `wait` is to wait for."""
        answer = (self.reader.back, select.POLLIN)
        return [answer, (self.reader.to, select.POLLOUT)] if self._rest else [answer]

    def advance(self) -> "Sheet | BadDrawing | DecoderFault | Lost | None":
        """Send and receive what there is to be; the outcome, or None while there is none. Never blocks."""
        try:
            with contextlib.suppress(BlockingIOError):
                while self._rest:
                    self._rest = self._rest[os.write(self.reader.to, self._rest) :]
            while chunk := os.read(self.reader.back, wire.CHUNK):
                self._answer = self._answer + chunk if self._answer else chunk
                outcome = self._read_answer()
                if outcome is not None:
                    return outcome
        except BlockingIOError:
            return self._lost(TIME) if self._is_late() else None
        except OSError:
            pass
        return self._lost(DIED)

    def _is_late(self) -> bool:
        """When its time is up, and it could use LEAST_S of it: as long as others have the CPU it is given more."""
        now = time.monotonic()
        if now >= self.deadline:
            used = now - self.started - (self.reader.held_up() - self._held_up)
            self.deadline = min(now + min(LEAST_S, self.seconds) - used, self._stop)
        return now >= self.deadline

    def _read_answer(self) -> "Sheet | BadDrawing | DecoderFault | Lost | None":
        """The outcome once the answer is complete. Lost as soon as it cannot be one of a reader."""
        if len(self._answer) < wire.HEADER.size:
            return None
        kind, rows, columns, mm_per_px, source_px_per_px, length = wire.HEADER.unpack_from(self._answer)
        if not _possible(kind, rows, columns, mm_per_px, source_px_per_px, length):
            return self._lost(MAD)
        missing = wire.HEADER.size + length - len(self._answer)
        if missing > 0:
            return None
        if missing < 0 or self._rest:  # more than an answer, or one to a drawing that it has not had
            return self._lost(MAD)
        body = memoryview(self._answer)[wire.HEADER.size :]
        match kind:
            case wire.SHEET:
                return Sheet(np.frombuffer(body, np.uint8).reshape(rows, columns), mm_per_px, source_px_per_px)
            case wire.REFUSED:
                return BadDrawing(" ".join(clean(body).split()) or DAMAGED)
            case wire.MEMORY:
                return self._lost(MEMORY)
            case _:
                return DecoderFault(clean(body))

    def _lost(self, why: str) -> Lost:
        return Lost(why, self._used)


def _possible(kind: bytes, rows: int, columns: int, mm_per_px: float, source_px_per_px: float, length: int) -> bool:
    if kind != wire.SHEET:
        return kind in (wire.REFUSED, wire.MEMORY, wire.FAULT) and length <= wire.MAX_TEXT
    return (
        0 < rows <= CANVAS_HEIGHT
        and 0 < columns <= CANVAS_WIDTH
        and length == rows * columns
        and all(math.isfinite(scale) and scale > 0 for scale in (mm_per_px, source_px_per_px))
    )


def clean(text: bytes | memoryview) -> str:
    """Text that may come from anywhere, for people's eyes and for a log: nothing but lines of printable characters."""
    lines = bytes(text).decode("utf-8", "replace").splitlines()
    return "\n".join("".join(char if char.isprintable() else " " for char in line) for line in lines).strip()


def wait(descriptors: Iterable[tuple[int, int]], until: float) -> set[int]:
    """Those that something happened to before `until`, on the monotonic clock; each with its events."""
    poll = select.poll()
    for descriptor, events in descriptors:
        poll.register(descriptor, events)
    timeout = max(0, math.ceil((until - time.monotonic()) * 1000))
    return {descriptor for descriptor, _ in poll.poll(timeout)}
