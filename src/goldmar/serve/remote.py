"""A TorchServe that somebody else keeps running, reached by its URL."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from goldmar.errors import NotReadyError, UnreachableError, UsageError
from goldmar.packages import Installed
from goldmar.records import Endpoint
from goldmar.serve.management import Described, Management
from goldmar.text import excerpt

__all__ = ["RemoteServer", "endpoint_from"]


class RemoteServer:
    """A running server. Entering looks whether it answers and, with a management URL, whether the models are READY.

    Without a management URL a model that is not served, or has no worker, is noticed at its first prediction.

    Args:
        endpoint: from `endpoint_from`.
        models: the models that will be asked.
        wanted: the version that is asked for, of each model of which not the default one is.

    Raises:
        UnreachableError: nothing answers, or something else than TorchServe does.
        TokenError: the token is wrong, expired or missing.
        ModelUnknownError: a model is not served; the message lists those that are.
        NotReadyError: a model has fewer READY workers than its `minWorkers`, or the server calls itself unhealthy.
    """

    backend = "remote"

    def __init__(self, endpoint: Endpoint, models: Sequence[str], *, wanted: Mapping[str, str] | None = None) -> None:
        self.url = endpoint.url
        self._endpoint = endpoint
        self._models = tuple(models)
        self._wanted = {model: version for model, version in (wanted or {}).items() if version}
        self._versions = dict(self._wanted)

    @property
    def target(self) -> Endpoint:
        """Where to ask for predictions."""
        return self._endpoint

    def versions(self) -> Mapping[str, str]:
        """Model name -> the version asked for, or the default one where the management URL tells it: that of now.

        Raises as entering does: somebody else may change what is served at any time.
        """
        management = Management(self._endpoint)
        try:
            self._describe(management)
        finally:
            management.close()
        return dict(self._versions)

    def packages(self) -> Installed:
        """Empty: a TorchServe does not tell what is installed beside it."""
        return Installed()

    def trouble(self) -> str | None:
        """None: its log is not ours to read."""
        return None

    def __enter__(self) -> Self:
        management = Management(self._endpoint)
        try:
            self._look_for_life(management)
            for described in self._describe(management):
                self._refuse_unready(described)
        finally:
            management.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was started, so nothing is stopped."""

    def _describe(self, management: Management) -> list[Described]:
        """What the management URL tells of the models; nothing without one."""
        if self._endpoint.management_url is None:
            return []
        told = [management.describe(model, self._wanted.get(model)) for model in self._models]
        self._versions |= {described.model: described.version for described in told}
        return told

    def _look_for_life(self, management: Management) -> None:
        answer = management.ping()
        # A gateway that lets only predictions through answers 404 or 405: it is there, and that is all we ask.
        if answer.status < 500:
            return
        detail = excerpt(answer.body, 2000) or None
        if answer.status == 500:
            msg = f"{self.url} says that it is unhealthy: the workers of a model keep dying."
            raise NotReadyError(
                msg, url=self.url, detail=detail, fix="Look for tracebacks in the server's model_log.log"
            )
        msg = f"{self.url} answers {answer.status}: TorchServe behind it is not there."
        raise UnreachableError(msg, url=self.url, detail=detail, fix="Start the server, then run this again")

    def _refuse_unready(self, described: Described) -> None:
        if described.ready:
            return
        wanted = max(1, described.wanted)
        msg = (
            f"{described.model} {described.version} has {len(described.pids)} of {wanted} workers READY at {self.url}."
        )
        raise NotReadyError(
            msg,
            model=described.model,
            url=self.url,
            fix="Wait until its workers are loaded; if they never are, the server's model_log.log tells why",
        )


def endpoint_from(
    url: str,
    *,
    management_url: str | None = None,
    token_env: str | None = None,
    token_file: Path | None = None,
    headers: Sequence[str] = (),
    ca_bundle: Path | None = None,
    timeout_s: float = 120.0,
) -> Endpoint:
    """An Endpoint from what a command line can say without showing a secret to `ps` and to the shell's history.

    Args:
        url: address of the predictions: `https://host[:port][/path]`.
        management_url: address of the management API, if it can be reached.
        token_env: name of the environment variable that holds the token.
        token_file: file that holds the token alone, or TorchServe's key_file.json with both of its tokens.
        headers: `NAME=ENVVAR` each: a header and the environment variable that holds its value.
        ca_bundle: certificates to trust, PEM. They are always verified.
        timeout_s: seconds to wait for one prediction.

    Raises UsageError.
    """
    if token_env is not None and token_file is not None:
        msg = "The token can come from an environment variable or from a file, not from both."
        raise UsageError(msg, fix="Leave out --token-env or --token-file")
    if timeout_s <= 0:
        msg = f"A time-out of {timeout_s:g} s leaves no time to answer."
        raise UsageError(msg, fix="--timeout 60")
    if ca_bundle is not None and not ca_bundle.is_file():
        msg = f"There is no file {ca_bundle}."
        raise UsageError(msg, fix="--ca-bundle with a file of certificates in PEM format")
    chosen = _headers(headers)
    inference, management = _tokens(token_env, token_file)
    if (inference or management) and any(name.lower() == "authorization" for name in chosen):
        msg = "The token and a header of yours would both be sent as Authorization."
        raise UsageError(msg, fix="Leave out one of --token-env, --token-file and --header Authorization=...")
    return Endpoint(
        url=_address(url, "--url"),
        management_url=_address(management_url, "--management-url") if management_url is not None else None,
        headers=chosen | _bearer(inference),
        management_headers=chosen | _bearer(management),
        verify=str(ca_bundle) if ca_bundle is not None else True,
        timeout_s=timeout_s,
        named=True,
    )


def _address(url: str, option: str) -> str:
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
        raise UsageError(msg, fix="--header Authorization=ENVVAR")
    if parts.query or parts.fragment:
        msg = f"{url!r} has a query or a fragment, but paths are to be put behind it."
        raise UsageError(msg, fix=fix)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _headers(wanted: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in wanted:
        name, equals, variable = each.partition("=")
        if not equals or not variable or not name or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name):
            msg = f"{name!r} is no header: it takes a name and the environment variable that holds its value."
            raise UsageError(msg, fix="--header X-Api-Key=MY_API_KEY, with the value in the variable MY_API_KEY")
        found[name] = _secret(_from_environment(variable), f"the variable for {name}", spaces=True)
    return found


def _tokens(token_env: str | None, token_file: Path | None) -> tuple[str, str]:
    """Token for predictions and token for management; empty where there is none."""
    if token_env is not None:
        token = _secret(_from_environment(token_env), "the variable for the token")
        return token, token
    if token_file is None:
        return "", ""
    try:
        text = token_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        msg = f"The token file {token_file} cannot be read: {reason}."
        raise UsageError(msg, fix="--token-file with a file that holds the token") from error
    if text.lstrip().startswith("{"):
        return _from_key_file(text, token_file)
    token = _secret(text, f"the file {token_file}")
    return token, token


def _from_key_file(text: str, path: Path) -> tuple[str, str]:
    """Format: `TokenAuthorization.generateKeyFile` of TorchServe 0.12."""
    try:
        said = json.loads(text)
        inference, management = str(said["inference"]["key"]), str(said["management"]["key"])
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{path} is neither a token nor TorchServe's key_file.json."
        raise UsageError(msg, fix="--token-file with a file that holds the token alone") from error
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
