"""Ask one model about many drawings, over HTTP or through a function, with the same rules for both."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from urllib.parse import quote

from goldmar.errors import GoldmarError, UsageError
from goldmar.predict.answers import interpret
from goldmar.predict.pool import Asker, Reply, asked
from goldmar.predict.retries import Retries
from goldmar.records import Answer, Ask, Drawing, Endpoint, Prediction
from goldmar.transport.connection import Connection, Names, Request
from goldmar.transport.network import shown

__all__ = ["exchange", "predict", "replies_of"]


def predict(
    model: str,
    drawings: Sequence[Drawing],
    target: Endpoint | Ask,
    *,
    clients: int = 4,
    on_prediction: Callable[[Prediction], None] | None = None,
    retries: Retries | None = None,
) -> list[Prediction]:
    """Ask the model about every drawing, `clients` at a time.

    Files are read one by one as their turn comes, so that memory holds `clients` of them, however many there are.
    Latency is that of the request alone (of the last one, where there were retries), from asking to the last byte of
    the answer, with opening the connection where one had to be opened.

    Args:
        drawings: sent as they are, in this order.
        target: where to ask: a URL or a function.
        on_prediction: called with each Prediction as it arrives, in the calling thread; what it raises ends the run.
        retries: how a refused connection, a full queue and 429 are asked again.

    Returns:
        One Prediction a drawing, in the order of `drawings`.

    Raises:
        UsageError: no clients, a malformed URL or header.
        ConfigError: the CA bundle cannot be used.
        TokenError, ModelUnknownError: the server turns every drawing down.
        ServerError: nothing answers, or what answers is of no use. At once: the drawings left are not asked.
        GoldenError: a drawing cannot be read.
    """
    url, replies = replies_of(model, drawings, target, clients=clients, retries=retries)
    predictions: dict[int, Prediction] = {}
    with closing(replies):
        for reply in replies:
            prediction = interpret(
                drawings[reply.index], reply.answer, reply.latency_s, reply.attempts, model=model, url=url
            )
            predictions[reply.index] = prediction
            if on_prediction is not None:
                on_prediction(prediction)
    return [predictions[index] for index in range(len(drawings))]


def replies_of(
    model: str,
    drawings: Sequence[Drawing],
    target: Endpoint | Ask,
    *,
    clients: int,
    retries: Retries | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[str | None, Generator[Reply, None, None]]:
    """The address that is asked, fit to be shown (None for a function), and the answers as they come.

    `headers` are sent beside those of the target. Raises as `predict` does.
    """
    if clients < 1:
        msg = f"clients is {clients}, and at least one has to ask."
        raise UsageError(msg, model=model)
    retries = Retries() if retries is None else retries
    if isinstance(target, Endpoint):
        url = _url(target, model)
        requests = [
            Request(url, drawing.path, drawing.content_type, drawing.field, drawing.size) for drawing in drawings
        ]
        if headers:
            target = replace(target, headers={**target.headers, **headers})
        return shown(url), exchange(requests, target, clients=clients, retries=retries, model=model)
    asker = _Function(model, drawings, target, headers)
    return None, asked(len(drawings), lambda _: asker, clients=clients, retries=retries)


def exchange(
    requests: Sequence[Request],
    endpoint: Endpoint,
    *,
    clients: int,
    retries: Retries,
    model: str | None = None,
) -> Generator[Reply, None, None]:
    """Send every request over `clients` connections, kept alive where that is safe, and yield the replies as they come.

    Args:
        endpoint: headers, TLS and time-out; the URLs are those of the requests.
        model: named in errors.

    Raises:
        what `predict` does for a target that is an Endpoint, whatever the statuses of the answers.
    """
    names = Names()
    return asked(
        len(requests),
        lambda stopped: _Http(requests, Connection(endpoint, stopped, model, names)),
        clients=clients,
        retries=retries,
    )


def _url(endpoint: Endpoint, model: str) -> str:
    path = endpoint.path or "/predictions/{model}" + ("/{version}" if endpoint.version else "")
    for key, value in (("{model}", model), ("{version}", endpoint.version)):
        path = path.replace(key, quote(value, safe=""))
    return endpoint.url.rstrip("/") + path


class _Http(Asker):
    def __init__(self, requests: Sequence[Request], connection: Connection) -> None:
        self._requests = requests
        self._connection = connection

    def ask(self, index: int, attempt: int) -> tuple[Answer, float]:
        return self._connection.ask(self._requests[index], attempt)

    def close(self) -> None:
        self._connection.close()


class _Function(Asker):
    def __init__(
        self, model: str, drawings: Sequence[Drawing], ask: Ask, headers: Mapping[str, str] | None = None
    ) -> None:
        self._model = model
        self._drawings = drawings
        self._ask = ask
        self._more = (headers,) if headers else ()

    def ask(self, index: int, attempt: int) -> tuple[Answer, float]:
        started = time.perf_counter()
        try:
            answer = self._ask(self._model, self._drawings[index], *self._more)
        except GoldmarError as error:
            error.model = error.model or self._model
            raise
        return answer, time.perf_counter() - started

    def close(self) -> None:
        pass
