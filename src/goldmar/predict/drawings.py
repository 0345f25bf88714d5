"""Ask one model about many drawings, through whatever server, with the same rules for all."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing

from goldmar.errors import UsageError
from goldmar.predict.pool import Reply, asked
from goldmar.predict.retries import Retries
from goldmar.records import Drawing, Prediction, Request
from goldmar.seam import Server

__all__ = ["predict", "replies_of"]


def predict(
    model: str,
    drawings: Sequence[Drawing],
    server: Server,
    *,
    version: str = "",
    path: str = "",
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
        version, path: what is asked, where it is not as the server's protocol has it; see Request.
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
    replies = replies_of(model, drawings, server, version=version, path=path, clients=clients, retries=retries)
    predictions: dict[int, Prediction] = {}
    with closing(replies):
        for reply in replies:
            prediction = server.protocol.read(reply.request, reply.answer)
            predictions[reply.index] = prediction
            if on_prediction is not None:
                on_prediction(prediction)
    return [predictions[index] for index in range(len(drawings))]


def replies_of(
    model: str,
    drawings: Sequence[Drawing],
    server: Server,
    *,
    version: str = "",
    path: str = "",
    headers: Mapping[str, str] | None = None,
    clients: int,
    retries: Retries | None = None,
) -> Generator[Reply, None, None]:
    """The answers as they come, whatever their statuses. `headers` are sent beside the server's own.

    Raises as `predict` does.
    """
    if clients < 1:
        msg = f"clients is {clients}, and at least one has to ask."
        raise UsageError(msg, model=model)
    more = headers or {}
    return asked(
        len(drawings),
        lambda index, attempt, stop: Request(model, drawings[index], version, path, more, attempt, stop),
        server,
        clients=clients,
        retries=retries or Retries(),
    )
