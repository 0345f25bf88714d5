"""The one seam for models: a Server is asked, a Protocol makes the request and reads the answer.

`Server.ask(Request) -> Answer` is all that asking needs. Whoever needs to know which server it is has found a hole in
the seam. goldmar.backends has the table of the servers, goldmar.protocols has the protocols.
"""

import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self

from goldmar.packages import Installed
from goldmar.records import Answer, Origin, Prediction, Request

__all__ = ["Message", "Protocol", "Server", "Stopped"]


class Stopped(Exception):
    """The run ended while the request was in flight."""


class Message(NamedTuple):
    """What is sent for a request: a POST of `body` to `path` behind the server's URL; a GET where there is none."""

    path: str
    body: bytes | None = None
    content_type: str = ""
    headers: Mapping[str, str] = MappingProxyType({})


class Protocol(typing.Protocol):
    """How a kind of server is asked, and what its answers mean. Without state, and called from many threads."""

    def message(self, request: Request) -> Message:
        """What is sent; the drawing is read now. Raises GoldenError where it cannot be."""

    def overloaded(self, answer: Answer) -> bool:
        """Whether the server turned the drawing away unseen, so that asking again later makes sense."""

    def read(self, request: Request, answer: Answer) -> Prediction:
        """The values that the model answers with, or the problem of this one drawing.

        Raises TokenError, ModelUnknownError, or a ServerError where the answer concerns every drawing.
        """


class Server(ABC):
    """A way to models, started and stopped by a `with` block.

    A server that needs no start has only to say where it is and to answer.
    """

    protocol: Protocol

    @property
    @abstractmethod
    def origin(self) -> Origin:
        """Where the answers come from."""

    @abstractmethod
    def ask(self, request: Request, /) -> Answer:
        """The answer of the model, whatever its status; called from many threads at once.

        Raises GoldenError for a drawing that cannot be read, RefusedError where asking again may help, any other
        ServerError where nothing can answer, and Stopped.
        """

    def versions(self) -> Mapping[str, str]:
        """Model name -> version served; a model whose server does not tell is left out."""
        return {}

    def packages(self) -> Installed:
        """What is installed where the handlers run; empty where the server does not tell."""
        return Installed()

    def diagnostics(self) -> str | None:
        """After a failure: what the server's own log says of it (a handler's traceback), if anything."""
        return None

    def alive(self) -> bool:
        """Whether it still runs, as far as is known."""
        return True

    def token(self) -> str:
        """The token that predictions are asked with, empty where there is none."""
        return ""

    def handover(self) -> Mapping[str, Any]:
        """What another process needs to ask this server, as JSON; for `resume` of its backend, where that is there."""
        return {}

    def start(self) -> None:  # noqa: B027 -- many a server needs no start
        """Start it, and return once every model is READY. Raises ServerError, TokenError or ModelUnknownError."""

    def stop(self) -> None:  # noqa: B027
        """Stop whatever `start` has started, to the end of it or not; it may be called twice."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
