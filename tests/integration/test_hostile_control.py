"""A /ping and a management API that mean harm: bounded in size, depth, digits and time, as predictions are."""

import gzip
import json
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from goldmar.errors import GoldmarError, ModelUnknownError, ServerError, UnreachableError, UsageError
from goldmar.protocols import management
from goldmar.protocols.management import Management
from goldmar.seam import Message
from goldmar.transport.connection import Connection
from goldmar.transport.endpoint import Endpoint
from tests.integration.fake_server import Asked, Behaviour, FakeServer, answer, hold, json_answer, raw

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


def endless(start: bytes, piece: bytes, *, pause_s: float = 0.0) -> Behaviour:
    def behave(connection: socket.socket, _asked: Asked) -> bool:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            time.sleep(pause_s)

    return behave


ENDLESS: dict[str, tuple[Behaviour, str]] = {
    "body": (endless(CHUNKED, b"10000\r\n" + b" " * 0x10000 + b"\r\n"), "longer than 4 MiB"),
    "body without a length": (endless(HEAD + b"\r\n", b" " * 0x10000), "longer than 4 MiB"),
    "announced": (raw(HEAD + b"content-length: 99999999999\r\n\r\n{"), "longer than 4 MiB"),
    "headers": (endless(HEAD, b"x-a: " + b"b" * 1000 + b"\r\n"), "head of the answer has no end"),
    "one header": (endless(HEAD + b"x-a: ", b"b" * 0x10000), "head of the answer has no end"),
    "interim answers": (endless(b"", b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n" * 500), "head of the answer has no end"),
    "trailers": (endless(CHUNKED + b"0\r\n", b"x-a: " + b"b" * 1000 + b"\r\n"), "head of the answer has no end"),
    "chunk extension": (endless(CHUNKED + b"1;", b"a" * 0x10000), "No whole answer within 0.5 s"),
    "dripping head": (endless(HEAD, b"x", pause_s=0.1), "No whole answer within 0.5 s"),
    "dripping headers": (endless(HEAD, b"x: y\r\n", pause_s=0.1), "No whole answer within 0.5 s"),
    "dripping body": (
        endless(HEAD + b"content-length: 99999\r\n\r\n", b"x", pause_s=0.1),
        "No whole answer within 0.5 s",
    ),
    "dripping chunks": (endless(CHUNKED, b"1\r\nx\r\n", pause_s=0.1), "No whole answer within 0.5 s"),
    "empty chunk sizes": (endless(CHUNKED, b"0" * 0x1000), ""),
    "nothing": (hold, "No whole answer within 0.5 s"),
}


@pytest.fixture(autouse=True)
def _a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(management, "TIMEOUT_S", 0.5)


@pytest.mark.parametrize("name", ENDLESS)
def test_an_answer_without_end_has_one(name: str) -> None:
    behaviour, words = ENDLESS[name]
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with FakeServer(behaviour) as server:
        control = Management(Endpoint(server.url))
        for ask in (control.ping, control.served):
            with pytest.raises(UnreachableError) as caught:
                ask()
            assert words in str(caught.value)
            assert "curl -v" in (caught.value.fix or "")
        control.close()
    assert time.monotonic() - began < 6
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB


def described(**changes: object) -> bytes:
    return json.dumps([{"modelVersion": "1", "minWorkers": 1, "workers": [], **changes}]).encode()


TOKEN = "token-of-the-management"

STRANGE: dict[str, bytes] = {
    "deep": b"[" * 1_000_000,
    "deep objects": b'{"a":' * 500_000,
    "digits": b'[{"modelVersion": "1", "minWorkers": ' + b"9" * 100_000 + b', "workers": []}]',
    "infinite": b'[{"modelVersion": "1", "minWorkers": Infinity, "workers": []}]',
    "1e999": b'[{"modelVersion": "1", "minWorkers": 1e999, "workers": []}]',
    "no number": b'[{"modelVersion": "1", "minWorkers": NaN, "workers": []}]',
    "pids": described(workers=[{"status": "READY", "pid": {}}]),
    "null": described(workers=None),
    "a version without end": described(modelVersion="9" * 1000),
    "an empty version": described(modelVersion=""),
    "no version": described(modelVersion=None),
    "a version of escapes": described(modelVersion="1\x1b[31m"),
    "the token as a version": described(modelVersion=f"1-{TOKEN}"),
    "not UTF-8": b"\xff\xfe\xfa",
    "NULs": b"\0" * 1000,
    "packed": gzip.compress(b" " * 100_000_000, 1),
}


@pytest.mark.parametrize("name", STRANGE)
def test_an_answer_of_another_shape_is_the_servers_fault(name: str) -> None:
    headers = {"content-encoding": "gzip"} if name == "packed" else {"content-type": "image/png"}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with FakeServer(answer(200, STRANGE[name], headers=headers)) as server:
        token = {"Authorization": f"Bearer {TOKEN}"}
        control = Management(Endpoint(server.url), Endpoint(server.url, token))
        with pytest.raises(ServerError, match="does not answer like TorchServe") as caught:
            control.describe("m")
        assert TOKEN not in f"{caught.value}{caught.value.detail}"
        control.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


@pytest.mark.parametrize("status", [202, 400, 500, 503])
def test_what_another_status_says_of_models_is_not_taken(status: int) -> None:
    with FakeServer(answer(status, json.dumps({"models": [{"modelName": "InvalidKey"}]}).encode())) as server:
        control = Management(Endpoint(server.url))
        with pytest.raises(ServerError, match=f"answers {status} to a question about its models"):
            control.served()
        control.close()


def test_a_list_of_models_without_end_has_one() -> None:
    with FakeServer(json_answer({"models": [{"modelName": "a"}], "nextPageToken": "1"})) as server:
        control = Management(Endpoint(server.url))
        with pytest.raises(UnreachableError, match="does not answer like") as caught:
            control.served()
        control.close()
    assert "no end" in (caught.value.detail or "")


def test_of_many_models_some_are_named() -> None:
    many = json_answer({"models": [{"modelName": f"m\x1b{number:05}"} for number in range(50_000)]})
    with FakeServer(answer(404), many) as server:
        control = Management(Endpoint(server.url))
        with pytest.raises(ModelUnknownError, match=r"m\\x1b00019 and 49980 more\.") as caught:
            control.describe("m")
        control.close()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    with FakeServer(json_answer({})) as other:
        with FakeServer(answer(status, headers={"location": f"{other.url}/{'x' * 5000}"})) as server:
            control = Management(Endpoint(server.url, {"X-Api-Key": "s3cret-s3cret"}))
            with pytest.raises(UsageError, match="redirects to") as caught:
                control.ping()
            control.close()
        assert len(str(caught.value)) < 500
    assert other.asked == []


def test_a_prediction_has_a_head_of_some_size_too(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with FakeServer(ENDLESS["headers"][0]) as server:
        connection = Connection(Endpoint(server.url, timeout_s=20))
        with pytest.raises(GoldmarError, match="head of the answer has no end"):
            connection.ask(Message("", b"x", "image/png"))
        connection.close()


INTERRUPTED = """
import sys
from goldmar.protocols.management import Management
from goldmar.transport.endpoint import Endpoint
print("asking", flush=True)
try:
    Management(Endpoint(sys.argv[1])).ping()
except KeyboardInterrupt:
    print("heard", flush=True)
"""


def test_ctrl_c_is_heard_while_a_server_is_silent() -> None:
    with FakeServer(hold) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "asking\n"
        while not server.asked:
            time.sleep(0.01)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert time.monotonic() - began < 3
    assert (out, err) == ("heard\n", "")
