"""A TorchServe that somebody else keeps running, reached by its URL."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from urllib.parse import urlsplit

from goldmar.backends.http import HttpServer
from goldmar.errors import NotReadyError, UnreachableError, UsageError
from goldmar.protocols.management import Described, Management
from goldmar.protocols.torchserve import TorchServe
from goldmar.records import Edge, Origin, Reach
from goldmar.text import excerpt
from goldmar.transport.endpoint import Endpoint

__all__ = ["RemoteServer", "endpoints_from"]


class RemoteServer(HttpServer):
    """A running server. Entering looks whether it answers and, with a management URL, whether the models are READY.

    Without a management URL a model that is not served, or has no worker, is noticed at its first prediction.

    Args:
        inference, management: from `endpoints_from`.
        models: the models that will be asked.
        wanted: the version that is asked for, of each model of which not the default one is.

    Raises:
        UnreachableError: nothing answers, or something else than TorchServe does.
        TokenError: the token is wrong, expired or missing.
        ModelUnknownError: a model is not served; the message lists those that are.
        NotReadyError: a model has fewer READY workers than its `minWorkers`, or the server calls itself unhealthy.
    """

    def __init__(
        self,
        inference: Endpoint,
        management: Endpoint | None,
        models: Sequence[str],
        *,
        wanted: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(TorchServe(inference.edge))
        self._open(inference, management)
        self._models = tuple(models)
        self._wanted = {model: version for model, version in (wanted or {}).items() if version}

    @property
    def origin(self) -> Origin:
        return Origin("remote", self.endpoint.url, named=True)

    def versions(self) -> Mapping[str, str]:
        """Model name -> the version asked for, or the default one where the management URL tells it: that of now.

        Raises as entering does: somebody else may change what is served at any time.
        """
        with closing(Management(self.endpoint, self.management)) as control:
            told = self._describe(control)
        return self._wanted | {described.model: described.version for described in told}

    def start(self) -> None:
        with closing(Management(self.endpoint, self.management)) as control:
            self._look_for_life(control)
            for described in self._describe(control):
                self._refuse_unready(described)

    def _describe(self, control: Management) -> list[Described]:
        """What the management URL tells of the models; nothing without one."""
        if self.management is None:
            return []
        return [control.describe(model, self._wanted.get(model)) for model in self._models]

    def _look_for_life(self, control: Management) -> None:
        answer, url = control.ping(), self.endpoint.url
        # A gateway that lets only predictions through answers 404 or 405: it is there, and that is all we ask.
        if answer.status < 500:
            return
        detail = excerpt(answer.body, 2000) or None
        if answer.status == 500:
            msg = f"{url} says that it is unhealthy: the workers of a model keep dying."
            raise NotReadyError(msg, url=url, detail=detail, fix="Look for tracebacks in the server's model_log.log")
        msg = f"{url} answers {answer.status}: TorchServe behind it is not there."
        raise UnreachableError(msg, url=url, detail=detail, fix="Start the server, then run this again")

    def _refuse_unready(self, described: Described) -> None:
        if described.ready:
            return
        wanted, url = max(1, described.wanted), self.endpoint.url
        msg = f"{described.model} {described.version} has {len(described.pids)} of {wanted} workers READY at {url}."
        raise NotReadyError(
            msg,
            model=described.model,
            url=url,
            fix="Wait until its workers are loaded; if they never are, the server's model_log.log tells why",
        )


def endpoints_from(reach: Reach, timeout_s: float) -> tuple[Endpoint, Endpoint | None]:
    """The addresses of predictions and of management, from what a user can say without showing a secret to everybody.

    A token and the values of headers come from the environment or from a file: `ps` and the shell's history show the
    rest. A token file holds the token alone, or is TorchServe's key_file.json with both of its tokens. Certificates are
    always verified. `timeout_s` counts where the user names no time-out.

    Raises UsageError.
    """
    words = reach.edge.words
    if reach.token_env is not None and reach.token_file is not None:
        msg = "The token can come from an environment variable or from a file, not from both."
        raise UsageError(msg, fix=words("Leave out {token_env} or {token_file}"))
    timeout_s = timeout_s if reach.timeout is None else reach.timeout
    if timeout_s <= 0:
        raise UsageError(f"A time-out of {timeout_s:g} s leaves no time to answer.", fix=words("{timeout} 60"))
    if reach.ca_bundle is not None and not reach.ca_bundle.is_file():
        msg = f"There is no file {reach.ca_bundle}."
        raise UsageError(msg, fix=words("{ca_bundle} with a file of certificates in PEM format"))
    headers, tokens = _headers(reach), _tokens(reach)
    if any(tokens) and any(name.lower() == "authorization" for name in headers):
        msg = "The token and a header of yours would both be sent as Authorization."
        raise UsageError(msg, fix=words("Leave out one of {token_env}, {token_file} and {header} Authorization=..."))
    verify = str(reach.ca_bundle) if reach.ca_bundle is not None else True
    inference, management = (
        Endpoint(_address(url, option, reach.edge), headers | _bearer(token), verify, timeout_s, reach.edge)
        if url is not None
        else None
        for url, option, token in zip((reach.url, reach.management_url), ("url", "management_url"), tokens, strict=True)
    )
    if inference is None:
        raise UsageError("No server is named.", fix=words("{url} http://HOST:PORT"))
    return inference, management


def _address(url: str, name: str, edge: Edge) -> str:
    option = edge.option(name)
    try:
        parts = urlsplit(url.strip())
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")  # an empty or overlong label would pass requests and fail in urllib3
    except ValueError:
        sound = False
    fix = f"{option} http://HOST:PORT or https://HOST"
    if not sound:
        if "://" not in url and re.fullmatch(r"[\w.:/-]+", url):
            fix = f"{option} http://{url}"
        raise UsageError(f"{url.rpartition('@')[2]!r} is no address of a server.", fix=fix)
    if parts.username is not None or parts.password is not None:
        msg = "A password in the URL would be seen by everybody who lists the processes."
        raise UsageError(msg, fix=edge.words("{header} Authorization=ENVVAR"))
    if parts.query or parts.fragment:
        msg = f"{url!r} has a query or a fragment, but paths are to be put behind it."
        raise UsageError(msg, fix=fix)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _headers(reach: Reach) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in reach.header:
        name, equals, variable = each.partition("=")
        if not equals or not variable or not name or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name):
            msg = f"{name!r} is no header: it takes a name and the environment variable that holds its value."
            fix = "{header} X-Api-Key=MY_API_KEY, with the value in the variable MY_API_KEY"
            raise UsageError(msg, fix=reach.edge.words(fix))
        found[name] = _secret(_from_environment(variable), f"the variable for {name}", spaces=True)
    return found


def _tokens(reach: Reach) -> tuple[str, str]:
    """Token for predictions and token for management; empty where there is none."""
    if reach.token_env is not None:
        token = _secret(_from_environment(reach.token_env), "the variable for the token")
        return token, token
    if (path := reach.token_file) is None:
        return "", ""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        msg = f"The token file {path} cannot be read: {reason}."
        raise UsageError(msg, fix=reach.edge.words("{token_file} with a file that holds the token")) from error
    if not text.lstrip().startswith("{"):
        token = _secret(text, f"the file {path}")
        return token, token
    try:  # format: `TokenAuthorization.generateKeyFile` of TorchServe 0.12
        said = json.loads(text)
        inference, management = str(said["inference"]["key"]), str(said["management"]["key"])
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{path} is neither a token nor TorchServe's key_file.json."
        raise UsageError(msg, fix=reach.edge.words("{token_file} with a file that holds the token alone")) from error
    return _secret(inference, f"the file {path}"), _secret(management, f"the file {path}")


def _from_environment(variable: str) -> str:
    value = os.environ.get(variable)
    if value is None:
        # Whoever wrote the secret itself instead of a variable's name should not find it in the log of a CI run.
        shown = f" {variable}" if re.fullmatch(r"[A-Z][A-Z0-9_]*", variable) else ""
        msg = f"The environment variable{shown} is not set."
        raise UsageError(msg, fix="Export it before this command; give the variable's name here, not the secret itself")
    return value


def _secret(value: str, source: str, *, spaces: bool = False) -> str:
    """The value without white space around it; refused where HTTP could not carry it. Never shown."""
    value = value.strip()
    if not value or not value.isascii() or not value.isprintable() or (" " in value and not spaces):
        msg = f"What {source} holds cannot be sent: it is empty, or has spaces or characters that HTTP does not allow."
        raise UsageError(msg, fix="Put the token alone into it, without `Bearer` before it" if not spaces else None)
    return value


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
