"""The helper process behind `decoder`: reads drawings where nothing but itself can come to harm.

    python decoder_process.py SETTINGS         run by `decoder`, with its socket as standard input

Two kinds of process run this file. The first imports the decoders and never sees a drawing; for each `FORK` with two
pipes it forks a reader, in milliseconds and with those imports shared, and for each `END` it kills one. A reader takes
drawings from one pipe, one after the other, within limits of memory and time, and writes to the other what was in them.
It leaves after the first that is not read in good order: nobody else's is read by a process that such a file was in.

Forking is safe here because this process is a fresh interpreter with one thread; a worker with torch in it is not.
"""

import contextlib
import gc
import importlib
import json
import math
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

READY, BROKEN = b"R", b"X"
FORK, END = b"F", b"E"
COMMAND = struct.Struct("!ci")  # FORK and 0, or END and the reader's process id
REPLY = struct.Struct("!i")  # process id of the new reader, or FAILED; how the old one ended, as `waitpid` has it
FAILED = -1

SIZE = struct.Struct("!Q")  # of the drawing that follows
SHEET, REFUSED, MEMORY, FAULT = b"S", b"R", b"M", b"F"
HEADER = struct.Struct("!cHHddI")  # kind, rows, columns, mm_per_px, source_px_per_px, bytes that follow
MAX_TEXT = 4000
CHUNK = 2**20  # bytes that a pipe takes, where the system lets it
MAX_GROWTH = 128 * 2**20  # resident bytes that a reader may have more than at its start, and go on

Answer = Callable[[bytes], tuple[bytes, Any]]  # a drawing -> header, and the bytes that follow it


def main() -> None:
    settings = json.loads(sys.argv[1])
    control = socket.socket(fileno=0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the worker, and its end is ours
    sys.path[:] = settings["path"]
    try:
        module = importlib.import_module(settings["module"])
        read, refusal = getattr(module, settings["function"]), module.BadDrawing
    except BaseException:
        control.sendall(BROKEN + traceback.format_exc().encode()[-MAX_TEXT:])
        return
    keep_freed_memory()
    gc.freeze()  # what is imported stays where it is, shared by all readers
    control.sendall(READY)
    os.dup2(1, 2)  # what decoders print about a file is the file's to say
    readers: set[int] = set()
    while True:
        message, handed, _, _ = socket.recv_fds(control, COMMAND.size, 2)
        if len(message) < COMMAND.size:  # the worker has gone
            for pid in readers:
                os.kill(pid, signal.SIGKILL)
            return
        command, pid = COMMAND.unpack(message)
        if command == FORK:
            reply = _fork(lambda data: _answer(read, refusal, data), settings, control, *handed)
            for descriptor in handed:
                os.close(descriptor)
            readers |= {reply} - {FAILED}
        elif pid not in readers:
            reply = FAILED
        else:
            readers.remove(pid)
            os.kill(pid, signal.SIGKILL)  # still there, if only as a zombie: nobody else waits for it
            reply = os.waitpid(pid, 0)[1]
        control.sendall(REPLY.pack(reply))


def keep_freed_memory() -> None:
    """Have malloc keep freed blocks of up to 16 MB for the next drawing, which else takes a thousand page faults more.

    glibc learns it from the first such block that is freed (mallopt(3), M_MMAP_THRESHOLD); to others this is nothing.
    """
    bytearray(2**24)


def _fork(answer: Answer, settings: dict[str, Any], control: socket.socket, drawings: int, answers: int) -> int:
    """The process id of a new reader; FAILED where the system has no room for one."""
    try:
        pid = os.fork()
    except OSError:
        return FAILED
    if pid:
        return pid
    try:
        control.close()
        _limit(settings["memory_mb"] * 2**20)
        _serve(drawings, answers, answer, settings["seconds"])
    finally:
        os._exit(0)


def _limit(memory: int) -> None:
    import resource  # not on every platform, while the worker imports this module for its constants

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # The address space, and not RLIMIT_DATA: nothing that a decoder maps is left out.
        most = _pages()[0] * os.sysconf("SC_PAGESIZE") + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        with contextlib.suppress(OSError):  # where the machine runs out of memory, the kernel is to take this process
            Path("/proc/self/oom_score_adj").write_text("1000")


def _pages() -> tuple[int, int]:
    """Pages of address space and of resident memory of this process (Linux)."""
    with Path("/proc/self/statm").open("rb", buffering=0) as file:
        size, resident = file.read().split()[:2]
    return int(size), int(resident)


def _resident() -> int:
    return _pages()[1] * os.sysconf("SC_PAGESIZE") if sys.platform == "linux" else 0


def _serve(drawings: int, answers: int, answer: Answer, seconds: float) -> None:
    """Read drawings from one pipe until that ends, and write to the other what was in them."""
    start = _resident()
    while (data := _receive(drawings)) is not None:
        # The worker's own clock is stricter. This one ends a reader that hangs when the worker has gone.
        signal.alarm(math.ceil(seconds) + 2)
        head, body = answer(data)
        signal.alarm(0)
        _send(answers, head, body)
        if head[:1] != SHEET or _resident() > start + MAX_GROWTH:
            return


def _receive(pipe: int) -> bytes | None:
    """The next drawing; None when the other end was closed before."""
    head = _exactly(pipe, SIZE.size)
    return head and _exactly(pipe, *SIZE.unpack(head))


def _exactly(pipe: int, size: int) -> bytes | None:
    chunks = []
    while size:
        chunks.append(os.read(pipe, min(size, CHUNK)))
        if not chunks[-1]:
            return None
        size -= len(chunks[-1])
    return b"".join(chunks)


def _send(pipe: int, head: bytes, body: Any) -> None:
    """In one piece where the pipe takes it: no copy is made to put them together."""
    rest = memoryview(body)
    rest = rest[os.writev(pipe, [head, rest]) - len(head) :]  # the pipe takes at least the head
    while rest:
        rest = rest[os.write(pipe, rest) :]


def _answer(read: Callable[[bytes], Any], refusal: type[Exception], data: bytes) -> tuple[bytes, Any]:
    try:
        sheet = read(data)
        pixels = sheet.pixels.astype("u1", copy=False)
        head = HEADER.pack(SHEET, *pixels.shape, sheet.mm_per_px, sheet.source_px_per_px, pixels.size)
        return head, pixels.ravel()
    except BaseException as error:  # those that stand beside Exception as well: a panic in Rust is one
        if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
            return _text(MEMORY, "")
        if isinstance(error, refusal):
            return _text(REFUSED, str(error))
        return _text(FAULT, traceback.format_exc()) if _is_ours(error) else _text(REFUSED, "")


def _text(kind: bytes, text: str) -> tuple[bytes, bytes]:
    content = text.encode("utf-8", "replace")[-MAX_TEXT:]
    return HEADER.pack(kind, 0, 0, 0.0, 0.0, len(content)), content


def _is_ours(error: BaseException) -> bool:
    """Whether an exception is a fault of the modules beside this one, and not what a decoder says of a bad file.

    That of a decoder was raised in a file that is not ours, or it is of a type that is not Python's own: code in C
    leaves no file behind.
    """
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    files = [file for file in files if not file.startswith("<frozen")]  # importlib: the fault is of who imports
    return type(error).__module__ == "builtins" and Path(files[-1]).parent == Path(__file__).parent


if __name__ == "__main__":
    main()
