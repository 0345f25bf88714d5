"""A worker that means harm: what it answers and what it prints take neither the memory nor the time of goldmar."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from goldmar.backends.worker import WorkerServer
from goldmar.errors import NotReadyError, WorkerDiedError
from goldmar.records import Drawing, Request
from tests.support import liar
from tests.support.odd import make

MB = 2**20


@contextmanager
def bounded(memory: int, seconds: float) -> Iterator[None]:
    """The block takes no more than that; the kernel keeps the peak (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")
    before, began = peak(), time.monotonic()
    yield
    assert time.monotonic() - began < seconds
    assert peak() - before < memory


def peak() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.fixture
def mar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("goldmar.serve.child.SCRIPT", Path(liar.__file__))
    (tmp_path / "drawing").write_text("x")
    return make(tmp_path)


def ask(server: WorkerServer, mar: Path) -> bytes:
    return server.ask(Request("odd", Drawing("x", mar.parents[1] / "drawing", "text/plain"))).body


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("2 GB", "bytes in one answer"),
        ("an id of 2 GB", "bytes in one answer"),
        ("headers", "fields in one answer"),
        ("items", "fields in one answer"),
        ("pieces", "bytes in one answer"),
        ("empty pieces", "fields in one answer"),
    ],
)
def test_an_answer_without_end(mar: Path, monkeypatch: pytest.MonkeyPatch, what: str, said: str) -> None:
    monkeypatch.setenv("LIAR", what)
    memory = 150 * MB if what == "pieces" else 50 * MB
    with bounded(memory, 20), WorkerServer([mar]) as server, pytest.raises(WorkerDiedError, match=said):
        ask(server, mar)


@pytest.mark.parametrize("what", ["lines", "a line"])
def test_a_log_without_end(mar: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setenv("LIAR", what)
    with bounded(40 * MB, 30), WorkerServer([mar]) as server:
        assert ask(server, mar) == b"{}"


def test_a_worker_that_prints_for_ever_and_is_never_ready(mar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIAR", "never ready")
    with bounded(40 * MB, 20), pytest.raises(NotReadyError), WorkerServer([mar], startup_timeout_s=0.5):
        pass


def test_ctrl_c_while_it_is_being_stopped(mar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits until nothing is left: what goes on after the command's end could still hold a port or a file."""
    monkeypatch.setenv("LIAR", "lingers")
    before = set(psutil.Process().children())  # of tests before this one
    server = WorkerServer([mar]).__enter__()
    children = set(psutil.Process().children()) - before
    (child,) = (each for each in children if "goldmar-keeper" not in each.cmdline())
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        server.__exit__(None, None, None)
    assert not child.is_running()
