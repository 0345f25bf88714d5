"""A server that answers more than it is asked never has an answer taken for another drawing's.

Each behaviour is asked about six drawings whose right answers differ. Either every prediction is that of its drawing,
or the run ends with an error that says what the server did.
"""

import socket
import ssl
from pathlib import Path
from threading import Event

import pytest
import trustme

from goldmar.errors import ExitCode, UnreachableError
from goldmar.predict import Retries, predict
from goldmar.records import Drawing
from goldmar.seam import Message
from goldmar.transport.connection import Connection
from goldmar.transport.endpoint import Endpoint
from tests.integration.fake_server import (
    Asked,
    Behaviour,
    FakeServer,
    answer,
    json_answer,
    named,
    raw,
    then,
    torchserve,
)
from tests.support.servers import At

MORE = "The server answers more than it is asked"


@pytest.fixture
def drawings(tmp_path: Path) -> list[Drawing]:
    made = []
    for number in range(6):
        path = tmp_path / f"{number}.txt"
        path.write_text(str(number))
        made.append(Drawing(str(number), path, "text/plain"))
    return made


def right(make: object) -> Behaviour:
    """The behaviour that `make` gives for the number in the drawing: its right answer."""
    return lambda connection, asked: make(int(asked.body))(connection, asked)  # type: ignore[operator]


PLAIN = right(json_answer)
ECHO = right(named)
SERVE = right(torchserve)
SERVE_NAMELESS = right(lambda number: torchserve(number, ""))


def chunked(number: int) -> Behaviour:
    return raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n%d\r\n0\r\n\r\n" % number, keep=True)


def one_behind() -> Behaviour:
    """Always the answer before, after a first one that was sent twice: what the client sees when a race is lost."""
    last: list[int] = []

    def behave(connection: socket.socket, asked: Asked) -> bool:
        last.append(int(asked.body))
        return torchserve(last[-2] if len(last) > 1 else last[-1], f"id-{max(0, len(last) - 2)}")(connection, asked)

    return behave


def at_once(*behaviours: Behaviour) -> Behaviour:
    """All of them to one request, and what they send in one piece, which is read in one piece."""

    class Gathered:
        def __init__(self) -> None:
            self.data = b""

        def sendall(self, data: bytes) -> None:
            self.data += data

    def behave(connection: socket.socket, asked: Asked) -> bool:
        gathered = Gathered()
        keep = [behaviour(gathered, asked) for behaviour in behaviours][-1]  # type: ignore[arg-type]
        connection.sendall(gathered.data)
        return keep

    return behave


def waiting(event: Event) -> Behaviour:
    return lambda connection, asked: event.wait(60)


def setting(event: Event) -> Behaviour:
    def behave(connection: socket.socket, asked: Asked) -> bool:
        event.set()
        return True

    return behave


def outcome(drawings: list[Drawing], *behaviours: Behaviour, clients: int = 1) -> tuple[list[object], str]:
    """The answers, or none and the error's words."""
    with FakeServer(*behaviours) as server:
        return asked(drawings, At(server.url), clients)


def asked(drawings: list[Drawing], endpoint: At, clients: int = 1) -> tuple[list[object], str]:
    try:
        found = predict("gear", drawings, endpoint, clients=clients, retries=Retries(1, first_s=0.1))
    except UnreachableError as error:
        said = error
    else:
        return [prediction.values["$"] for prediction in found], ""
    assert (said.exit_code, said.model, bool(said.fix)) == (ExitCode.SERVER, "gear", True)
    return [], said.what


# Whatever the timing, which the pauses make likely to hit before, at and after the next request.
PAUSES = [0.0, 0.0005, 0.002, 0.02, 0.1]


@pytest.mark.parametrize("after_s", PAUSES)
@pytest.mark.parametrize(
    "twice",
    [
        (PLAIN, PLAIN),
        (right(chunked), right(chunked)),
        (PLAIN, PLAIN, PLAIN),
        (PLAIN, answer(200, b"5", keep=False)),
        (PLAIN, raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\n5")),
        (ECHO, ECHO),
        (ECHO, PLAIN),
        (SERVE, SERVE_NAMELESS),
    ],
    ids=[
        "plain",
        "chunked",
        "three times",
        "then closes",
        "then says that it closes",
        "echo",
        "echo, plain",
        "nameless",
    ],
)
def test_an_answer_that_comes_twice_is_nobody_elses(
    drawings: list[Drawing], twice: tuple[Behaviour, ...], after_s: float
) -> None:
    values, words = outcome(drawings, then(*twice, after_s=after_s))
    assert values == [0, 1, 2, 3, 4, 5] or words.startswith((MORE, "The answer is not HTTP", "The connection broke"))


FIRST = pytest.mark.parametrize("first", [PLAIN, ECHO, SERVE], ids=["plain", "echo", "torchserve"])
SURPLUS = pytest.mark.parametrize(
    "surplus", [PLAIN, raw(b"x", keep=True), raw(b"\r\n", keep=True)], ids=["answer", "x", "line"]
)


@FIRST
@SURPLUS
def test_bytes_that_come_with_an_answer_end_the_run(
    drawings: list[Drawing], first: Behaviour, surplus: Behaviour
) -> None:
    for asked_about in (drawings[:1], drawings):
        assert outcome(asked_about, at_once(first, surplus))[1].startswith(MORE)


@FIRST
@SURPLUS
def test_bytes_that_come_before_the_next_request_end_the_run(
    drawings: list[Drawing], first: Behaviour, surplus: Behaviour
) -> None:
    taken, came = Event(), Event()
    with FakeServer(then(first, waiting(taken), surplus, setting(came)), ECHO) as server:
        connection = Connection(Endpoint(server.url))
        requests = [Message("/predictions/gear", drawing.path.read_bytes(), "text/plain") for drawing in drawings[:2]]
        answer = connection.ask(requests[0])
        assert answer.body == b"0"
        taken.set()
        assert came.wait(60)
        with pytest.raises(UnreachableError, match=MORE):
            connection.ask(requests[1])
        connection.close()


@FIRST
@SURPLUS
def test_bytes_that_come_sooner_or_later_are_part_of_no_answer(
    drawings: list[Drawing], first: Behaviour, surplus: Behaviour
) -> None:
    values, words = outcome(drawings, then(first, surplus))
    if first is PLAIN:  # each answer has a connection of its own: what comes late, after the next request, is nobody's
        assert values == [0, 1, 2, 3, 4, 5] or words.startswith(MORE)
    else:  # a byte may win the race with the next request, and is then no answer
        assert words.startswith((MORE, "The answer is not HTTP"))


@FIRST
@SURPLUS
def test_bytes_that_come_when_all_is_answered_are_nobodys(
    drawings: list[Drawing], first: Behaviour, surplus: Behaviour
) -> None:
    over = Event()
    with FakeServer(then(first, waiting(over), surplus)) as server:
        assert asked(drawings[:1], At(server.url)) == ([0], "")
        over.set()


def test_a_name_that_came_before_is_a_second_answer(drawings: list[Drawing]) -> None:
    values, words = outcome(drawings, one_behind())
    assert values == []
    assert "the answer 'id-0' came a second time" in words


def test_a_name_that_came_before_over_another_connection(drawings: list[Drawing]) -> None:
    """A proxy that keeps its own connections to the server shifts answers between those of its clients."""
    _, words = outcome(drawings, right(lambda number: torchserve(number, "the same")), clients=4)
    assert "came a second time" in words


def test_an_answer_without_a_name_after_answers_with_one(drawings: list[Drawing]) -> None:
    _, words = outcome(drawings, SERVE, SERVE, SERVE_NAMELESS)
    assert "without the name that those before it had" in words


def test_an_answer_without_a_name_over_a_new_connection_after_answers_with_one(drawings: list[Drawing]) -> None:
    """What a proxy still had for somebody may come first on a connection that is new to us alone."""
    _, words = outcome(drawings, STAMPED, PLAIN)
    assert "without the name that those before it had" in words


def test_an_answer_to_another_request(drawings: list[Drawing]) -> None:
    names: list[str] = []

    def behave(connection: socket.socket, asked: Asked) -> bool:
        names.append(asked.headers["x-request-id"])
        return json_answer(1, headers={"x-request-id": names[max(0, len(names) - 2)]})(connection, asked)

    _, words = outcome(drawings, behave)
    assert "another request than the one that was sent" in words


def test_a_retried_request_that_is_answered_twice(drawings: list[Drawing]) -> None:
    """The second answer to the first attempt, a wrong one, lies there when the second attempt is sent."""
    busy = answer(429, b"{}")
    for first in (busy, raw(b"HTTP/1.1 429 Busy\r\ncontent-length: 0\r\n\r\n", keep=True)):
        values, words = outcome(drawings[:1], then(first, json_answer(99)), PLAIN)
        assert values == [0] or MORE in words


def test_each_request_has_a_name_of_its_own_retries_included(drawings: list[Drawing]) -> None:
    with FakeServer(answer(429, b"{}"), ECHO) as server:
        predict("gear", drawings, At(server.url), clients=3, retries=Retries(1, first_s=0.01))
    names = [asked.headers["x-request-id"] for asked in server.asked]
    assert len(names) == len(set(names)) == 7


def test_a_name_of_the_users_own_stays(drawings: list[Drawing]) -> None:
    with FakeServer(PLAIN) as server:
        predict("gear", drawings, At(server.url, headers={"X-Request-ID": "mine"}), clients=1)
    assert {asked.headers["x-request-id"] for asked in server.asked} == {"mine"}
    assert server.connections == len(drawings)


STAMPED = right(lambda number: json_answer(number, headers={"x-request-id": f"{number}"}))


@pytest.mark.parametrize(
    ("behaviour", "connections"),
    [(PLAIN, 6), (ECHO, 1), (SERVE, 1), (STAMPED, 6)],
)
def test_a_connection_is_kept_where_answers_say_whose_they_are(
    drawings: list[Drawing], behaviour: Behaviour, connections: int
) -> None:
    with FakeServer(behaviour) as server:
        found = predict("gear", drawings, At(server.url), clients=1)
    assert [prediction.values["$"] for prediction in found] == [0, 1, 2, 3, 4, 5]
    assert server.connections == connections


def test_an_answer_that_ends_with_its_connection_is_no_second_one(drawings: list[Drawing]) -> None:
    for ending in (
        b"HTTP/1.1 200 OK\r\n\r\n1",
        b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nConnection: Close\r\n\r\n1",
    ):
        assert outcome(drawings, raw(ending)) == ([1] * 6, "")


@pytest.mark.parametrize("after_s", [0.0, 0.02])
@pytest.mark.parametrize("behaviour", [PLAIN, ECHO, SERVE], ids=["plain", "echo", "torchserve"])
def test_over_tls(drawings: list[Drawing], tmp_path: Path, behaviour: Behaviour, after_s: float) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for answers, taken in ((behaviour, True), (then(behaviour, SERVE_NAMELESS, after_s=after_s), False)):
        with FakeServer(answers, tls=context) as server:
            values, words = asked(drawings, At(server.url, verify=str(tmp_path / "ca.pem")))
            assert values == [0, 1, 2, 3, 4, 5] or (words and not taken)


def test_an_error_without_a_name_on_a_used_connection_is_asked_for_again(drawings: list[Drawing]) -> None:
    """TorchServe's 413 has no name; nor would a proxy's page that comes late, and is another drawing's."""
    refusal = answer(422, b"{}")
    with FakeServer(ECHO, refusal, ECHO) as server:
        assert asked(drawings[:2], At(server.url)) == ([0, 1], "")
    assert [request.connection for request in server.asked] == [0, 0, 1]
