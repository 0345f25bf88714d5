"""Ask one model about many drawings, over HTTP or through a function, with the same rules for both."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from queue import SimpleQueue
from threading import Event, Lock, Thread
from urllib.parse import quote

from goldmar.errors import GoldmarError, UsageError
from goldmar.predict.answers import interpret, overloaded
from goldmar.predict.exchange import BACKLOG, BREATH_S, Reply, Request, exchange
from goldmar.predict.network import shown
from goldmar.predict.retries import Retries
from goldmar.records import Ask, Drawing, Endpoint, Prediction

__all__ = ["predict"]


def predict(
    model: str,
    drawings: Sequence[Drawing],
    target: Endpoint | Ask,
    *,
    clients: int = 4,
    version: str | None = None,
    on_prediction: Callable[[Prediction], None] | None = None,
    retries: Retries | None = None,
) -> list[Prediction]:
    """Ask the model about every drawing, `clients` at a time.

    Files are read one by one as their turn comes, so that memory holds `clients` of them, however many there are.
    Latency is that of the request alone (the last one, where there were retries), from the first byte sent to the last
    byte received, with opening the connection where one had to be opened.

    Args:
        drawings: sent as they are, in this order.
        target: where to ask: a URL or a function.
        version: asks that version instead of the default one; an Endpoint only.
        on_prediction: called with each Prediction as it arrives, in the calling thread. Whatever it raises stops it.
        retries: how a refused connection, a full queue and 429 are asked again.

    Returns:
        One Prediction a drawing, in the order of `drawings`.

    Raises:
        UsageError: no clients, a malformed URL or header, a version for a function.
        TokenError, ModelUnknownError: the server turns every drawing down.
        ServerError: nothing answers, or what answers is of no use. At once: the drawings left are not asked.
        GoldenError: a drawing cannot be read.
    """
    if clients < 1:
        msg = f"clients is {clients}, and at least one has to ask."
        raise UsageError(msg, model=model)
    if not drawings:
        return []
    retries = Retries() if retries is None else retries
    predictions: list[Prediction | None] = [None] * len(drawings)
    if isinstance(target, Endpoint):
        url = _url(target, model, version)
        shown_url: str | None = shown(url)
        requests = [Request("POST", url, drawing.path, drawing.content_type) for drawing in drawings]
        replies = exchange(requests, target, clients=min(clients, len(drawings)), retries=retries, model=model)
    else:
        if version is not None:
            msg = f"Version {version} was asked for, but without a server there is only the one in the archive."
            raise UsageError(msg, model=model)
        shown_url = None
        replies = _ask_all(model, drawings, target, min(clients, len(drawings)), retries)
    with closing(replies):
        for reply in replies:
            drawing = drawings[reply.index]
            prediction = interpret(drawing, reply.answer, reply.latency_s, reply.attempts, model=model, url=shown_url)
            predictions[reply.index] = prediction
            if on_prediction is not None:
                on_prediction(prediction)
    return [prediction for prediction in predictions if prediction is not None]


def _url(endpoint: Endpoint, model: str, version: str | None) -> str:
    base = endpoint.url.rstrip("/")
    tail = "" if version is None else f"/{quote(version, safe='')}"
    return f"{base}/predictions/{quote(model, safe='')}{tail}"


def _ask_all(
    model: str, drawings: Sequence[Drawing], ask: Ask, clients: int, retries: Retries
) -> Generator[Reply, None, None]:
    """What `exchange` does, for a function: threads in place of connections, the same retries."""
    replies: SimpleQueue[Reply | BaseException] = SimpleQueue()
    numbered = iter(enumerate(drawings))
    lock, stopped = Lock(), Event()

    def persist(index: int, drawing: Drawing) -> Reply | None:
        attempts = 0
        while True:
            attempts += 1
            started = time.perf_counter()
            answer = ask(model, drawing)
            latency_s = time.perf_counter() - started
            if not overloaded(answer) or attempts > retries.limit:
                return Reply(index, answer, latency_s, attempts)
            if stopped.wait(retries.pause_s(attempts)):
                return None

    def client() -> None:
        try:
            while not stopped.is_set():
                with lock:
                    index, drawing = next(numbered, (-1, None))
                if drawing is None:
                    return
                while replies.qsize() > BACKLOG and not stopped.is_set():
                    stopped.wait(BREATH_S)
                reply = persist(index, drawing)
                if reply is not None:
                    replies.put(reply)
        except BaseException as error:
            if isinstance(error, GoldmarError) and error.model is None:
                error.model = model
            replies.put(error)

    # Daemons: a function that hangs must not hold a Ctrl-C up.
    for number in range(clients):
        Thread(target=client, name=f"goldmar-ask-{number}", daemon=True).start()
    try:
        for _ in drawings:
            item = replies.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
