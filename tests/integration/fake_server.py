"""A server that does what it is told, wrongly: for the faults that a real TorchServe does not produce on demand.

    with FakeServer(json_answer({"thickness": 9.6}), reset, ...) as server:
        predict("thickness", drawings, At(server.url))

Each request takes the next behaviour; the last one serves all that follow.
"""

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Asked:
    """A request as it came. `connection` counts connections from 0, `at` is time.monotonic()."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    at: float


Behaviour = Callable[[socket.socket, Asked], bool]
"""Answers on the socket; False closes the connection."""


class FakeServer:
    """Plain sockets, one thread a connection, on a free port of the loopback address.

    Args:
        behaviours: one a request, the last for all that follow.
        tls: wraps each connection.
        listening: False refuses connections until `listen()`.
    """

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None, listening: bool = True) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self._behaviours = behaviours
        self._tls = tls
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._closing = False
        # Bound and not listening, the port refuses connections and nobody else gets it.
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        self._listening = listening

    def __enter__(self) -> Self:
        if self._listening:
            self.listen()
        return self

    def listen(self) -> None:
        self._socket.listen(64)
        self._spawn(self._accept)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        for opened in (self._socket, *self._open):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in list(self._threads):
            thread.join(timeout=10)
            assert not thread.is_alive()

    def _spawn(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                number, self.connections = self.connections, self.connections + 1
            self._spawn(self._serve, connection, number)

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.add(connection)
            with connection, connection.makefile("rb") as stream:
                while (asked := _read(stream, number)) is not None:
                    with self._lock:
                        behaviour = self._behaviours[min(len(self.asked), len(self._behaviours) - 1)]
                        self.asked.append(asked)
                    if not behaviour(connection, asked):
                        return
        except (OSError, ValueError):
            return  # the client went away, which is what many tests are about
        finally:
            self._open.discard(connection)
            connection.close()


def _read(stream: Any, number: int) -> Asked | None:
    first = stream.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while line := stream.readline().strip().decode("latin-1"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Asked(first[0], first[1], headers, body, number, time.monotonic())


def raw(data: bytes, *, keep: bool = False) -> Behaviour:
    """Exactly these bytes; the connection is closed after them unless kept."""

    def behave(connection: socket.socket, _asked: Asked) -> bool:
        connection.sendall(data)
        return keep

    return behave


def answer(
    status: int = 200, body: bytes = b"", *, headers: Mapping[str, str] | None = None, keep: bool = True
) -> Behaviour:
    """A well-formed answer."""
    fields = {"content-length": str(len(body)), "content-type": "application/json", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return raw(f"HTTP/1.1 {status} Any Words\r\n{head}\r\n".encode("latin-1") + body, keep=keep)


def json_answer(value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Behaviour:
    return answer(status, json.dumps(value).encode(), headers=headers)


def torchserve_error(status: int, kind: str, message: str) -> Behaviour:
    """TorchServe's ErrorResponse."""
    return json_answer({"code": status, "type": kind, "message": message}, status)


def named(value: Any) -> Behaviour:
    """200 with JSON and the name that the request has, as many proxies answer: the connection is kept."""

    def behave(connection: socket.socket, asked: Asked) -> bool:
        return json_answer(value, headers={"x-request-id": asked.headers["x-request-id"]})(connection, asked)

    return behave


def torchserve(value: Any, name: str | None = None) -> Behaviour:
    """200 with JSON as TorchServe sends it, with a name of its own for the request; with none where `name` is empty."""

    def behave(connection: socket.socket, asked: Asked) -> bool:
        headers = {"expires": "Thu, 01 Jan 1970 00:00:00 UTC", "pragma": "no-cache"}
        given = str(uuid.uuid4()) if name is None else name
        return json_answer(value, headers=headers | ({"x-request-id": given} if given else {}))(connection, asked)

    return behave


def then(*behaviours: Behaviour, after_s: float = 0.0) -> Behaviour:
    """All of them, to one request, with a pause before each but the first."""

    def behave(connection: socket.socket, asked: Asked) -> bool:
        keep = True
        for number, behaviour in enumerate(behaviours):
            if number:
                time.sleep(after_s)
            keep = behaviour(connection, asked)
        return keep

    return behave


def echo(connection: socket.socket, asked: Asked) -> bool:
    """200 with what was asked."""
    said = {"path": asked.path, "size": len(asked.body), "text": asked.body[:100].decode("latin-1")}
    return json_answer(said)(connection, asked)


def reset(connection: socket.socket, _asked: Asked) -> bool:
    """RST instead of an answer."""
    _linger(connection)
    return False


def reset_after(data: bytes) -> Behaviour:
    """These bytes, time for them to arrive, then RST."""

    def behave(connection: socket.socket, _asked: Asked) -> bool:
        connection.sendall(data)
        time.sleep(0.2)
        _linger(connection)
        return False

    return behave


def hang_up(_connection: socket.socket, _asked: Asked) -> bool:
    """An orderly close instead of an answer."""
    return False


def hold(connection: socket.socket, _asked: Asked) -> bool:
    """No answer at all, until the client goes away."""
    connection.recv(1)
    return False


def late(seconds: float, then: Behaviour) -> Behaviour:
    """`then`, after a while."""

    def behave(connection: socket.socket, asked: Asked) -> bool:
        time.sleep(seconds)
        return then(connection, asked)

    return behave


def _linger(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
