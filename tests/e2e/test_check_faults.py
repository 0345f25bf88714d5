"""`goldmar check` and `goldmar record` as a user runs them, while a real TorchServe misbehaves.

Each fault: the exit code of the table, a message with a fix, what was obtained so far on disk, no file cut in half, no
process and no folder left. Answers cut short and connections reset, which TorchServe does not do on demand, are in
tests/integration with a server that does.
"""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import requests

from goldmar.backends.local import LocalServer
from goldmar.errors import ExitCode
from tests.e2e.conftest import Archiver, Remains, wait_until

pytestmark = pytest.mark.e2e

GOLDMAR = Path(sys.executable).with_name("goldmar")


@dataclass
class Project:
    """golden/obedient with drawings that say what the model is to do, in the order of their names."""

    root: Path
    drawings: Mapping[str, str]
    store: Path = field(init=False)

    def __post_init__(self) -> None:
        self.store = self.root / "model_store"
        self.store.mkdir(parents=True)
        folder = self.golden / "drawings"
        folder.mkdir(parents=True)
        rows = []
        for name, text in self.drawings.items():
            (folder / f"{name}.txt").write_text(text)
            rows.append(f"{name},bytes,{float(len(text))!r}\n")
        self.expected = "drawing_id,name,pred\n" + "".join(sorted(rows))
        (self.golden / "expected.csv").write_text(self.expected)
        (self.golden / "tolerance.toml").write_text("[default]\natol = 1e-6\n")

    @property
    def golden(self) -> Path:
        return self.root / "golden" / "obedient"

    def so_far(self) -> list[str]:
        """Ids in obtained.partial.csv, after a look that nothing else changed and nothing is cut off."""
        self.look_whole()
        path = self.golden / "obtained.partial.csv"
        text = path.read_text()
        assert text.endswith("\n")
        rows = list(csv.DictReader(text.splitlines()))
        assert all(row["name"] == "bytes" and float(row["pred"]) > 0 for row in rows)
        return [row["drawing_id"] for row in rows]

    def look_whole(self) -> None:
        assert (self.golden / "expected.csv").read_text() == self.expected, "only approve touches a golden"
        assert not [path for path in self.root.rglob("*") if path.name.endswith((".tmp", "~"))]
        assert not (self.golden / "obtained.csv").exists(), "an incomplete run is not to be approved"


@dataclass
class Done:
    """How a command ended."""

    code: int
    text: str


class Running:
    """A command under way. Its lines are read as they come."""

    def __init__(self, project: Project, *arguments: str, prefix: tuple[str, ...] = ()) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in {"http_proxy", "HTTP_PROXY"}}
        self.process = subprocess.Popen(
            [*prefix, str(GOLDMAR), *arguments],
            cwd=project.root,
            env=environment | {"COLUMNS": "200", "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            self.lines.extend(iter(stream.readline, ""))

    def wait_for(self, text: str, seconds: float = 90.0) -> None:
        until = time.monotonic() + seconds
        while not any(text in line for line in self.lines):
            assert self.process.poll() is None, "".join(self.lines)
            assert time.monotonic() < until, "".join(self.lines)
            time.sleep(0.02)

    def end(self, seconds: float = 120.0) -> Done:
        try:
            code = self.process.wait(seconds)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._reader.join()
        return Done(code, "".join(self.lines))


def goldmar(project: Project, *arguments: str, prefix: tuple[str, ...] = ()) -> Done:
    return Running(project, *arguments, prefix=prefix).end()


@pytest.fixture
def local(archive_of: Archiver, remains: Remains, tmp_path: Path) -> Project:
    """A project that starts its own server; one client asks in the order of the names."""
    slow = f"slow 100 {tmp_path / 'begun'}"
    few = {"a": "plate", "b": "flange", "c": slow, "d": "plate", "e": "gasket"}
    project = Project(tmp_path / "project", few)
    archive_of("obedient").rename(project.store / "obedient.mar")
    (project.root / "pyproject.toml").write_text("[tool.goldmar]\nclients = 1\n")
    return project


@contextmanager
def in_mid_run(project: Project, remains: Remains, *arguments: str) -> Iterator[Running]:
    """The first two drawings are answered, the third is being looked at."""
    running = Running(project, *arguments)
    try:
        running.wait_for("asking obedient about")
        assert len(remains.processes()) == 2
        wait_until((project.root.parent / "begun").exists)
        time.sleep(0.5)  # the answer before that is on its way from the thread that asked
        yield running
    finally:
        running.end()


def java(remains: Remains) -> psutil.Process:
    return next(process for process in remains.processes() if "org.pytorch.serve.ModelServer" in process.cmdline())


def worker(remains: Remains) -> psutil.Process:
    return next(p for p in remains.processes() if any("model_service_worker.py" in part for part in p.cmdline()))


# --- a server of its own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "record"])
def test_the_server_is_killed(local: Project, remains: Remains, command: str) -> None:
    with in_mid_run(local, remains, command, "obedient") as running:
        java(remains).kill()
    done = running.end()
    assert done.code == ExitCode.SERVER, done.text
    assert "SIGKILL" in done.text
    assert "fix: " in done.text
    assert "so far: golden/obedient/obtained.partial.csv" in done.text
    assert local.so_far() == ["a", "b"]
    assert remains.nothing()


def test_the_worker_is_killed(local: Project, remains: Remains) -> None:
    with in_mid_run(local, remains, "check") as running:
        worker(remains).kill()
    done = running.end()
    assert done.code == ExitCode.SERVER, done.text
    assert "died" in done.text
    assert "fix: " in done.text
    assert local.so_far() == ["a", "b"]
    assert remains.nothing()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_is_interrupted(local: Project, remains: Remains, number: signal.Signals) -> None:
    with in_mid_run(local, remains, "check") as running:
        running.process.send_signal(number)
    done = running.end()
    assert done.code == ExitCode.INTERRUPTED, done.text
    assert "Interrupted after 2 of 5 drawings of obedient" in done.text
    assert "so far: golden/obedient/obtained.partial.csv" in done.text
    assert "Traceback" not in done.text
    assert local.so_far() == ["a", "b"]
    assert remains.nothing()


def test_it_is_interrupted_while_it_starts(local: Project, remains: Remains) -> None:
    running = Running(local, "check")
    running.wait_for("starting TorchServe")
    running.process.send_signal(signal.SIGINT)
    done = running.end()
    assert done.code == ExitCode.INTERRUPTED, done.text
    assert "Traceback" not in done.text
    local.look_whole()
    assert remains.nothing()


def test_the_server_is_never_ready(local: Project, archive_of: Archiver, remains: Remains) -> None:
    archive_of("never_ready").rename(local.store / "obedient.mar")
    (local.root / "pyproject.toml").write_text("[tool.goldmar]\nstartup_timeout_s = 4\n")
    done = goldmar(local, "check")
    assert done.code == ExitCode.SERVER, done.text
    assert "not ready within 4 s" in done.text
    assert "fix: " in done.text
    local.look_whole()
    assert remains.nothing()


def test_the_handler_cannot_be_imported(local: Project, archive_of: Archiver, remains: Remains) -> None:
    archive_of("import_error").rename(local.store / "obedient.mar")
    done = goldmar(local, "check")
    assert done.code == ExitCode.SERVER, done.text
    assert "ModuleNotFoundError: No module named 'no_such_package_at_all'" in done.text
    assert "fix: " in done.text
    local.look_whole()
    assert remains.nothing()


# --- a server that runs already ---------------------------------------------------------------------------------------


@pytest.fixture
def remote(tmp_path: Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that asks the shared server; its tokens are in INFERENCE_TOKEN and key_file.json."""
    monkeypatch.setenv("INFERENCE_TOKEN", server.endpoint.headers["Authorization"].removeprefix("Bearer "))
    return Project(tmp_path / "project", {"a": "plate", "b": "flange"})


def test_all_is_well(remote: Project, server: LocalServer) -> None:
    """The same way of calling as in the tests below ends well where nothing is wrong."""
    done = goldmar(remote, "check", "--url", server.url, "--token-env", "INFERENCE_TOKEN")
    assert done.code == ExitCode.OK, done.text
    assert (remote.golden / "obtained.csv").read_text() == remote.expected


def test_the_token_is_wrong_or_missing(remote: Project, server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_TOKEN", "wr0ng")
    done = goldmar(remote, "check", "--url", server.url, "--token-env", "INFERENCE_TOKEN")
    assert done.code == ExitCode.USAGE, done.text
    assert "wrong or expired" in done.text
    assert "fix: " in done.text
    assert "wr0ng" not in done.text
    done = goldmar(remote, "check", "--url", server.url)
    assert done.code == ExitCode.USAGE, done.text
    assert "asks for a token" in done.text
    remote.look_whole()


def test_the_token_expires(archive_of: Archiver, remains: Remains, tmp_path: Path) -> None:
    seconds = 15.0
    project = Project(tmp_path / "project", {"a": "plate", "b": f"slow {seconds}", "c": "flange"})
    with LocalServer([archive_of("obedient")], properties={"token_expiration_min": str(seconds / 60)}) as server:
        assert server._launch is not None
        reach = ("--url", server.url, "--token-file", str(server._launch.folder / "key_file.json"), "--clients", "1")
        done = goldmar(project, "check", *reach)
        assert done.code == ExitCode.USAGE, done.text
        assert "expired" in done.text
        assert "fix: " in done.text
        assert project.so_far() == ["a", "b"]
        again = goldmar(project, "check", *reach)
        assert again.code == ExitCode.USAGE, again.text
        assert "wrong or expired" in again.text
    assert remains.nothing()


def test_the_model_is_not_served(remote: Project, server: LocalServer) -> None:
    (remote.root / "golden" / "obedient").rename(remote.root / "golden" / "thicknes")
    management = str(server.management.url)
    assert server._launch is not None
    keys = str(server._launch.folder / "key_file.json")
    done = goldmar(remote, "check", "--url", server.url, "--token-file", keys, "--management-url", management)
    assert done.code == ExitCode.USAGE, done.text
    assert "thicknes" in done.text
    assert "It serves: obedient." in done.text
    assert "fix: " in done.text
    done = goldmar(remote, "check", "--url", server.url, "--token-file", keys)
    assert done.code == ExitCode.USAGE, done.text
    assert "thicknes" in done.text
    assert "fix: " in done.text


def test_nothing_listens(remote: Project) -> None:
    done = goldmar(remote, "check", "--url", "http://127.0.0.1:1")
    assert done.code == ExitCode.SERVER, done.text
    assert "http://127.0.0.1:1" in done.text
    assert "fix: " in done.text
    remote.look_whole()


def test_the_queue_is_full(archive_of: Archiver, remains: Remains, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", {f"d{number:02}": "slow 8" for number in range(12)})
    with LocalServer([archive_of("obedient")], properties={"job_queue_size": "1"}) as server:
        assert server._launch is not None
        keys = str(server._launch.folder / "key_file.json")
        done = goldmar(project, "check", "--url", server.url, "--token-file", keys, "--clients", "12")
        assert done.code == ExitCode.SERVER, done.text
        assert "no room in its queue" in done.text
        assert "fix: " in done.text
        project.so_far()
    assert remains.nothing()


def test_an_answer_that_is_no_json_and_one_that_failed_are_differences(tmp_path: Path, server: LocalServer) -> None:
    project = Project(tmp_path / "project", {"a": "plate", "b": "text", "c": "raise no scale", "d": "refuse too small"})
    assert server._launch is not None
    keys = str(server._launch.folder / "key_file.json")
    done = goldmar(project, "check", "--url", server.url, "--token-file", keys)
    assert done.code == ExitCode.DIFFERENT, done.text
    for words in ("JSON", "too small", "no answer"):
        assert words in done.text
    assert project.so_far() == ["a"]


def test_the_disk_is_full(tmp_path: Path, server: LocalServer) -> None:
    project = Project(tmp_path / "project", {f"drawing-{number:03}": "plate" for number in range(200)})
    assert server._launch is not None
    reach = ("--url", server.url, "--token-file", str(server._launch.folder / "key_file.json"))
    limited = ("prlimit", "--fsize=2048", "--")
    done = goldmar(project, "check", *reach, prefix=limited)
    assert done.code == ExitCode.SERVER, done.text
    assert "obtained" in done.text
    assert "fix: " in done.text
    assert "Traceback" not in done.text
    project.look_whole()
    # What an earlier recording left is void, and says so; nothing of this run is there.
    assert [path.name for path in project.golden.glob("obtained*")] == ["obtained.unfinished.toml"]
    assert goldmar(project, "check", *reach).code == ExitCode.OK, "with space again it goes on as if nothing had been"
    assert sorted(path.name for path in project.golden.glob("obtained*")) == ["obtained.csv", "obtained.toml"]
    assert goldmar(project, "check", *reach, prefix=limited).code == ExitCode.SERVER
    assert [path.name for path in project.golden.glob("obtained*")] == ["obtained.unfinished.toml"], (
        "the old one is void"
    )


def test_the_running_server_is_not_touched(server: LocalServer) -> None:
    """Whatever the tests above did to its clients."""
    answer = requests.post(f"{server.url}/predictions/obedient", data=b"1", headers=server.endpoint.headers, timeout=30)
    assert answer.json() == {"bytes": 1.0}
