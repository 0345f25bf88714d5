"""Processes that mean no good: what they print, how they end, and that nothing is left of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from goldmar.errors import CommandError, NotStartedError, TooLongError
from goldmar.process import Exit, Keeper, Process, run
from goldmar.process.child import LINE, LINES
from goldmar.process.family import Family


def wait_for(true: Callable[[], object], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in b"ZX"
    except OSError:
        return False


def written(path: Path) -> list[int]:
    """The process ids that a script has written to a file, once they are there."""
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"))
    return [int(word) for word in path.read_text().split()]


def python(code: str, *words: object) -> list[str]:
    return [sys.executable, "-S", "-c", code, *map(str, words)]


# --- what it prints ---------------------------------------------------------------------------------------------------


def test_lines_are_told_as_they_come() -> None:
    lines: list[str] = []
    done = run(["sh", "-c", "echo one; echo two >&2; exit 7"], merge=True, on_line=lines.append)
    assert (done.code, lines, done.text) == (7, ["one", "two"], "one\ntwo\n")


def test_both_outputs_are_told_apart() -> None:
    done = run(["sh", "-c", r"printf 'one\r\ntwo\rthree'; echo four >&2"])
    assert (done.stdout, done.text, done.errors) == (b"one\r\ntwo\rthree", "one\ntwo\nthree", "four\n")


def test_every_kind_of_line_end_ends_a_line() -> None:
    with Process(["printf", r"one\r\ntwo\rthree\n\nend"]) as process:
        assert process.wait().tail == ("one", "two", "three", "", "end")


def test_nul_escapes_and_what_is_no_text() -> None:
    process = Process(["printf", r"a\000b\033[31m\377\nend without a newline \303"])
    assert process.wait().tail == ("a\0b\x1b[31m\ufffd", "end without a newline \ufffd")
    process.end()


def test_a_million_lines_are_read_and_the_last_are_kept() -> None:
    count = 0

    def on_line(line: str) -> None:
        nonlocal count
        count += 1

    with Process(["seq", "1000000"], on_line=on_line) as process:
        assert process.wait(60).tail[-1] == "1000000"
        assert (count, len(process.lines())) == (1_000_000, LINES)


def test_a_long_line_fills_neither_the_memory_nor_the_time() -> None:
    with Process(["sh", "-c", "head -c 50000000 /dev/zero; echo; head -c 50000 /dev/zero"]) as process:
        assert process.wait(15).tail == ("\0" * LINE, "\0" * LINE)
    with Process(["sh", "-c", "x=$(seq 1000); sleep 0.1; echo $x$x$x"]) as process:
        assert [len(line) for line in process.wait(15).tail] == [LINE]


def test_input_and_output_larger_than_a_pipe() -> None:
    data = os.urandom(1_000_000)
    assert run(["cat"], stdin=data).stdout == data
    assert run(["true"], stdin=data).code == 0  # who does not read it is not waited for


def test_without_input_there_is_none_and_an_open_one_stays_silent() -> None:
    assert run(["cat"]).stdout == b""
    with Process(["cat"], stdin=None) as process, pytest.raises(TimeoutError):
        process.wait(0.2)


def test_lines_that_are_not_worth_keeping() -> None:
    with Process(["printf", r"[METRICS] a\nb\n"], ignore=("[METRICS]",)) as process:
        assert process.wait().tail == ("b",)


def full(line: str) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("more", ["", "; sleep 600"], ids=["ends", "goes on"])
def test_an_error_while_a_line_is_told_ends_it(more: str) -> None:
    """A log that has no room, say: the process must neither hang nor go on unwatched."""
    with pytest.raises(OSError, match="No space left"):
        run(["sh", "-c", f"seq 100000{more}"], on_line=full)


def test_who_still_holds_the_output_of_one_that_has_ended_is_not_waited_for() -> None:
    began = time.monotonic()
    done = run(["sh", "-c", "echo started; sleep 4 & exit 3"])
    assert (done.text, done.code) == ("started\n", 3)
    assert time.monotonic() - began < 3


def test_who_goes_on_printing_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goldmar.process.child._DRAIN_S", 0.3)
    threads = threading.active_count()
    began = time.monotonic()
    assert run(["sh", "-c", "yes & exit 3"]).code == 3
    assert time.monotonic() - began < 15
    wait_for(lambda: threading.active_count() == threads)  # and so it is told that nobody reads


def test_whoever_is_told_a_line_may_ask_how_it_ended() -> None:
    ends: list[Exit | None] = []
    process = Process(["sh", "-c", "(sleep 0.3; echo late) & exit 3"], on_line=lambda _: ends.append(process.exit))
    wait_for(lambda: ends)
    assert [end and end.code for end in ends] == [3]
    process.end()


# --- how it ended -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("exit 0", 0, "ended with exit code 0"),
        ("exit 139", 139, "ended with exit code 139"),
        ("kill -SEGV $$", -11, "was ended by SIGSEGV"),
        ("kill -36 $$", -36, "was ended by signal 36"),
        ("kill -KILL $$", -9, "was killed (SIGKILL)"),
    ],
)
def test_how_it_ended(how: str, code: int, words: str) -> None:
    ended = run(["sh", "-c", how]).exit
    assert (ended.code, ended.words) == (code, words)
    assert bool(ended.killer) is (code == -9)
    assert bool(ended.signal) is (code < 0)


@pytest.mark.parametrize(("now", "said"), [(5, "by somebody"), (6, "for want of memory")])
def test_killed_is_not_out_of_memory_unless_the_kernel_says_so(
    monkeypatch: pytest.MonkeyPatch, now: int, said: str
) -> None:
    counts = iter([5, now])
    monkeypatch.setattr("goldmar.process.child.oom_kills", lambda: next(counts))
    ended = run(["sh", "-c", "kill -KILL $$"]).exit
    assert str(ended).startswith("was killed (SIGKILL) by ")
    assert said in str(ended)


def test_its_last_lines_are_there_as_soon_as_it_has_ended() -> None:
    with Process(["sh", "-c", "seq 100; echo last >&2; exit 4"]) as process:
        wait_for(lambda: not process.alive)
        assert process.exit == Exit(4, (*map(str, range(82, 101)), "last"))


def test_one_that_runs_has_not_ended() -> None:
    with Process(["sleep", "600"]) as process:
        assert (process.alive, process.exit) == (True, None)
    assert process.exit == Exit(-signal.SIGTERM)


# --- what is no command -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "cwd", "said"),
    [
        (["no-such-program"], None, "no-such-program could not be run: No such file"),
        (["/"], None, "/ could not be run: Permission denied"),
        (["true"], "/no/where", "true in the folder /no/where could not be run"),
        (["true", "a\0b"], None, "true could not be run: embedded null byte"),
    ],
)
def test_what_cannot_be_run(command: list[str], cwd: str | None, said: str) -> None:
    threads = threading.active_count()
    with pytest.raises(NotStartedError, match=said) as caught:
        run(command, cwd=cwd)
    assert caught.value.missing is (command[0] == "no-such-program")
    assert bool(caught.value.fix) is caught.value.missing
    assert threading.active_count() == threads


def test_a_failure_is_an_error_where_it_is_asked_for() -> None:
    command = ["sh", "-c", "echo reason >&2; exit 3"]
    assert run(command).code == 3
    with pytest.raises(CommandError, match=r"^sh ended with exit code 3\.$") as caught:
        run(command, check=True)
    assert caught.value.detail == "reason"


def test_one_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(TooLongError, match=r"^sh did not end within 0\.3 s\."):
        run(["sh", "-c", f"sleep 600 & echo $$ $! > {tmp_path}/pids; wait"], timeout_s=0.3)
    assert not any(runs(pid) for pid in written(tmp_path / "pids"))


# --- its end ----------------------------------------------------------------------------------------------------------

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
start = lambda *words, **more: subprocess.Popen([*words, sys.executable, "-S", "-c", CHILD], cwd="/", **more).pid
CHILD = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
pids = [os.getpid(), start(), start("setsid"), start("env", "-i", "setsid")]
if os.fork() == 0:  # a daemon: neither parent nor session tells whose it is
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        open(sys.argv[1] + ".daemon", "w").write(str(os.getpid()) + "\\n")
        time.sleep(600)
    os._exit(0)
os.wait()
open(sys.argv[1], "w").write(" ".join(map(str, pids)) + "\\n")
time.sleep(600)
"""


def test_those_that_ignore_the_signal_and_those_that_went_elsewhere_are_ended(tmp_path: Path) -> None:
    process = Process(python(STUBBORN, tmp_path / "pids"))
    pids = [*written(tmp_path / "pids"), *written(tmp_path / "pids.daemon")]
    assert all(runs(pid) for pid in pids)
    began = time.monotonic()
    assert process.end(0.5).code == -signal.SIGKILL
    assert 0.5 <= time.monotonic() - began < 5
    assert [pid for pid in pids if runs(pid)] == []


def test_what_works_in_its_folder_belongs_to_it(tmp_path: Path) -> None:
    """A daemon that has cleared its environment and lost its parent."""
    folder = tmp_path / "own"
    folder.mkdir()
    script = f"env -i setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 600' & sleep 0.2"
    process = Process(["sh", "-c", script], cwd=folder, keeper=Keeper(folder=folder))
    process.wait(20)
    (pid,) = written(tmp_path / "pid")
    assert runs(pid)
    process.end()
    assert not runs(pid)
    assert not folder.exists()


def test_it_may_end_by_itself_first(tmp_path: Path) -> None:
    script = f"trap 'sleep 0.2; echo bye > {tmp_path}/said; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    ready = threading.Event()
    process = Process(["sh", "-c", script], on_line=lambda line: ready.set())
    ready.wait(20)
    assert process.end(20).code == 5
    assert (tmp_path / "said").exists()


def test_children_alone_may_have_the_grace(tmp_path: Path) -> None:
    """Java takes its time to end, and once its workers are gone there is nothing to wait for."""
    child = f"trap 'echo bye > {tmp_path}/said; exit' TERM; echo ready; while :; do sleep 0.01; done"
    ready = threading.Event()
    script = f"setsid sh -c \"$0\" & trap '' TERM; exec {sys.executable} -S -c 'import time; time.sleep(600)'"
    process = Process(["sh", "-c", script, child], on_line=lambda line: ready.set())
    ready.wait(20)
    began = time.monotonic()
    process.end(10, children_only=True)
    assert time.monotonic() - began < 5
    assert (tmp_path / "said").exists()


def test_without_a_signal_it_is_only_waited_for() -> None:
    with Process(["cat"], stdin=None) as process:
        began = time.monotonic()
        assert process.end(0.3, first=None).code == -signal.SIGKILL
    assert 0.3 <= time.monotonic() - began < 3


def test_who_was_asked_otherwise_leaves_nobody_to_wait_for(tmp_path: Path) -> None:
    process = Process(["sh", "-c", f"env -i setsid sleep 600 & echo $! > {tmp_path}/pid; read -r x"], stdin=None)
    (pid,) = written(tmp_path / "pid")
    threading.Timer(0.3, process._popen.stdin.close).start()
    began = time.monotonic()
    assert process.end(20, first=None).code == 1
    assert time.monotonic() - began < 10
    assert not runs(pid)


def test_what_its_children_start_belongs_to_it_as_well(tmp_path: Path) -> None:
    """In another session, and with an environment that tells nothing."""
    inner = f"env -i setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 600' & wait"
    process = Process(["sh", "-c", 'env -i setsid sh -c "$0" & wait', inner])
    (pid,) = written(tmp_path / "pid")
    process.end(5)
    assert not runs(pid)


UNMARKED = """
import os, sys, time
if os.fork() == 0:
    os.setpgid(0, 0)
    if os.fork() == 0:
        open(sys.argv[1], "w").write(str(os.getpid()) + "\\n")
        time.sleep(600)
    os._exit(0)
os.wait()
time.sleep(600)
"""


def test_one_that_is_not_kept_is_ended_with_its_session(tmp_path: Path) -> None:
    process = Process(python(UNMARKED, tmp_path / "pid"), kept=False)
    assert os.getsid(process.pid) == process.pid, "Ctrl-C at the terminal is for this process"
    (pid,) = written(tmp_path / "pid")
    process.end(0.5)
    assert not runs(pid)


HOPS = """
import os, sys, time
if os.fork() == 0:
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        if os.fork():
            os._exit(0)
    open(sys.argv[1], "w").write("it got through")
else:
    os.wait()
    print("ready", flush=True)
    time.sleep(600)
"""


def test_what_starts_another_and_ends_does_not_get_through(tmp_path: Path) -> None:
    ready = threading.Event()
    process = Process(python(HOPS, tmp_path / "said"), on_line=lambda line: ready.set())
    ready.wait(20)
    process.end(0)
    time.sleep(1.4)
    assert not (tmp_path / "said").exists()


def test_stopped_again_it_looks_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(["sleep", "600"])
    process.end()
    monkeypatch.setattr(process, "_family", None)
    process.end()


def test_stopped_twice_by_several_threads_at_once(tmp_path: Path) -> None:
    process = Process(python(STUBBORN, tmp_path / "pids"))
    pids = written(tmp_path / "pids")
    left: list[list[int]] = []

    def stop() -> None:
        process.end(0.3)
        left.append([pid for pid in pids if runs(pid)])

    threads = [threading.Thread(target=stop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    process.end()
    assert left == [[]] * 4


def test_nobody_takes_himself_for_a_member() -> None:
    assert os.getpid() not in Family(folder=str(Path.cwd())).members()


def test_a_number_that_was_given_to_another_is_left_alone() -> None:
    """After a process was waited for, its number may be a foreign session's."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as foreign:
        process = Process(["true"])
        process.wait()
        process.pid = process._family.session = foreign.pid
        process.end()
        assert foreign.poll() is None
        foreign.kill()


def test_nothing_is_left_open() -> None:
    def open_files() -> list[str]:
        return sorted(path.name for path in Path("/proc/self/fd").iterdir())

    before, threads = open_files(), threading.active_count()
    for _ in range(3):
        run(["sh", "-c", "echo x; echo y >&2"], stdin=b"x")
        Process(["sleep", "600"], stdin=None).end()
        with pytest.raises(NotStartedError):
            run(["no-such-program"])
    wait_for(lambda: threading.active_count() == threads)
    assert open_files() == before


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


def interrupt_once_there(path: Path, times: int = 1) -> None:
    def send() -> None:
        written(path)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    threading.Thread(target=send).start()


def test_ctrl_c_interrupts_the_command_which_may_clear_up(tmp_path: Path) -> None:
    script = f"trap 'echo cleared > {tmp_path}/said; exit' INT; echo $$ > {tmp_path}/pids; while :; do sleep 0.01; done"
    interrupt_once_there(tmp_path / "pids")
    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", script], grace_s=20)
    assert (tmp_path / "said").exists()


def test_ctrl_c_twice_does_not_wait(tmp_path: Path) -> None:
    began = time.monotonic()
    interrupt_once_there(tmp_path / "pids", times=2)
    with pytest.raises(KeyboardInterrupt):
        run(python(STUBBORN, tmp_path / "pids"), grace_s=60)
    assert time.monotonic() - began < 30
    assert not any(runs(pid) for pid in written(tmp_path / "pids"))


def test_ctrl_c_at_the_last_moment_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(["sleep", "600"])
    real = process._family.kill

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        real()

    monkeypatch.setattr(process._family, "kill", kill)
    with pytest.raises(KeyboardInterrupt):
        process.end(0)
    assert not runs(process.pid)


def test_ctrl_c_may_let_it_finish(tmp_path: Path) -> None:
    interrupt_once_there(tmp_path / "pids")
    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", f"echo $$ > {tmp_path}/pids; sleep 0.5; echo done > {tmp_path}/said"], finish=True)
    assert (tmp_path / "said").exists()


def test_ctrl_c_while_it_is_started_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, started = subprocess.Popen, []

    def popen(*words: object, **more: object) -> object:
        started.append(real(*words, **more))
        os.kill(os.getpid(), signal.SIGINT)
        return started[-1]

    monkeypatch.setattr("subprocess.Popen", popen)
    with pytest.raises(KeyboardInterrupt):
        run(["sleep", "600"])
    assert len(started) == 2
    assert all(each.poll() is not None for each in started)


# --- this process is killed -------------------------------------------------------------------------------------------

PARENT = """
import sys, time
from pathlib import Path
from goldmar.process import Keeper, Process
folder = Path(sys.argv[1] + ".folder")
folder.mkdir()
Process([sys.executable, "-S", "-c", sys.argv[2], sys.argv[1]], keeper=Keeper(folder=folder))
time.sleep(600)
"""


@pytest.mark.parametrize("keeper", [None, signal.SIGTERM, signal.SIGHUP])
def test_nothing_survives_a_killed_parent(tmp_path: Path, keeper: signal.Signals | None) -> None:
    """A session that ends may send the keeper a signal first."""
    path = tmp_path / "pids"
    with subprocess.Popen([sys.executable, "-c", PARENT, str(path), STUBBORN], start_new_session=True) as parent:
        pids = [*written(path), *written(tmp_path / "pids.daemon")]
        assert all(runs(pid) for pid in pids)
        for child in psutil.Process(parent.pid).children() if keeper else ():
            if "goldmar-keeper" in child.cmdline():
                child.send_signal(keeper)
                time.sleep(0.1)
        os.killpg(parent.pid, signal.SIGKILL)
    wait_for(lambda: not any(runs(pid) for pid in pids))
    wait_for(lambda: not (tmp_path / "pids.folder").exists())


OTHER_COMMAND = """
import os, sys
from goldmar.process import Keeper
keeper = Keeper(["sh", "-c", "echo down > $1", "sh", sys.argv[1]])
if sys.argv[2] == "dismissed":
    keeper.dismiss()
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("state", ["killed", "dismissed"])
def test_a_keeper_runs_its_command_unless_it_was_dismissed(tmp_path: Path, state: str) -> None:
    subprocess.run([sys.executable, "-c", OTHER_COMMAND, str(tmp_path / "said"), state], check=False)
    if state == "killed":
        wait_for((tmp_path / "said").exists)
    else:
        time.sleep(0.2)
        assert not (tmp_path / "said").exists()


def test_marks_of_processes_within_processes_add_up() -> None:
    inner = "import sys; from goldmar.process import run; sys.stdout.write(run(['printenv', 'GOLDMAR_PROCESS']).text)"
    with Process([sys.executable, "-c", inner]) as outer:
        (marks,) = outer.wait(60).tail
    assert len(marks.split(":")) >= 2
    assert len(set(marks.split(":"))) == len(marks.split(":"))
