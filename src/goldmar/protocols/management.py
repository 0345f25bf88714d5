"""Control calls to a TorchServe: is it there, what does it serve, how many workers are READY. Predictions go elsewhere.

They go over the connection that predictions go over, so that whatever is wrong has the same words; they have less time,
and an answer is a page of JSON, not a mask.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from goldmar.errors import ModelUnknownError, ServerError, TokenError, UnreachableError, UsageError
from goldmar.layout import did_you_mean
from goldmar.records import Answer
from goldmar.seam import Message
from goldmar.text import clean, excerpt
from goldmar.transport.control import Control
from goldmar.transport.endpoint import Endpoint

__all__ = ["Described", "Management"]

TIMEOUT_S = 10.0
"""For the whole of one answer, however slowly its bytes drip."""

MAX_BYTES = 4 * 1024 * 1024
"""Of one answer: a list of tens of thousands of models."""

_PAGES = 100
_NAMED = 20
_VERSION_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Described:
    """What the management API says about one version of a model. `pids` are those of its READY workers."""

    model: str
    version: str
    wanted: int
    pids: tuple[int, ...]

    @property
    def ready(self) -> bool:
        """At least `minWorkers` workers are READY, and at least one is."""
        return len(self.pids) >= max(1, self.wanted)


class Management:
    """The control calls, one after another, to one or both addresses of a server. Close it after use."""

    def __init__(self, inference: Endpoint, management: Endpoint | None = None) -> None:
        self._inference = _Asked(inference)
        self._management = _Asked(management or inference)

    def close(self) -> None:
        """Give the connections back."""
        self._inference.close()
        self._management.close()

    def ping(self) -> Answer:
        """`GET /ping` of the inference address: whatever answers. Raises UnreachableError, TokenError, UsageError."""
        return self._inference.get("/ping")

    def served(self) -> list[str]:
        """Names of all models that are registered. Raises UnreachableError, TokenError."""
        names: list[str] = []
        more = ""
        for _ in range(_PAGES):
            answer = self._management.get(f"/models?limit=100{more}")
            page = _parsed(answer, self._url)
            with _strangeness(answer, self._url):
                names += [str(model["modelName"]) for model in page["models"]]
                token = page.get("nextPageToken")
            if not token:
                return sorted(names)
            more = f"&next_page_token={quote(str(token))}"
        raise _strange(self._url, f"its list of models has no end: more than {_PAGES} pages".encode())

    def describe(self, model: str, version: str | None = None) -> Described:
        """One version, the default one without `version`. Raises ModelUnknownError, UnreachableError, TokenError."""
        path = f"/models/{quote(model, safe='')}" + (f"/{quote(version, safe='')}" if version else "")
        answer = self._management.get(path)
        if answer.status == 404:
            which = f"version {version} of the model {model!r}" if version else f"the model {model!r}"
            names = self.served()
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            served = ", ".join(clean(name) for name in names[:_NAMED]) + more
            msg = f"{self._inference.url} does not serve {which}. It serves: {served or 'none at all'}."
            msg += clean(did_you_mean(model, [name for name in names if name != model]))
            raise ModelUnknownError(msg, model=model, url=self._url, fix="Name one of these, or register the model")
        said = _parsed(answer, self._url)
        with _strangeness(answer, self._url):
            first = said[0]
            return Described(
                model=model,
                version=_version(first["modelVersion"]),
                wanted=int(first["minWorkers"]),
                pids=tuple(int(worker["pid"]) for worker in first["workers"] if worker["status"] == "READY"),
            )

    @property
    def _url(self) -> str:
        return self._management.url


class _Asked:
    """One of the addresses, with the time that a control call gets."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.url = endpoint.url
        self._endpoint = endpoint
        short = replace(endpoint, timeout_s=min(endpoint.timeout_s, TIMEOUT_S))
        self._control = Control(short, max_bytes=MAX_BYTES)
        self.close = self._control.close

    def get(self, path: str) -> Answer:
        """The answer, unless it says that nobody is let in here. Redirects are not followed: the token would go along.

        Raises UnreachableError, TokenError, UsageError.
        """
        answer, url = self._control.ask(Message(path)), f"{self.url}{path}"
        if 300 <= answer.status < 400:
            target = excerpt(answer.headers.get("location", "an address that it does not name"))
            raise UsageError(f"{url} redirects to {target}.", url=url, fix="Name the address that it redirects to")
        if answer.status in {401, 403} or (answer.status == 400 and b"InvalidKeyException" in answer.body):
            told = "authorization" in {name.lower() for name in self._endpoint.headers}
            msg = f"{url} turned the token down: it is wrong or expired." if told else f"{url} asks for a token."
            fix = "{token_env} NAME or {token_file} FILE; TorchServe writes its tokens to key_file.json, one for "
            fix = self._endpoint.edge.words(fix + "predictions and another for management")
            raise TokenError(msg, url=url, fix=fix)
        return answer


def _version(said: object) -> str:
    """It goes into provenance.toml, and into git: no token that is echoed, nothing long. Raises ValueError."""
    if not isinstance(said, str) or not 0 < len(said) <= _VERSION_LENGTH or clean(said) != said:
        msg = "no version of a model"
        raise ValueError(msg)
    return said


def _parsed(answer: Answer, url: str) -> Any:
    if answer.status != 200:
        msg = f"{url} answers {answer.status} to a question about its models."
        detail = excerpt(answer.body, 2000)
        raise ServerError(msg, url=url, detail=detail, fix="Is this TorchServe's management address?")
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:  # not JSON, nested without end, or a number without end
        raise _strange(url, answer.body) from error


@contextmanager
def _strangeness(answer: Answer, url: str) -> Iterator[None]:
    """For the body that takes an answer apart: one that is not of TorchServe's shape is said to be strange."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _strange(url, answer.body) from error


def _strange(url: str, body: bytes) -> UnreachableError:
    msg = f"{url} does not answer like TorchServe's management API."
    return UnreachableError(msg, url=url, detail=excerpt(body, 2000), fix="Is this TorchServe's management address?")
