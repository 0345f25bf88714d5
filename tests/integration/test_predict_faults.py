"""What each fault of the network or the server comes out as: the error, its words, its fix, and how often was asked."""

import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from goldmar.errors import (
    ConfigError,
    GoldenError,
    GoldmarError,
    ModelUnknownError,
    OverloadedError,
    ServerError,
    TokenError,
    UnreachableError,
    UsageError,
    WorkerDiedError,
)
from goldmar.predict import Retries, predict
from goldmar.records import Drawing, Prediction
from tests.integration.fake_server import (
    Asked,
    Behaviour,
    FakeServer,
    answer,
    echo,
    hang_up,
    hold,
    json_answer,
    late,
    named,
    raw,
    reset,
    reset_after,
    torchserve_error,
)
from tests.support.servers import At

QUICK = Retries(limit=3, first_s=0.01, cap_s=0.02)
GOOD = json_answer({"thickness": 9.5})
NO_WORKER = torchserve_error(
    503,
    "ServiceUnavailableException",
    'Model "thickness" has no worker to serve inference request. Please use scale workers API to add workers.',
)


@pytest.fixture
def drawings(tmp_path: Path) -> list[Drawing]:
    made = []
    for number in range(6):
        path = tmp_path / f"{number}.png"
        path.write_bytes(f"drawing {number}".encode())
        made.append(Drawing(str(number), path, "image/png"))
    return made


def ask(server: FakeServer, drawings: list[Drawing], **options: object) -> list[Prediction]:
    endpoint = At(server.url, timeout_s=float(options.pop("timeout_s", 20.0)))  # type: ignore[arg-type]
    return predict("thickness", drawings, endpoint, retries=QUICK, **options)  # type: ignore[arg-type]


def failure(server: FakeServer, drawings: list[Drawing], kind: type[GoldmarError], **options: object) -> GoldmarError:
    with pytest.raises(kind) as caught:
        ask(server, drawings, **options)
    error = caught.value
    assert error.model == "thickness"
    assert error.url == f"{server.url}/predictions/thickness"
    assert error.url in str(error)
    assert error.fix
    return error


BROKEN: dict[str, tuple[Behaviour, str]] = {
    "cut short": (raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"), "The answer was cut short"),
    "chunk cut short": (
        raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n50\r\n{"),
        "The answer was cut short",
    ),
    "reset": (reset, "The connection broke before the whole answer"),
    "reset in the head": (reset_after(b"HTTP/1.1 200 OK\r\ncontent-le"), "The connection broke before the whole"),
    "reset in the body": (
        reset_after(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"),
        "The connection broke before the whole answer",
    ),
    "closed": (hang_up, "The server closed the connection without an answer"),
    "garbage": (raw(b"\x16\x03\x01 what is this?\r\n\r\n"), "The answer is not HTTP"),
    "garbage after the status": (raw(b"HTTP/1.1 200 OK\r\nno header at all\r\n\r\n{}"), "The answer is not HTTP"),
    "a length that is none": (
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n{}"),
        "The answer is not HTTP",
    ),
    "a body announced as huge": (
        raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{"),
        "The answer is longer than 64 MiB",
    ),
    "late": (late(3.0, GOOD), "No whole answer within 0.3 s"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_the_servers_fault_and_not_asked_again(name: str, drawings: list[Drawing]) -> None:
    behaviour, words = BROKEN[name]
    with FakeServer(behaviour) as server:
        error = failure(server, drawings[:1], UnreachableError, timeout_s=0.3 if name == "late" else 20.0)
        assert str(error).startswith(words)
        assert "asked" not in str(error)
        assert error.exit_code == 3
    assert len(server.asked) == 1


def test_an_endless_body_is_broken_off(drawings: list[Drawing]) -> None:
    def endless(connection: object, _asked: object) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")  # type: ignore[attr-defined]
        while True:
            connection.sendall(b"100000\r\n" + b" " * 0x100000 + b"\r\n")  # type: ignore[attr-defined]

    with FakeServer(endless) as server:
        error = failure(server, drawings[:1], UnreachableError)
    assert str(error).startswith("The answer is longer than 64 MiB")


ENDING: dict[str, tuple[Behaviour, type[GoldmarError], int, str]] = {
    "wrong token": (
        torchserve_error(400, "InvalidKeyException", "Token Authorization failed."),
        TokenError,
        2,
        "Token Authorization failed.",
    ),
    "401": (json_answer({"detail": "Not authenticated"}, 401), TokenError, 2, "Not authenticated"),
    "403": (answer(403, b"<h1>Forbidden</h1>"), TokenError, 2, "Forbidden"),
    "unknown model": (
        torchserve_error(404, "ModelNotFoundException", "Model not found: thickness"),
        ModelUnknownError,
        2,
        "Model not found: thickness",
    ),
    "unknown version": (
        torchserve_error(404, "ModelVersionNotFoundException", "Model version: 9.9 does not exist"),
        ModelUnknownError,
        2,
        "9.9 does not exist",
    ),
    "404 of another server": (json_answer({"detail": "Not Found"}, 404), ModelUnknownError, 2, "Not Found"),
    "worker died": (
        torchserve_error(500, "InternalServerException", "Worker died."),
        WorkerDiedError,
        3,
        "Worker died.",
    ),
    "out of memory": (torchserve_error(507, "InternalServerException", "Out of resources"), ServerError, 3, "memory"),
    "worker killed": (
        torchserve_error(507, "InternalServerException", "Worker died."),
        WorkerDiedError,
        3,
        "was killed",
    ),
    "502": (answer(502, b"<html>bad gateway</html>"), ServerError, 3, "bad gateway"),
    "503 of a proxy": (answer(503, b"upstream connect error"), ServerError, 3, "upstream connect error"),
    "redirect": (
        answer(307, headers={"location": "http://elsewhere.example/"}),
        UnreachableError,
        3,
        "redirects to http://elsewhere.example/",
    ),
}


@pytest.mark.parametrize("name", ENDING)
def test_a_status_that_concerns_every_drawing_ends_the_run_at_once(name: str, drawings: list[Drawing]) -> None:
    behaviour, kind, code, words = ENDING[name]
    with FakeServer(behaviour) as server:
        error = failure(server, drawings[:1], kind)
    assert type(error) is kind
    assert error.exit_code == code
    assert words in str(error)
    assert len(server.asked) == 1


ONE_DRAWING: dict[str, tuple[Behaviour, int, str]] = {
    "refused": (json_answer({"error": "The PNG is cut short."}, 400), 400, "The PNG is cut short."),
    "too large": (answer(413), 413, "max_request_size"),
    "raised": (torchserve_error(503, "InternalServerException", "Prediction failed"), 503, "Prediction failed"),
    "wrong number of results": (
        torchserve_error(503, "InternalServerException", "number of batch response mismatched"),
        503,
        "more or fewer results",
    ),
    "raised as PredictionException": (
        torchserve_error(500, "InternalServerException", "no title block"),
        500,
        "no title block",
    ),
    "404 of the handler": (torchserve_error(404, "InternalServerException", "no title block"), 404, "no title block"),
    "not JSON": (answer(200, b"cat"), 200, "not JSON"),
    "empty": (answer(200), 200, "not JSON"),
    "not UTF-8": (answer(200, b'{"label": "\xe9\xe8"}'), 200, "not JSON"),
    "compressed unasked": (
        answer(200, b"\x1f\x8b\x08\x00", headers={"content-encoding": "gzip"}),
        200,
        "encoded as gzip",
    ),
    "a key twice": (answer(200, b'{"a": 1, "a": 2}'), 200, "'a' twice"),
}


@pytest.mark.parametrize("name", ONE_DRAWING)
def test_what_concerns_one_drawing_is_its_problem_and_the_others_are_asked(name: str, drawings: list[Drawing]) -> None:
    behaviour, status, words = ONE_DRAWING[name]
    with FakeServer(behaviour, GOOD) as server:
        first, second = ask(server, drawings[:2], clients=1)
    assert first.problem is not None
    assert words in first.problem
    assert (first.status, first.values, first.attempts) == (status, {}, 1)
    assert (second.problem, second.values) == (None, {"thickness": 9.5})
    assert len(server.asked) == 2


@pytest.mark.parametrize("turned_away", [NO_WORKER, answer(429), answer(503, headers={"retry-after": "0"})])
def test_turned_away_unseen_it_asks_again(turned_away: Behaviour, drawings: list[Drawing]) -> None:
    with FakeServer(turned_away, turned_away, GOOD) as server:
        first, second = ask(server, drawings[:2], clients=1)
    assert (first.values, first.attempts) == ({"thickness": 9.5}, 3)
    assert second.attempts == 1
    assert [asked.body for asked in server.asked] == [b"drawing 0", b"drawing 0", b"drawing 0", b"drawing 1"]


def test_retries_end(drawings: list[Drawing]) -> None:
    with FakeServer(NO_WORKER) as server:
        error = failure(server, drawings[:1], OverloadedError)
    assert "asked 4 times" in str(error)
    assert len(server.asked) == 4


def test_retry_after_is_honoured(drawings: list[Drawing]) -> None:
    with FakeServer(answer(429, headers={"Retry-After": "1"}), GOOD) as server:
        ask(server, drawings[:1])
    first, second = server.asked
    # Not before the second is over, where the back-off alone would come after a hundredth of it.
    assert second.at - first.at >= 0.95


def test_retry_after_is_capped(drawings: list[Drawing]) -> None:
    with FakeServer(answer(429, headers={"retry-after": "86400"}), GOOD) as server:
        endpoint = At(server.url)
        (prediction,) = predict("m", drawings[:1], endpoint, retries=Retries(limit=1, retry_after_cap_s=0.01))
    assert prediction.attempts == 2


def test_refused_then_accepted(drawings: list[Drawing]) -> None:
    with FakeServer(GOOD, listening=False) as server:
        timer = threading.Timer(0.3, server.listen)
        timer.start()
        endpoint = At(server.url)
        (prediction,) = predict("m", drawings[:1], endpoint, retries=Retries(limit=200, first_s=0.02, cap_s=0.02))
        timer.join()
    assert prediction.values == {"thickness": 9.5}
    assert prediction.attempts > 1


def test_refused_for_good(drawings: list[Drawing]) -> None:
    with FakeServer(GOOD, listening=False) as server:
        error = failure(server, drawings, UnreachableError)
    assert "refused" in str(error)
    assert "asked 4 times" in str(error)


def test_connections_are_kept_alive(drawings: list[Drawing]) -> None:
    with FakeServer(named({"thickness": 9.5})) as server:
        ask(server, drawings, clients=2)
    assert len(server.asked) == 6
    assert server.connections <= 2


def test_a_connection_that_the_server_closed_while_idle_is_opened_anew(drawings: list[Drawing]) -> None:
    # It reads the second request on the old connection and closes, as a server does whose idle time runs out just then.
    with FakeServer(named({"thickness": 9.5}), hang_up, GOOD) as server:
        first, second = ask(server, drawings[:2], clients=1)
    assert second.values == first.values == {"thickness": 9.5}
    assert [asked.connection for asked in server.asked] == [0, 0, 1]


def test_a_used_connection_that_breaks_within_the_answer_is_not_asked_again(drawings: list[Drawing]) -> None:
    with FakeServer(named(1), raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"), GOOD) as server:
        failure(server, drawings[:2], UnreachableError, clients=1)
    assert len(server.asked) == 2


def test_a_server_that_dies_in_mid_run_is_reported_after_what_it_had_answered(drawings: list[Drawing]) -> None:
    arrived: list[Prediction] = []
    with FakeServer(GOOD, GOOD, reset, reset) as server:
        failure(server, drawings, UnreachableError, clients=1, on_prediction=arrived.append)
    assert [prediction.drawing_id for prediction in arrived] == ["0", "1"]


def test_the_first_error_stops_the_other_clients(drawings: list[Drawing]) -> None:
    before = set(threading.enumerate())
    with FakeServer(late(0.2, torchserve_error(400, "InvalidKeyException", "no")), hold) as server:
        failure(server, drawings * 10, TokenError, clients=4, timeout_s=600.0)
        clients = [t for t in threading.enumerate() if t not in before and t.name.startswith("goldmar-client")]
        for thread in clients:
            thread.join(timeout=20)
        assert not any(thread.is_alive() for thread in clients)
    # One that was turned down may take the next drawing before the calling thread has heard of it.
    assert 4 <= len(server.asked) <= 5


def test_an_interrupt_in_the_calling_thread_ends_the_run_with_what_came_delivered(drawings: list[Drawing]) -> None:
    arrived: list[str] = []

    def interrupted(prediction: Prediction) -> None:
        arrived.append(prediction.drawing_id)
        if len(arrived) == 2:
            raise KeyboardInterrupt

    with FakeServer(GOOD) as server, pytest.raises(KeyboardInterrupt):
        ask(server, drawings, clients=1, on_prediction=interrupted)
    assert arrived == ["0", "1"]


def test_a_signal_ends_the_run_while_no_answer_comes(drawings: list[Drawing]) -> None:
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        with FakeServer(hold) as server, pytest.raises(KeyboardInterrupt):
            ask(server, drawings, timeout_s=60.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_order_path_type_headers_and_version(drawings: list[Drawing]) -> None:
    last_asked = threading.Event()

    def first_last(connection: socket.socket, asked: Asked) -> bool:
        if asked.body == b"drawing 5":
            last_asked.set()
        elif asked.body == b"drawing 0":
            last_asked.wait(20)
        return echo(connection, asked)

    with FakeServer(first_last) as server:
        endpoint = At(server.url + "/base/", headers={"Authorization": "Bearer T", "X-Empty": ""})
        arrived: list[str] = []
        thread = threading.current_thread()

        def on_prediction(prediction: Prediction) -> None:
            assert threading.current_thread() is thread
            arrived.append(prediction.drawing_id)

        predictions = predict(
            "a model/ä",
            drawings,
            endpoint,
            version="1.0 b",
            clients=3,
            on_prediction=on_prediction,
            retries=QUICK,
        )
    assert [prediction.values["text"] for prediction in predictions] == [f"drawing {n}" for n in range(6)]
    assert [prediction.drawing_id for prediction in predictions] == [drawing.id for drawing in drawings]
    assert sorted(arrived) == [drawing.id for drawing in drawings]
    assert arrived[0] != "0"
    for asked in server.asked:
        assert (asked.method, asked.path) == ("POST", "/base/predictions/a%20model%2F%C3%A4/1.0%20b")
        assert asked.headers["authorization"] == "Bearer T"
        assert asked.headers["x-empty"] == ""
        assert asked.headers["content-type"] == "image/png"
        assert asked.headers["user-agent"].startswith("goldmar/")


def test_latency_is_that_of_the_last_request_alone(drawings: list[Drawing]) -> None:
    with FakeServer(answer(429, headers={"retry-after": "1"}), late(0.2, GOOD)) as server:
        (prediction,) = ask(server, drawings[:1])
    assert prediction.latency_s >= 0.2
    assert prediction.latency_s < server.asked[-1].at - server.asked[0].at + 0.2


def test_headers_of_an_interim_answer_are_not_those_of_the_answer(drawings: list[Drawing]) -> None:
    early = raw(
        b"HTTP/1.1 103 Early Hints\r\ncontent-encoding: gzip\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n7"
    )
    with FakeServer(early) as server:
        (prediction,) = ask(server, drawings[:1])
    assert prediction.values == {"$": 7}


def test_large_and_empty_drawings_arrive_whole(tmp_path: Path) -> None:
    large, empty = tmp_path / "large.png", tmp_path / "empty.png"
    large.write_bytes(bytes(range(256)) * 60_000)  # 15 MB
    empty.write_bytes(b"")
    with FakeServer(echo) as server:
        asked = [Drawing("large", large, "image/png"), Drawing("empty", empty, "image/png")]
        predictions = ask(server, asked, clients=1)
    assert [prediction.values["size"] for prediction in predictions] == [15_360_000, 0]
    assert server.asked[0].body == large.read_bytes()
    # libcurl would ask leave for large bodies, and wait a second where the server does not know that.
    assert "expect" not in server.asked[0].headers


def test_an_early_413_is_heard_while_the_drawing_is_still_being_sent(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(b"\0" * 20_000_000)

    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 0\r\n\r\n")
            while connection.recv(1 << 20):
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    with listener:
        endpoint = At(f"http://127.0.0.1:{listener.getsockname()[1]}")
        (prediction,) = predict("thickness", [Drawing("large", large, "image/png")], endpoint)
        thread.join()
    assert prediction.status == 413
    assert prediction.problem
    assert "max_request_size" in prediction.problem


def test_a_drawing_that_went_away_is_named(drawings: list[Drawing]) -> None:
    drawings[1].path.unlink()
    with FakeServer(GOOD) as server, pytest.raises(GoldenError, match=r"1\.png cannot be read: No such file"):
        ask(server, drawings)


def test_files_are_read_only_when_their_turn_comes(drawings: list[Drawing]) -> None:
    def rewrite(prediction: Prediction) -> None:
        if prediction.drawing_id == "0":
            drawings[-1].path.unlink()
            drawings[-1].path.symlink_to(rewritten)

    rewritten = drawings[0].path.with_name("rewritten")
    rewritten.write_bytes(b"rewritten")
    # One client and slow answers: the last file is still to be read when the first answer arrives.
    with FakeServer(echo, late(0.2, echo)) as server:
        predictions = ask(server, drawings, clients=1, on_prediction=rewrite)
    assert predictions[-1].values["text"] == "rewritten"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def test_tls_with_the_right_authority(tls: ssl.SSLContext, bundle: str, drawings: list[Drawing]) -> None:
    with FakeServer(GOOD, tls=tls) as server:
        (prediction,) = predict("m", drawings[:1], At(server.url, verify=bundle), retries=QUICK)
    assert prediction.values == {"thickness": 9.5}


def test_tls_with_an_authority_that_nobody_knows(tls: ssl.SSLContext, drawings: list[Drawing]) -> None:
    with FakeServer(GOOD, tls=tls) as server:
        error = failure(server, drawings[:1], UnreachableError)
    assert str(error).startswith("The server's certificate is not trusted")
    assert server.asked == []


def test_tls_with_the_wrong_host_name(tls: ssl.SSLContext, bundle: str, drawings: list[Drawing]) -> None:
    with FakeServer(GOOD, tls=tls) as server, pytest.raises(UnreachableError, match="not trusted"):
        predict("m", drawings[:1], At(f"https://127.0.0.1:{server.port}", verify=bundle), retries=QUICK)


def test_tls_trusting_anybody_on_request(tls: ssl.SSLContext, drawings: list[Drawing]) -> None:
    with FakeServer(GOOD, tls=tls) as server:
        endpoint = At(f"https://127.0.0.1:{server.port}", verify=False)
        (prediction,) = predict("m", drawings[:1], endpoint, retries=QUICK)
    assert prediction.problem is None


def test_the_authority_of_the_environment(
    tls: ssl.SSLContext, bundle: str, drawings: list[Drawing], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    with FakeServer(GOOD, tls=tls) as server:
        (prediction,) = ask(server, drawings[:1])
    assert prediction.problem is None


def test_tls_to_a_server_without_it(drawings: list[Drawing]) -> None:
    with FakeServer(GOOD) as server, pytest.raises(UnreachableError, match="TLS could not be agreed on"):
        predict("m", drawings[:1], At(f"https://localhost:{server.port}"), retries=QUICK)


def test_a_bundle_that_is_missing_or_none(tmp_path: Path, tls: ssl.SSLContext, drawings: list[Drawing]) -> None:
    with FakeServer(GOOD, tls=tls) as server:
        with pytest.raises(ConfigError, match="does not exist"):
            predict("m", drawings, At(server.url, verify=str(tmp_path / "none.pem")))
        (tmp_path / "text.pem").write_text("no certificate")
        with pytest.raises(ConfigError, match="cannot be read"):
            predict("m", drawings, At(server.url, verify=str(tmp_path / "text.pem")))


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("file:///etc/passwd?", UsageError, "malformed"),
        ("http://local host", UsageError, "malformed"),
        ("http://localhost:999999", UsageError, "malformed"),
        ("http://nowhere.invalid", UnreachableError, "host name is not known"),
    ],
)
def test_urls_that_lead_nowhere(
    url: str, kind: type[GoldmarError], words: str, drawings: list[Drawing], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(kind, match=words) as caught:
        predict("m", drawings, At(url), retries=QUICK)
    assert caught.value.fix


@pytest.mark.parametrize("value", ["Bearer a\nX-Other: b", "Bearer a\r", "Bearer \0"])
def test_a_header_that_would_smuggle_another_is_refused_and_not_shown(value: str, drawings: list[Drawing]) -> None:
    with FakeServer(GOOD) as server:
        with pytest.raises(UsageError, match="line break") as caught:
            predict("m", drawings, At(server.url, headers={"Authorization": value}))
        assert "Bearer" not in f"{caught.value} {caught.value.fix}"
    assert server.asked == []


@pytest.mark.parametrize("name", ["Größe", "X\aY", "X Y", "X:Y"])
def test_a_name_that_no_header_can_have_is_refused(name: str, drawings: list[Drawing]) -> None:
    with pytest.raises(UsageError, match="no HTTP header can have"):
        predict("m", drawings, At("http://127.0.0.1:9", headers={name: "x"}), retries=QUICK)


def test_no_time_at_all_is_not_all_the_time_there_is(drawings: list[Drawing]) -> None:
    """libcurl takes 0 ms for no limit."""
    with FakeServer(late(2.0, GOOD)) as server, pytest.raises(UnreachableError):
        predict("m", drawings[:1], At(server.url, timeout_s=0.0004), retries=QUICK)


def test_a_password_in_the_url_is_not_shown(drawings: list[Drawing]) -> None:
    with FakeServer(answer(404), listening=True) as server:
        with pytest.raises(ModelUnknownError) as caught:
            predict("m", drawings[:1], At(f"http://user:secret@localhost:{server.port}"))
        assert "secret" not in f"{caught.value} {caught.value.url}"
    with pytest.raises(UnreachableError) as caught2:
        predict("m", drawings[:1], At(f"http://user:secret@localhost:{server.port}"), retries=QUICK)
    assert "secret" not in f"{caught2.value} {caught2.value.url}"


def test_proxies_of_the_environment_are_used_but_never_for_this_machine(
    drawings: list[Drawing], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with FakeServer(GOOD) as proxy, FakeServer(GOOD) as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        ask(server, drawings[:1])
        assert proxy.asked == []
        predict("m", drawings[:1], At("http://models.example:8080"), retries=QUICK)
    assert [asked.path for asked in proxy.asked] == ["http://models.example:8080/predictions/m"]


def test_a_proxy_that_is_down_is_named(drawings: list[Drawing], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with FakeServer(GOOD, listening=False) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with pytest.raises(UnreachableError, match="through the proxy http://localhost"):
            predict("m", drawings[:1], At("http://models.example:8080"), retries=QUICK)
