"""What any server may answer over HTTP: values, a drawing that it could not read, or nothing of use.

| answer                                              | meaning                               | exit |
|-----------------------------------------------------|---------------------------------------|------|
| 200 with JSON                                       | values                                |      |
| 200 with anything else, any other 2xx               | problem of this drawing               | 1    |
| 413, any other 4xx                                  | problem of this drawing               | 1    |
| 401, 403                                            | TokenError                            | 2    |
| 404, 405                                            | ModelUnknownError                     | 2    |
| 429, 503 with Retry-After                           | OverloadedError, once retries are out | 3    |
| 3xx                                                 | UnreachableError: none is followed    | 3    |
| every other 5xx, 407, 408, 1xx                      | ServerError                           | 3    |

A protocol says where a model is (`path`), what its answer holds (`content`), and what it knows better; there is one
module for each.
"""

import json
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from goldmar.errors import (
    GoldenError,
    GoldmarError,
    ModelUnknownError,
    OverloadedError,
    ServerError,
    TokenError,
    UnreachableError,
)
from goldmar.files import read_whole
from goldmar.protocols.leaves import flatten, parse
from goldmar.records import COMMAND_LINE, Answer, Drawing, Edge, Prediction, Request, Value
from goldmar.seam import Message
from goldmar.text import clean, excerpt, holds_secret

__all__ = ["Http", "Refusal", "content_of", "parsed"]

_MESSAGE = 1024 * 1024
"""Bytes: of a longer answer that speaks of an error only the beginning is read."""

_ONLY_JSON = (
    "Only JSON is compared: let the handler answer with json.dumps, or take the model out of the check for now, with "
    "the reason, below [tool.goldmar.no_golden] in pyproject.toml."
)

_WHICH_PAGE = " If it is not the model that answers: {url} and {path}, or request.toml, say where it is asked."

# RFC 9110, 15.3. A JSON number cut in half is a number still.
_NOT_WHOLE = {
    201: "something was made, and is not in the answer",
    202: "the drawing was taken and is not answered yet",
    203: "something between the server and here has changed the answer",
    204: "there is nothing in the answer",
    205: "there is nothing in the answer",
    206: "it is a part of an answer, and nobody asked for a part",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The words of an answer without values. `type` is the server's own name for the error, empty where it has none."""

    type: str
    message: str


class Http:
    """A model behind a path that takes a drawing and answers with JSON. `edge` is how errors spell options."""

    place = "/"
    place_of_version = "/"

    def __init__(self, edge: Edge = COMMAND_LINE) -> None:
        self._edge = edge

    # ---- what is sent

    def message(self, request: Request) -> Message:
        """The drawing as it is, or as the file of a form; read now. Raises GoldenError."""
        body, content_type = _body(request.drawing)
        return Message(self.path(request), body, content_type, request.headers)

    def path(self, request: Request) -> str:
        """Where the model is asked, behind the URL of the server."""
        template = request.path or (self.place_of_version if request.version else self.place)
        return _filled(template, request.model, request.version)

    # ---- what comes back

    def overloaded(self, answer: Answer) -> bool:
        """Whether the server turned the drawing away unseen, so that asking again later makes sense."""
        return answer.status == 429 or (answer.status == 503 and "retry-after" in answer.headers)

    def content(self, answer: Answer) -> Any:
        """The model's own answer, of what a JSON parser returns. Raises ValueError."""
        return parse(answer.body)

    def read(self, request: Request, answer: Answer) -> Prediction:
        """The Prediction that an answer comes to; goldmar.seam.Protocol has what is raised."""
        values: dict[str, Value] = {}
        if answer.status == 200 and "content-range" not in answer.headers:
            values, problem = self._values(answer)
        elif 200 <= answer.status < 300:
            problem = _no_answer(answer.status)
        else:
            said = self.refusal(answer)
            if (error := self._useless(request, answer, said)) is not None:
                error.model, error.url = request.model, answer.url or None
                raise error
            problem = clean(self.problem(answer, said))
        return Prediction(request.drawing.id, values, answer.status, answer.latency_s or 0.0, request.attempt, problem)

    # ---- what a kind of server knows better

    def speaks(self, answer: Answer) -> bool:
        """Whether the answer is surely from the kind of server that is meant, and not from another one."""
        return False

    def about_drawing(self, answer: Answer, said: Refusal) -> bool:
        """Whether a status that would concern every drawing is known to concern this one alone."""
        return False

    def refusal(self, answer: Answer) -> Refusal:
        """The words of an answer without values: FastAPI says detail, many others error or message."""
        body = parsed(answer)
        for key in ("detail", "error", "message"):
            if isinstance(body, dict) and isinstance(body.get(key), str):
                return Refusal("", excerpt(body[key]))
        return Refusal("", excerpt(answer.body))

    def turns_token_down(self, answer: Answer, said: Refusal) -> bool:
        """Whether the answer is about the token."""
        return answer.status in (401, 403)

    def broken(self, answer: Answer, said: Refusal, where: str) -> ServerError:
        """The error for a server that fails; `where` begins with a space and ends with the server's words."""
        fix = "Read the server's log, and that of any proxy in front of it."
        return ServerError(f"The server failed{where}", fix=fix)

    def problem(self, answer: Answer, said: Refusal) -> str:
        """In a sentence, why there is no answer to this drawing."""
        if answer.status == 413:
            return (
                "The drawing is larger than the server takes (status 413); "
                "raise max_request_size in its config.properties, 6553500 bytes unless set."
            )
        verb = "refused the drawing" if answer.status < 500 else "failed on the drawing"
        otherwise = ""
        if answer.status in (400, 415, 422) and not self.speaks(answer):
            otherwise = self._edge.words(
                ". If the server wants the drawing in another form: {field} NAME for a form, {content_type} TYPE, or "
                "request.toml"
            )
        return f"The model {verb} (status {answer.status}): {said.message or 'it does not say why'}{otherwise}"

    # ---- the same for all

    def _values(self, answer: Answer) -> tuple[dict[str, Value], str | None]:
        encoding = answer.headers.get("content-encoding", "identity")
        try:
            if encoding != "identity":
                msg = f"it is encoded as {excerpt(encoding)}, which was not asked for"
                raise ValueError(msg)
            values = flatten(self.content(answer))
            if holds_secret(answer.body, (text for item in values.items() for text in item if isinstance(text, str))):
                msg = "it repeats the token that was sent, which no file must hold"
                raise ValueError(msg)
        except ValueError as error:
            begins = f"It begins {excerpt(answer.body, 80)!r}" if answer.body.strip() else "It is empty"
            problem = f"The answer cannot be read: {error}. {begins}."
            if "not JSON" in str(error):
                which = (
                    " If it is not the model that answers: {url} and {path}, or request.toml, say where it is asked."
                )
                problem += f" {_ONLY_JSON}{'' if self.speaks(answer) else self._edge.words(which)}"
            return {}, clean(problem)
        return values, None

    def _useless(self, request: Request, answer: Answer, said: Refusal) -> GoldmarError | None:
        """The error that ends the run, or None where the answer is about this one drawing."""
        status, overloaded, redirects = answer.status, self.overloaded(answer), 300 <= answer.status < 400
        if status != 507 and not overloaded and not redirects and self.about_drawing(answer, said):
            return None
        model = f" for model {request.model!r}" + (f" at {answer.url}" if answer.url else "")
        where = f"{model} (status {status})" + (f": {said.message}" if said.message else "")
        if self.turns_token_down(answer, said):
            fix = "{token_env} NAME or {token_file} FILE, with a fresh token for predictions in it; where the server "
            fix = self._edge.words(fix + "wants another header: {header} X-Api-Key=NAME")
            return TokenError(f"The server turned the token down{where}", fix=fix)
        if status in (404, 405):
            fix = "Compare the model's name with what the server lists (/models), and {url}, {path} and "
            fix = self._edge.words(fix + "{model_version}, or request.toml, with its addresses")
            return ModelUnknownError(f"The server does not serve predictions{where}", fix=fix)
        if overloaded:
            times = "once" if request.attempt == 1 else f"{request.attempt} times"
            fix = "Lower {clients}, or give the model more workers or a longer queue; see that its workers are READY"
            where = where.replace(model, f"{model}, asked {times}", 1)
            return OverloadedError(
                f"The server had no worker or no room in its queue{where}", fix=self._edge.words(fix)
            )
        if redirects:
            target = excerpt(answer.headers.get("location", "an address it does not name"))
            return UnreachableError(
                f"The server redirects to {target}{model} (status {status}); "
                "redirects are not followed, since the token would travel along.",
                fix=self._edge.words("If that address is right: {url} with it"),
            )
        if status in (407, 408) or status < 200 or status >= 500:
            return self.broken(answer, said, where)
        return None


def content_of(drawing: Drawing) -> bytes:
    """What a drawing's file holds, as large as it was found at most. Raises GoldenError."""
    try:
        return read_whole(drawing.path, drawing.size)
    except OSError as error:
        msg = f"The drawing {drawing.path} cannot be read: {error.strerror or error}."
        raise GoldenError(msg, fix="Put the file back, or take its rows out of the golden.") from error


def _body(drawing: Drawing) -> tuple[bytes, str]:
    """The body of a request and its content type: the file, or a form with the file in one field. Raises GoldenError.

    Format of the form: RFC 7578. The file's own name stays here: it may hold what no header can.
    """
    content, content_type = content_of(drawing), drawing.content_type
    if not drawing.field:
        return content, content_type
    boundary, suffix = secrets.token_hex(16), drawing.path.suffix
    name = f"drawing{suffix if suffix[1:].isalnum() and suffix.isascii() else ''}"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{drawing.field}"; filename="{name}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


@lru_cache
def _filled(template: str, model: str, version: str) -> str:
    for key, value in (("{model}", model), ("{version}", version)):
        template = template.replace(key, quote(value, safe=""))
    return template


def _no_answer(status: int) -> str:
    if status == 200:
        return "The answer says that it is a part of one (Content-Range), and nobody asked for a part."
    why = _NOT_WHOLE.get(status, "only 200 says that this is the whole answer")
    return f"Status {status} is not the answer of a model, which comes with 200: {why}."


def parsed(answer: Answer) -> Any:
    """The JSON of an answer, None where it is none or too long to be words."""
    if len(answer.body) > _MESSAGE:
        return None
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
