"""Ctrl-C, SIGTERM and SIGHUP, once and twice, from the moment that goldmar hears them to its end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from goldmar.process import held_up
from tests.integration.fake_server import FakeServer, json_answer, late
from tests.integration.test_cli import NOBODY, project

__all__ = ["project"]  # a fixture


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command, from the moment that its own handlers are there; before that the signals are Python's."""
    process = subprocess.Popen(
        [sys.executable, "-m", "goldmar", *arguments],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    status = Path(f"/proc/{process.pid}/status")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return process
        time.sleep(0.002)
    raise AssertionError(process.communicate())


MOMENTS = [0.0, 0.05, 0.15, 0.3, 0.6, 1.0, 1.5]


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_ctrl_c_at_any_moment(project: Path, twice: bool) -> None:
    with FakeServer(json_answer({}), late(1.0, json_answer({"mean": 1.0}))) as server:
        running = []
        for moment in MOMENTS:
            process = start(project, "check", "--url", server.url, "--clients", "1")
            time.sleep(moment)
            process.send_signal(signal.SIGINT)
            if twice:
                time.sleep(0.01)
                process.send_signal(signal.SIGINT)
            running.append(process)
        for moment, process in zip(MOMENTS, running, strict=True):
            out, err = process.communicate(timeout=60)
            assert process.returncode == 130, (moment, out, err)
            assert "nterrupted" in err, moment
            assert "Traceback" not in out + err, moment
            assert "Exception ignored" not in err, moment
    assert not list(project.rglob(".*.tmp"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_other_signals_end_it_as_well(project: Path, number: signal.Signals) -> None:
    with FakeServer(json_answer({}), late(5.0, json_answer({"mean": 1.0}))) as server:
        process = start(project, "check", "--url", server.url)
        while len(server.asked) < 2:
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Interrupted after 0 of 3 drawings" in err
    assert "obtained.partial.csv" in err


def test_while_python_imports_nothing_has_begun(project: Path) -> None:
    before = sorted(project.rglob("*"))
    process = start(project, "check", "--url", NOBODY)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "interrupted; nothing was changed\n"
    assert sorted(project.rglob("*")) == before


def test_what_ignores_hang_ups_goes_on_ignoring_them(project: Path) -> None:
    """nohup goldmar check, and the terminal closes."""
    with FakeServer(json_answer({}), late(1.0, json_answer({"mean": 1.0}))) as server:
        process = subprocess.Popen(
            ["nohup", sys.executable, "-m", "goldmar", "check", "--url", server.url],
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while len(server.asked) < 2:
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "FAILED" in out


EARLY = """
import sys
before = set(sys.modules)
from goldmar.cli import signals
print(*sorted({name.partition(".")[0] for name in sys.modules.keys() - before}))
"""


def test_next_to_nothing_is_imported_before_signals_are_heard() -> None:
    """Until then Ctrl-C is Python's, with a traceback."""
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, timeout=60, check=True)
    assert "goldmar" in done.stdout.split()
    assert not {"typing", "threading", "re", "rich", "typer", "pathlib"} & set(done.stdout.split())


IN_ANOTHER_ERROR = """
from goldmar import cli
from goldmar.cli import check

class Bad:
    def __set_name__(self, owner, name):
        raise KeyboardInterrupt

def stop(*_):
    type("Named", (), {"bad": Bad()})  # a RuntimeError, until Python 3.12

check.load_project = stop
cli.main()
"""


def test_ctrl_c_that_became_another_error_is_no_bug() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_ERROR, "check"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (130, "interrupted; nothing was changed\n")


IN_A_DESTRUCTOR = """
import os, signal, sys, time
from goldmar.cli import signals
signals.install()
signals.loaded()
class Thing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000): pass
try:
    Thing()
    time.sleep(5)
    print("lost")
except KeyboardInterrupt:
    print("heard")
"""


def test_a_signal_in_a_destructor_is_not_lost() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_DESTRUCTOR], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("heard\n", "")


SIGNALS = """
import os, signal, sys, time
from goldmar.cli import signals
def ctrl_c(times=1):
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
signals.install()
"""
CLEANS_UP = """
signals.loaded()
try:
    ctrl_c()
except KeyboardInterrupt:
    ctrl_c({more})
    print("cleaned up")
"""
IN_EXEC = """
signals.loaded()
try:
    exec("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
except KeyboardInterrupt:
    print("heard")
signals.end(130)
"""
IN_ANOTHERS_DESTRUCTOR = """
class Thing:
    def __del__(self):
        raise ValueError("what it was")
Thing()
time.sleep(0.1)
"""
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
TOLD = "already stopping: what was started is being ended first\n"
LEFT = "left at once; what was started is ending by itself\n"


@pytest.mark.parametrize(
    ("code", "result"),
    [
        (CLEANS_UP.format(more=2), (0, "cleaned up\n", 2 * TOLD)),
        (CLEANS_UP.format(more=9), (130, "", 2 * TOLD + LEFT)),
        (IN_EXEC, (130, "heard\n", "")),
        ("signals.loaded()\nsignals.end(0)\nctrl_c()", (0, "", "")),
        ("os.close(2)\nctrl_c()", (130, "", "")),
    ],
    ids=["clean-up", "patience", "exec", "the end", "no standard error"],
)
def test_a_signal_ends_in_what_is_documented(code: str, result: tuple[int, str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIGNALS + code], capture_output=True, text=True, timeout=60, env=BUFFERED
    )
    assert (done.returncode, done.stdout, done.stderr) == result


def test_an_error_in_a_destructor_is_no_signal() -> None:
    code = SIGNALS + "signals.loaded()" + IN_ANOTHERS_DESTRUCTOR
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "ValueError: what it was" in done.stderr


def begin(begun: list[str]) -> None:
    with held_up():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        begun.append("noted down")


def test_held_up_signals_come_after_what_was_begun() -> None:
    begun: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        begin(begun)
    assert begun == ["noted down"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
