"""The ways to reach a model: a TorchServe started here, a URL, or TorchServe's worker without its server."""

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from goldmar.packages import Installed
from goldmar.records import Ask, Endpoint

__all__ = ["Server"]


class Server(Protocol):
    """What the pipeline asks of each way. Entering starts it and returns once every model is READY.

    `target` is an Endpoint where predictions go over HTTP, and a function where they do not.
    Entering raises ServerError, TokenError or ModelUnknownError; leaving stops whatever entering started.
    """

    backend: str
    url: str

    @property
    def target(self) -> Endpoint | Ask: ...

    def versions(self) -> Mapping[str, str]:
        """Model name -> version served; a model whose server does not tell is left out."""

    def packages(self) -> Installed:
        """What is installed where the handlers run; empty where the server does not tell."""

    def trouble(self) -> str | None:
        """After a failure: what the server's own log says of it (a handler's traceback), if anything."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
