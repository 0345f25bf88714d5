"""Servers that tests ask: one behind a URL that nobody looked at first, and one that is a function."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from goldmar.backends.remote import RemoteServer
from goldmar.protocols.torchserve import TorchServe
from goldmar.records import Answer, Drawing, Origin, Request
from goldmar.seam import Server
from goldmar.transport.endpoint import Endpoint

__all__ = ["At", "Function", "read"]


class At(RemoteServer):
    """What answers at a URL, with what an Endpoint takes beside it; nobody looks at it first."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(Endpoint(url, headers or {}, **more), None, ())


class Function(Server):
    """A function of model, drawing and, where it takes a third argument, the headers of the request."""

    protocol = TorchServe()
    origin = Origin("test")

    def __init__(self, answer: Callable[..., Answer]) -> None:
        self._answer = answer
        self._takes_headers = len(inspect.signature(answer).parameters) > 2

    def ask(self, request: Request, /) -> Answer:
        more = (request.headers,) if self._takes_headers else ()
        return self._answer(request.model, request.drawing, *more)


def read(drawing: Drawing, answer: Answer, latency_s: float = 0.1, attempts: int = 1, model: str = "m", url: str = ""):
    """What TorchServe's protocol makes of an answer."""
    answer = Answer(answer.status, answer.content_type, answer.body, answer.headers, latency_s, url)
    return TorchServe().read(Request(model, drawing, attempt=attempts), answer)
