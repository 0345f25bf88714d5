"""What the servers behind a URL have in common, and one that another process has started."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from goldmar.errors import ServerError
from goldmar.protocols.torchserve import TorchServe
from goldmar.records import COMMAND_LINE, Answer, Edge, Origin, Request
from goldmar.seam import Protocol, Server
from goldmar.transport.endpoint import Endpoint
from goldmar.transport.pool import Pool

__all__ = ["HandedServer", "HttpServer"]


class HttpServer(Server):
    """Asked over HTTP from `_open` to `_close`. It can be handed over to another process, headers and all."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self._open_at: tuple[Endpoint, Endpoint | None, Pool] | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where predictions are asked for, tokens included. Raises ServerError outside the block."""
        return self._opened[0]

    @property
    def management(self) -> Endpoint | None:
        """Where the server is controlled; None where only the inference port can be reached. Raises as `endpoint`."""
        return self._opened[1]

    def ask(self, request: Request, /) -> Answer:
        """The answer over a connection of the thread's own."""
        return self._opened[2].ask(request, self.protocol.message(request))

    def token(self) -> str:
        """What stands behind `Bearer` in its header."""
        return self.endpoint.headers.get("Authorization", "").removeprefix("Bearer ")

    def handover(self) -> Mapping[str, Any]:
        """Address, headers and what is known of the server; with secrets in it."""
        endpoint = self.endpoint
        return {
            "endpoint": {key: getattr(endpoint, key) for key in ("url", "verify", "timeout_s")},
            "headers": dict(endpoint.headers),
            "origin": asdict(self.origin),
            "versions": dict(self.versions()),
        }

    def _open(self, endpoint: Endpoint, management: Endpoint | None = None) -> None:
        self._open_at = endpoint, management, Pool(endpoint)

    def _close(self) -> None:
        self._open_at = None

    @property
    def _opened(self) -> tuple[Endpoint, Endpoint | None, Pool]:
        if self._open_at is None:
            raise ServerError("The server is not running.", fix="Ask inside its `with` block")
        return self._open_at


class HandedServer(HttpServer):
    """A server that another process started and goes on to own; `handed` is what `handover` gave there."""

    def __init__(self, handed: Mapping[str, Any], edge: Edge = COMMAND_LINE) -> None:
        super().__init__(TorchServe(edge))
        self._handed = handed
        self._open(Endpoint(**handed["endpoint"], headers=handed["headers"], edge=edge))

    @property
    def origin(self) -> Origin:
        return Origin(**self._handed["origin"])

    def versions(self) -> Mapping[str, str]:
        """As they were when it was handed over."""
        versions: Mapping[str, str] = self._handed["versions"]
        return versions
