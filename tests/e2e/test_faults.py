"""What a LocalServer says and leaves when something is killed while it is being asked."""

import os
import signal
import threading
from pathlib import Path

import psutil
import pytest
import requests

from goldmar.backends.local import LocalServer
from tests.e2e.conftest import Archiver, Remains, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("stand_in")]


class Asking(threading.Thread):
    """One slow prediction, in the background; `begin` returns when the handler is at it, and knows by a file."""

    def __init__(self, server: LocalServer, seconds: float, folder: Path) -> None:
        super().__init__()
        self.begun = folder / "begun"
        self.url, self.headers = f"{server.endpoint.url}/predictions/obedient", dict(server.endpoint.headers)
        self.seconds = seconds
        self.answer: requests.Response | None = None
        self.error: requests.RequestException | None = None

    def begin(self) -> None:
        self.begun.unlink(missing_ok=True)
        self.start()
        wait_until(self.begun.exists)

    def run(self) -> None:
        try:
            self.answer = requests.post(
                self.url, data=f"slow {self.seconds} {self.begun}", headers=self.headers, timeout=60
            )
        except requests.RequestException as error:
            self.error = error


def test_a_worker_killed_in_mid_run(archive_of: Archiver, remains: Remains, tmp_path: Path) -> None:
    with LocalServer([archive_of("obedient")]) as server:
        (worker,) = server.pids()["obedient"]
        asking = Asking(server, 30, tmp_path)
        asking.begin()
        os.kill(worker, signal.SIGKILL)
        asking.join(timeout=30)
        assert asking.answer is not None
        assert asking.answer.status_code in {500, 507}  # 507 where the worker was killed by SIGKILL
        assert asking.answer.json()["message"] == "Worker died."
        assert (server.diagnostics() or "").startswith("W-9000-obedient_1.0 ended without a traceback")
        assert server.diagnostics() is None, "it is told once, not for the next model too"
        assert server.alive()
        again = Asking(server, 0, tmp_path)  # TorchServe starts another, and the queue waits for it
        again.run()
        assert again.answer is not None
        assert again.answer.status_code == 200
        assert server.pids()["obedient"] != (worker,)
    assert remains.nothing()


def test_a_handler_that_raises_is_quoted(archive_of: Archiver, remains: Remains) -> None:
    with LocalServer([archive_of("obedient")]) as server:
        assert server.diagnostics() is None
        answer = requests.post(
            f"{server.url}/predictions/obedient",
            data="raise no scale found",
            headers=server.endpoint.headers,
            timeout=60,
        )
        assert answer.status_code == 503
        trouble = (server.diagnostics() or "").splitlines()
        assert trouble[0] == "Traceback (most recent call last):"
        assert trouble[-1] == "ValueError: no scale found"
        assert any('File "obedient.py"' in line for line in trouble)
    assert remains.nothing()


def test_a_server_killed_in_mid_run(archive_of: Archiver, remains: Remains, tmp_path: Path) -> None:
    with LocalServer([archive_of("obedient")]) as server:
        assert server._launch is not None
        asking = Asking(server, 30, tmp_path)
        asking.begin()
        os.kill(server._launch.process.pid, signal.SIGKILL)
        asking.join(timeout=30)
        assert isinstance(asking.error, requests.ConnectionError)
        assert "TorchServe was killed (SIGKILL) by " in (server.diagnostics() or "")
        assert not server.alive()
        assert remains.processes(), "the worker is still busy, and is ours to end"
    assert remains.nothing()


def test_a_worker_that_ignores_sigterm_and_its_child_are_ended(
    archive_of: Archiver, remains: Remains, tmp_path: Path
) -> None:
    with LocalServer([archive_of("obedient")]) as server:
        url = f"{server.url}/predictions/obedient"
        assert requests.post(url, data="stubborn", headers=server.endpoint.headers, timeout=60).status_code == 200
        (worker,) = (psutil.Process(pid) for pid in server.pids()["obedient"])
        assert worker.cwd() == "/", "it is found by its process group"
        assert any("sleep" in process.cmdline() for process in remains.processes())
        asking = Asking(server, 300, tmp_path)  # an idle worker would end by itself when Java has gone
        asking.begin()
    asking.join(timeout=30)
    # A zombie is over as well, and waits for init to take notice.
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    assert remains.nothing()
