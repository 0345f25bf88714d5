"""The functions of a reader, run here: when it leaves, and what it says of each thing that reading can raise."""

import errno
import importlib.util
import os
import signal
import socket
from pathlib import Path
from typing import Any

import decoder_process as wire
import pytest
from sheet import BadDrawing

OURS, THEIRS = Path(wire.__file__).parent, Path("/somewhere/else")


@pytest.mark.parametrize(
    ("kind", "grown", "taken"),
    [
        (wire.SHEET, 0, 2),
        (wire.SHEET, wire.MAX_GROWTH, 2),
        (wire.SHEET, wire.MAX_GROWTH + 1, 1),
        (wire.REFUSED, 0, 1),
        (wire.MEMORY, 0, 1),
        (wire.FAULT, 0, 1),
    ],
)
def test_a_reader_leaves_after_a_bad_drawing_and_when_it_grew(
    kind: bytes, grown: int, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drawings, to), (back, answers) = os.pipe(), os.pipe()
    sizes, clocks, drawing = iter([100, 100 + grown, 100]), [], wire.SIZE.pack(1) + b"x"
    monkeypatch.setattr(wire, "_resident", lambda: next(sizes))

    def answer(data: bytes) -> tuple[bytes, bytes]:
        clocks.append(signal.getitimer(signal.ITIMER_REAL)[0])
        if len(clocks) == 1:
            os.write(to, drawing)
        else:
            os.close(to)
        return kind, data

    os.write(to, drawing)
    wire._serve(drawings, answers, answer, 20.0)
    assert signal.alarm(0) == 0  # none goes off in a reader that waits
    assert all(20 < clock <= 22 for clock in clocks)
    assert os.read(back, 100) == (kind + b"x") * taken == (kind + b"x") * len(clocks)
    for descriptor in (drawings, back, answers, *([to] if taken == 1 else [])):
        os.close(descriptor)


@pytest.mark.parametrize("sent", [b"", b"\0\0\0", wire.SIZE.pack(5), wire.SIZE.pack(5) + b"1234"])
def test_a_drawing_that_was_cut_off_is_none(sent: bytes) -> None:
    drawings, to = os.pipe()
    os.write(to, sent)
    os.close(to)
    assert wire._receive(drawings) is None
    os.close(drawings)


class Panic(BaseException):
    """As that of a library in Rust."""


@pytest.mark.parametrize(
    ("code", "folder", "kind", "text"),
    [
        ("raise BadDrawing('too blue.')", OURS, wire.REFUSED, "too blue."),
        ("raise BadDrawing('\\udcff')", OURS, wire.REFUSED, "?"),
        ("raise BadDrawing('x' * 5000 + '.')", OURS, wire.REFUSED, "x" * (wire.MAX_TEXT - 1) + "."),
        ("raise MemoryError", OURS, wire.MEMORY, ""),
        ("raise MemoryError", THEIRS, wire.MEMORY, ""),
        ("raise BadDrawing('large') from MemoryError()", OURS, wire.MEMORY, ""),
        ("raise ValueError('theirs')", THEIRS, wire.REFUSED, ""),
        ("import struct; struct.unpack('>I', b'')", OURS, wire.REFUSED, ""),
        ("raise Panic", THEIRS, wire.REFUSED, ""),
        ("raise SystemExit", THEIRS, wire.REFUSED, ""),
        ("{}['mine']", OURS, wire.FAULT, "KeyError: 'mine'"),
        ("import nowhere_to_be_found", OURS, wire.FAULT, "No module named"),
        ("import cut_off", OURS, wire.FAULT, "EOFError"),
        ("raise ValueError('x' * 5000 + 'the end')", OURS, wire.FAULT, "the end"),
    ],
)
def test_whose_fault_it_is(
    code: str, folder: Path, kind: bytes, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cut_off.pyc").write_bytes(importlib.util.MAGIC_NUMBER + bytes(12))
    monkeypatch.syspath_prepend(tmp_path)
    compiled = compile(code, str(folder / "file.py"), "exec")

    def read(data: bytes) -> Any:
        exec(compiled, {"BadDrawing": BadDrawing, "Panic": Panic})

    head, content = wire._answer(read, BadDrawing, b"")
    (said, *_, length), body = wire.HEADER.unpack(head), content.decode()
    assert said == kind
    assert length == len(content) <= wire.MAX_TEXT
    assert text in body if kind == wire.FAULT else text == body


def test_no_room_for_a_reader_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    with socket.socket() as control:
        assert wire._fork(lambda data: (wire.SHEET, data), {}, control, 0, 0) == wire.FAILED
