"""Control calls to a TorchServe: is it there, what does it serve, how many workers are READY. Predictions go elsewhere.

Whatever `requests` raises is turned into one of goldmar's errors here, with the address and a fix attached.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests
from requests import exceptions

from goldmar.errors import GoldmarError, ModelUnknownError, ServerError, TokenError, UnreachableError, UsageError
from goldmar.records import Endpoint

__all__ = ["KINDS", "Described", "Management", "mapped"]

START = "Start the server, or look at the address; `curl -v {url}` shows what answers there"

KINDS: tuple[tuple[type[exceptions.RequestException], type[GoldmarError], str, str], ...] = (
    (exceptions.SSLError, UnreachableError, "has a certificate that is not trusted", "--ca-bundle FILE"),
    (exceptions.ProxyError, UnreachableError, "is asked through a proxy that fails", "Look at HTTPS_PROXY, NO_PROXY"),
    (exceptions.ConnectTimeout, UnreachableError, "does not take the connection in time", START),
    (exceptions.ReadTimeout, UnreachableError, "took the request and did not answer in time", START),
    (exceptions.Timeout, UnreachableError, "did not answer in time", START),
    (exceptions.InvalidProxyURL, UsageError, "is asked through a proxy whose URL is wrong", "Look at HTTPS_PROXY"),
    (exceptions.RetryError, UnreachableError, "failed every retry", START),
    (exceptions.ConnectionError, UnreachableError, "does not answer: nothing listens there, or it hung up", START),
    (exceptions.ChunkedEncodingError, UnreachableError, "broke off in the middle of its answer", START),
    (exceptions.ContentDecodingError, UnreachableError, "sent an answer that cannot be unpacked", START),
    (exceptions.StreamConsumedError, UnreachableError, "sent an answer that was read twice", START),
    (exceptions.UnrewindableBodyError, UnreachableError, "wants the request again, which cannot be repeated", START),
    (exceptions.TooManyRedirects, UnreachableError, "redirects for ever", START),
    (exceptions.HTTPError, UnreachableError, "answers with an error", START),
    (exceptions.InvalidJSONError, UnreachableError, "answers something else than TorchServe would", START),
    (exceptions.URLRequired, UsageError, "is no URL", "--url http://HOST:8080"),
    (exceptions.MissingSchema, UsageError, "lacks http:// or https://", "--url http://HOST:8080"),
    (exceptions.InvalidSchema, UsageError, "is neither http:// nor https://", "--url http://HOST:8080"),
    (exceptions.InvalidURL, UsageError, "is no URL", "--url http://HOST:8080"),
    (exceptions.InvalidHeader, UsageError, "is asked with a header that HTTP does not allow", "Look at --header"),
)
"""What `requests` raises, the error it becomes, and its words. The first that fits counts."""


@contextmanager
def mapped(url: str) -> Iterator[None]:
    """Turn whatever `requests` raises in the body into a GoldmarError about `url`."""
    try:
        yield
    except exceptions.RequestException as error:
        for kind, ours, words, fix in KINDS:
            if isinstance(error, kind):
                raise ours(f"{url} {words}.", url=url, fix=fix.format(url=url), detail=str(error)) from error
        raise UnreachableError(
            f"{url} cannot be asked.", url=url, fix=START.format(url=url), detail=str(error)
        ) from error
    except OSError as error:  # not wrapped by requests: a CA bundle that is gone or holds no certificate
        msg = f"{url} cannot be asked: {error.strerror or error}."
        raise UsageError(msg, url=url, fix="--ca-bundle with a file of certificates in PEM format") from error


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
    """The control calls, over one connection. Close it after use.

    `trust_environment` lets proxies and CA bundles of the environment count; a server on loopback has no use for them.
    """

    def __init__(self, endpoint: Endpoint, *, trust_environment: bool) -> None:
        self._endpoint = endpoint
        self._session = requests.Session()
        self._session.trust_env = trust_environment
        self._session.verify = endpoint.verify
        self._session.auth = _as_it_is
        self._timeout = min(endpoint.timeout_s, 10.0)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def ping(self) -> requests.Response:
        """`GET /ping` of the inference address: whatever answers. Raises UnreachableError, TokenError, UsageError."""
        return self._get(f"{self._endpoint.url}/ping", self._endpoint.headers)

    def served(self) -> list[str]:
        """Names of all models that are registered. Raises UnreachableError, TokenError."""
        names: list[str] = []
        more = ""
        while True:
            page = _parsed(self._managed(f"/models?limit=100{more}"), self._url)
            with _strangeness(page, self._url):
                names += [str(model["modelName"]) for model in page["models"]]
                token = page.get("nextPageToken")
            if not token:
                return sorted(names)
            more = f"&next_page_token={quote(str(token))}"

    def describe(self, model: str, version: str | None = None) -> Described:
        """One version, the default one without `version`. Raises ModelUnknownError, UnreachableError, TokenError."""
        path = f"/models/{quote(model, safe='')}" + (f"/{quote(version, safe='')}" if version else "")
        answer = self._managed(path)
        if answer.status_code == 404:
            which = f"version {version} of the model {model!r}" if version else f"the model {model!r}"
            served = ", ".join(self.served()) or "none at all"
            msg = f"{self._endpoint.url} does not serve {which}. It serves: {served}."
            raise ModelUnknownError(msg, model=model, url=self._url, fix="Name one of these, or register the model")
        said = _parsed(answer, self._url)
        with _strangeness(said, self._url):
            first = said[0]
            return Described(
                model=model,
                version=str(first["modelVersion"]),
                wanted=int(first["minWorkers"]),
                pids=tuple(int(worker["pid"]) for worker in first["workers"] if worker["status"] == "READY"),
            )

    @property
    def _url(self) -> str:
        return self._endpoint.management_url or self._endpoint.url

    def _managed(self, path: str) -> requests.Response:
        return self._get(f"{self._url}{path}", self._endpoint.management_headers)

    def _get(self, url: str, headers: Any) -> requests.Response:
        # Not following redirects keeps a token in a header of the user's choice from going to another host.
        with mapped(url):
            answer = self._session.get(url, headers=headers, timeout=self._timeout, allow_redirects=False)
        if answer.is_redirect:
            target = answer.headers["Location"]
            raise UsageError(f"{url} redirects to {target}.", url=url, fix="Name the address that it redirects to")
        if answer.status_code in {401, 403} or (answer.status_code == 400 and "InvalidKeyException" in answer.text):
            told = "Authorization" in headers or "authorization" in {name.lower() for name in headers}
            msg = f"{url} turned the token down: it is wrong or expired." if told else f"{url} asks for a token."
            raise TokenError(
                msg,
                url=url,
                fix="--token-env NAME or --token-file FILE; TorchServe writes its tokens to key_file.json, "
                "one for predictions and another for management",
            )
        return answer


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """An authentication that adds nothing. Without one, requests lets ~/.netrc overwrite our Authorization header."""
    return request


def _parsed(answer: requests.Response, url: str) -> Any:
    if answer.status_code != 200:
        msg = f"{url} answers {answer.status_code} {answer.reason} to a question about its models."
        raise ServerError(msg, url=url, detail=answer.text[:2000], fix="Is this TorchServe's management address?")
    try:
        return answer.json()
    except exceptions.JSONDecodeError as error:
        raise _strange(url, answer.text) from error


@contextmanager
def _strangeness(said: Any, url: str) -> Iterator[None]:
    """For the body that takes an answer apart: one that is not of TorchServe's shape is said to be strange."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _strange(url, str(said)) from error


def _strange(url: str, text: str) -> UnreachableError:
    msg = f"{url} does not answer like TorchServe's management API."
    return UnreachableError(msg, url=url, detail=text[:2000], fix="Is this TorchServe's management address?")
