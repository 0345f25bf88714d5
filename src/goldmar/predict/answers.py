"""What one answer means: values, a drawing the model could not read, or a server that is of no use.

| answer                                              | meaning                               | exit |
|-----------------------------------------------------|---------------------------------------|------|
| 200 with JSON                                       | values                                |      |
| 200 with anything else, any other 2xx               | problem of this drawing               | 1    |
| 503 "Prediction failed" and its kin: the handler    |                                       |      |
| raised; any status that the handler itself chose    | problem of this drawing               | 1    |
| 413, any other 4xx                                  | problem of this drawing               | 1    |
| 400 InvalidKeyException, 401, 403                   | TokenError                            | 2    |
| 404, 405                                            | ModelUnknownError                     | 2    |
| 429, 503 "has no worker", 503 with Retry-After      | OverloadedError, once retries are out | 3    |
| 500 "Worker died."                                  | WorkerDiedError                       | 3    |
| 3xx                                                 | UnreachableError: none is followed    | 3    |
| 507 "Worker died.": it was killed                   | WorkerDiedError                       | 3    |
| 507 and every other 5xx, 407, 408, 1xx              | ServerError                           | 3    |

TorchServe's own errors are JSON of the form {code, type, message} (its ErrorResponse). What its front end turns down
has the name of a Java exception as type; what its worker reports (raised, PredictionException, wrong number of results)
has InternalServerException, which "Worker died." has as well; anything else comes from the handler itself
(set_response_status). So a handler's 404 is told from an unknown model, and a handler's 500, the default of
PredictionException, from a dead worker. Of another server nothing of the kind is known, and a 404 or a 500 is taken to
concern every drawing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from goldmar.errors import (
    GoldmarError,
    ModelUnknownError,
    OverloadedError,
    ServerError,
    TokenError,
    UnreachableError,
    WorkerDiedError,
)
from goldmar.predict.leaves import flatten, parse
from goldmar.records import Answer, Drawing, Prediction
from goldmar.text import clean, excerpt, holds_secret
from goldmar.transport.connection import TORCHSERVE_EXPIRES

__all__ = ["interpret", "overloaded", "retry_after_s"]

_NO_WORKER = "has no worker to serve inference request"
# What ts/service.py says, with status 503, when it is the handler that went wrong.
_HANDLER_FAILED = {
    "Prediction failed": "the handler raised an exception; its traceback is in the server's log",
    "Invalid model predict output": "the handler returned something that is not a list",
    "number of batch response mismatched": "the handler returned more or fewer results than it was given drawings",
}
# What the front end throws on its way from the socket to the queue (HttpRequestHandler, InferenceRequestHandler).
_FRONT_END = {
    "BadRequestException",
    "ConflictStatusException",
    "DownloadArchiveException",
    "IllegalArgumentException",
    "InvalidKeyException",
    "InvalidModelException",
    "MethodNotAllowedException",
    "ModelNotFoundException",
    "ModelVersionNotFoundException",
    "OutOfMemoryError",
    "RequestTimeoutException",
    "ResourceNotFoundException",
    "ServiceUnavailableException",
}

_MESSAGE = 1024 * 1024
"""Bytes: of a longer answer that speaks of an error only the beginning is read."""


def interpret(
    drawing: Drawing,
    answer: Answer,
    latency_s: float,
    attempts: int,
    *,
    model: str | None = None,
    url: str | None = None,
) -> Prediction:
    """Make a Prediction of an answer.

    Args:
        drawing: what was asked about.
        answer: status, content type, body and headers as they came.
        latency_s: seconds from asking to the last byte of the answer.
        attempts: how many times the drawing was sent.
        model, url: put into the error, if one is raised.

    Returns:
        A Prediction with values, or with a `problem` where the model refused the drawing or failed on it.

    Raises:
        TokenError, ModelUnknownError: asking about other drawings would end the same way.
        OverloadedError, WorkerDiedError, UnreachableError, ServerError: infrastructure.
    """
    if answer.status == 200 and "content-range" not in answer.headers:
        return _read(drawing, answer, latency_s, attempts)
    if 200 <= answer.status < 300:
        return Prediction(drawing.id, {}, answer.status, latency_s, attempts, _no_answer(answer.status))
    said = _listen(answer)
    error = _infrastructure(answer, said, attempts, _where(model, url))
    if error is not None:
        error.model, error.url = model, url
        raise error
    return Prediction(drawing.id, {}, answer.status, latency_s, attempts, clean(_problem(drawing, answer, said)))


def overloaded(answer: Answer) -> bool:
    """Whether the server turned the drawing away unseen, so that asking again later makes sense."""
    if answer.status == 429:
        return True
    if answer.status != 503:
        return False
    return "retry-after" in answer.headers or _NO_WORKER in _listen(answer).message


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date; None without one that can be read."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # of an offset from UTC without end
        return None
    return (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _read(drawing: Drawing, answer: Answer, latency_s: float, attempts: int) -> Prediction:
    encoding = answer.headers.get("content-encoding", "identity")
    try:
        if encoding != "identity":
            msg = f"it is encoded as {excerpt(encoding)}, which was not asked for"
            raise ValueError(msg)
        values = flatten(parse(answer.body))
        if holds_secret(answer.body, (text for item in values.items() for text in item if isinstance(text, str))):
            msg = "it repeats the token that was sent, which no file must hold"
            raise ValueError(msg)
    except ValueError as error:
        begins = f"It begins {excerpt(answer.body, 80)!r}" if answer.body.strip() else "It is empty"
        problem = f"The answer cannot be read: {error}. {begins}."
        if "not JSON" in str(error):
            problem += f" {_ONLY_JSON}{'' if _torchserve(answer) else _WHICH_PAGE}"
        return Prediction(drawing.id, {}, answer.status, latency_s, attempts, clean(problem))
    return Prediction(drawing.id, values, answer.status, latency_s, attempts)


_ONLY_JSON = (
    "Only JSON is compared: let the handler answer with json.dumps, or take the model out of the check for now, with "
    "the reason, below [tool.goldmar.no_golden] in pyproject.toml."
)

_WHICH_PAGE = " If it is not the model that answers: --url and --path, or request.toml, say where it is asked."

# RFC 9110, 15.3. A JSON number cut in half is a number still.
_NOT_WHOLE = {
    201: "something was made, and is not in the answer",
    202: "the drawing was taken and is not answered yet",
    203: "something between the server and here has changed the answer",
    204: "there is nothing in the answer",
    205: "there is nothing in the answer",
    206: "it is a part of an answer, and nobody asked for a part",
}


def _no_answer(status: int) -> str:
    if status == 200:
        return "The answer says that it is a part of one (Content-Range), and nobody asked for a part."
    why = _NOT_WHOLE.get(status, "only 200 says that this is the whole answer")
    return f"Status {status} is not the answer of a model, which comes with 200: {why}."


@dataclass(frozen=True, slots=True)
class _Said:
    """The words of an error answer. `type` is TorchServe's name for it, empty where another server speaks."""

    type: str
    message: str


def _by_handler(answer: Answer, said: _Said) -> bool:
    if said.type == "InternalServerException":
        return not said.message.startswith("Worker ")
    return said.type not in _FRONT_END and _torchserve(answer)


def _torchserve(answer: Answer) -> bool:
    """Whether TorchServe speaks, or its worker without it, which has no headers. `UTC` is no HTTP date but its own."""
    return not answer.headers or answer.headers.get("expires", "") == TORCHSERVE_EXPIRES


def _listen(answer: Answer) -> _Said:
    if len(answer.body) > _MESSAGE:
        return _Said("", excerpt(answer.body))
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return _Said("", excerpt(answer.body))
    if not isinstance(body, dict):
        return _Said("", excerpt(answer.body))
    if isinstance(body.get("type"), str) and isinstance(body.get("message"), str) and "code" in body:
        return _Said(excerpt(body["type"]), excerpt(body["message"]))
    # FastAPI says detail, many others error or message.
    for key in ("detail", "error", "message"):
        if isinstance(body.get(key), str):
            return _Said("", excerpt(body[key]))
    return _Said("", excerpt(answer.body))


def _where(model: str | None, url: str | None) -> str:
    return (f" for model {model!r}" if model else "") + (f" at {url}" if url else "")


def _infrastructure(answer: Answer, said: _Said, attempts: int, where: str) -> GoldmarError | None:
    """The error that ends the run, or None where the answer is about this one drawing."""
    status, words = answer.status, f": {said.message}" if said.message else ""
    if status != 507 and not overloaded(answer) and not 300 <= status < 400 and _by_handler(answer, said):
        return None
    if status in (401, 403) or (status == 400 and said.type == "InvalidKeyException"):
        return TokenError(
            f"The server turned the token down{where} (status {status}){words}",
            fix="--token-env NAME or --token-file FILE, with a fresh token for predictions in it; "
            "where the server wants another header: --header X-Api-Key=NAME",
        )
    if status in (404, 405):
        return ModelUnknownError(
            f"The server does not serve predictions{where} (status {status}){words}",
            fix="Compare the model's name with what the server lists (/models), and --url, --path and --model-version, "
            "or request.toml, with its addresses",
        )
    if overloaded(answer):
        times = "once" if attempts == 1 else f"{attempts} times"
        return OverloadedError(
            f"The server had no worker or no room in its queue{where}, asked {times} (status {status}){words}",
            fix="Lower --clients, or give the model more workers or a longer queue; see that its workers are READY",
        )
    if 300 <= status < 400:
        target = excerpt(answer.headers.get("location", "an address it does not name"))
        return UnreachableError(
            f"The server redirects to {target}{where} (status {status}); "
            "redirects are not followed, since the token would travel along.",
            fix="If that address is right: --url with it",
        )
    if status in (407, 408) or status < 200 or status >= 500:
        return _server_error(status, said, words, where)
    return None


def _server_error(status: int, said: _Said, words: str, where: str) -> ServerError:
    if status == 500 and said.message.startswith("Worker "):
        return WorkerDiedError(
            f"The worker died or ran into its response timeout{where} (status {status}){words}",
            fix="Read the server's log for the handler's traceback; if it was only slow, raise responseTimeout.",
        )
    if status == 507 and said.message.startswith("Worker "):  # TorchServe's answer to any SIGKILL
        return WorkerDiedError(
            f"The worker was killed{where}, by somebody or for want of memory (status {status}){words}",
            fix="See who killed it (dmesg tells of the kernel), then run the command again.",
        )
    if status == 507:
        return ServerError(
            f"The worker ran out of memory{where} (status {status}){words}",
            fix="Lower batchSize or the number of workers, or give the server more memory.",
        )
    return ServerError(
        f"The server failed{where} (status {status}){words}",
        fix="Read the server's log, and that of any proxy in front of it.",
    )


_ASKED_OTHERWISE = (
    ". If the server wants the drawing in another form: --field NAME for a form, --content-type TYPE, or request.toml"
)


def _problem(drawing: Drawing, answer: Answer, said: _Said) -> str:
    if answer.status == 413:
        return (
            "The drawing is larger than the server takes (status 413); "
            "raise max_request_size in its config.properties, 6553500 bytes unless set."
        )
    if answer.status == 503 and said.message in _HANDLER_FAILED:
        return f"{said.message} (status 503): {_HANDLER_FAILED[said.message]}."
    verb = "refused the drawing" if answer.status < 500 else "failed on the drawing"
    asked = _ASKED_OTHERWISE if answer.status in (400, 415, 422) and not _torchserve(answer) else ""
    return f"The model {verb} (status {answer.status}): {said.message or 'it does not say why'}{asked}"
