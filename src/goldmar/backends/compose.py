"""The api of compose/docker-compose.yml, built and started for the length of a `with` block."""

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from goldmar.backends.http import HttpServer
from goldmar.errors import ConfigError, NotReadyError, ServerError, WorkerDiedError
from goldmar.layout import by_model
from goldmar.mar import read
from goldmar.packages import Installed
from goldmar.process import Completed, Keeper, held_up
from goldmar.protocols.torchserve import TorchServe
from goldmar.records import COMMAND_LINE, Edge, Origin
from goldmar.serve.engine import Compose, docker, find_compose
from goldmar.serve.interpreter import LIST_PACKAGES, read_listing
from goldmar.serve.log import LATE_S, Entry, last_traceback, missing_module, parse, passings
from goldmar.transport.endpoint import Endpoint

__all__ = ["ComposeServer"]

FILE = Path("compose/docker-compose.yml")
POLL_S = 0.3  # between two looks at the api, each of which starts a Python in its container
STOP_S = 2  # what the api gets to end by itself; nobody asks it anything any more

COMPOSE_CHOICES = {"COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME", "COMPOSE_ENV_FILES"}
"""Variables that would have compose do something else than it is told here."""

HOPELESS = 3
"""compose/ready.py: not ready, and waiting cannot help."""

_NO_BASE = re.compile(
    r"(pull access denied|manifest unknown|failed to do request|failed to resolve source metadata|no such host|"
    r"net/http: request canceled|connection refused|i/o timeout)",
    re.IGNORECASE,
)
_BUILDING = re.compile(r"(?:Step \d+/\d+ : |#\d+ \[)")
_OURS = re.compile(r"(?:#\d+ [\d.]+ )?(error|fix): (.+)")


class ComposeServer(HttpServer):
    """The api container, on a free port of loopback, in a compose project of its own. Leaving takes all of it down.

    Entering builds the image (from Docker's cache where nothing has changed), starts it, and returns once the health
    check of the container passes: every model has its `minWorkers` READY and has answered a drawing.

    Args:
        root: the project, which holds compose/docker-compose.yml.
        archives: the .mar files in its model store, those that go into the image and no others.
        labels: the digests of these archives, as model_store/archives.yml has them.
        stack: name of a file of compose/env, without its suffix.
        on_progress: is told in one line how far it is.
        startup_timeout_s: seconds from the start of the container until NotReadyError.
        timeout_s: seconds a client should wait for one prediction.
        origin: what is known beforehand of where the answers come from.
        edge: how errors spell options.

    Raises:
        ConfigError: the project has no compose file, or no such stack.
        WorkerDiedError: with the handler's own traceback.
        NotReadyError, ServerError: what else keeps it from starting: no engine, no compose, a build that fails.
    """

    def __init__(
        self,
        root: Path,
        archives: Sequence[Path],
        *,
        labels: str,
        stack: str = "dev",
        on_progress: Callable[[str], None] | None = None,
        startup_timeout_s: float = 120.0,
        timeout_s: float = 120.0,
        origin: Origin | None = None,
        edge: Edge = COMMAND_LINE,
    ) -> None:
        super().__init__(TorchServe(edge))
        self.url = ""
        self._edge = edge
        self._origin = origin or Origin("compose")
        self._root = root
        self._archives = by_model(archives)
        self._labels = labels
        self._stack = stack
        self._on_progress = on_progress or (lambda line: None)
        self._startup_timeout_s = startup_timeout_s
        self._timeout_s = timeout_s
        self._project = f"goldmar-{stack}-{secrets.token_hex(4)}"
        self._compose: Compose | None = None
        self._keeper: Keeper | None = None
        self._container = ""
        self._since = 0.0
        self._versions: dict[str, str] = {}

    @property
    def origin(self) -> Origin:
        return replace(self._origin, url=self.url)

    def versions(self) -> Mapping[str, str]:
        """Model name -> version served: that of the archive, which the build has checked by its digest."""
        return dict(self._versions)

    def packages(self) -> Installed:
        """What is installed in the image; empty where the container cannot be asked any more."""
        done = docker(["docker", "exec", self._container, "python3", "-c", LIST_PACKAGES])
        try:
            return read_listing(done.text)
        except ValueError:
            return Installed()

    def diagnostics(self) -> str | None:
        """What the container's log says since READY: how it ended, or the last traceback of a handler."""
        if not self._container:
            return None
        until = time.monotonic() + LATE_S
        while True:
            if ended := self._ended():
                return f"{ended}\n{_tail(self._logs())}".rstrip()
            entries = parse(self._logs(since=self._since))
            if gone := passings(entries):
                return last_traceback(gone[-1].said) or "\n".join(gone[-1].said[-20:]) or "A worker was killed."
            if (found := last_traceback(_said(entries))) or time.monotonic() > until:
                return found
            time.sleep(POLL_S)

    # --- start and stop -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        if not (self._root / FILE).is_file():
            msg = f"There is no {FILE} in {self._root}."
            raise ConfigError(msg, fix="goldmar init --compose")
        if not self._env_file.is_file():
            there = ", ".join(sorted(path.stem for path in self._env_file.parent.glob("*.env"))) or "none"
            msg = f"There is no stack {self._stack!r}: {self._env_file} does not exist. There are: {there}."
            raise ConfigError(msg, fix=self._edge.words("{env} with one of these, or write that file"))
        self._versions = {model: read(path).version for model, path in self._archives.items()}
        self._compose = find_compose()
        self._on_progress("building the image of the api")
        self._build()
        self._keep()
        self._on_progress("starting the api")
        done = self._run("up", "-d", "--no-build", "api")
        if done.code:
            msg = "The api container could not be started."
            raise ServerError(msg, detail=_tail(done.text), fix="docker info; df -h; free -m")
        self._container = self._run("ps", "-q", "api").text.strip().splitlines()[-1]
        published = docker(["docker", "port", self._container, "8080/tcp"]).text.split()
        if not published:
            msg = "The api container ended at once."
            raise ServerError(msg, detail=f"{self._ended()}\n{_tail(self._logs())}", fix="The end of its log tells why")
        self.url = f"http://{published[0]}"
        self._await_ready()
        token = docker(["docker", "exec", self._container, "cat", "/run/goldmar/token"])
        if token.code:
            msg = "The api is ready and its token cannot be read."
            raise ServerError(msg, url=self.url, detail=_tail(token.text), fix=self._logs_command)
        headers = {"Authorization": f"Bearer {token.text.strip()}"}
        self._open(Endpoint(self.url, headers, timeout_s=self._timeout_s, edge=self._edge))
        self._since = time.time()

    def stop(self) -> None:
        self._close()
        try:
            if self._keeper is not None:
                self._on_progress("taking the api down")
                done = self._run("down", "--volumes", "--timeout", str(STOP_S), finish=True)
                if done.code:
                    msg = f"The compose project {self._project} could not be taken down."
                    raise ServerError(msg, detail=_tail(done.text), fix=f"docker rm -f {self._container}")
        finally:
            self._container = ""
            if self._keeper is not None:
                self._keeper.dismiss()
                self._keeper = None

    def _build(self) -> None:
        def show(line: str) -> None:
            if _BUILDING.match(line):
                self._on_progress(f"building: {line[:100]}")

        done = self._run("build", "api", on_line=show)
        if done.code == 0:
            return
        ours = {found[1]: found[2] for found in map(_OURS.match, done.text.splitlines()) if found}
        if "error" in ours:
            raise ServerError(f"The image could not be built: {ours['error']}", fix=ours.get("fix"))
        base = self._environment().get("BASE_IMAGE", "the base image")
        fix = "the end of its output tells why"
        if _NO_BASE.search(done.text):
            fix = (
                f"make {base} available, or make one here: ci/base-image, then export BASE_IMAGE=goldmar-base:bookworm"
            )
        raise ServerError("The image of the api could not be built.", detail=_tail(done.text), fix=fix)

    def _keep(self) -> None:
        """From now on there is something to take down, even when this process is killed outright."""
        with held_up():
            self._keeper = Keeper(self._command("down", "--volumes", "--timeout", "0"), env=self._environment())

    # --- waiting ------------------------------------------------------------------------------------------------------

    def _await_ready(self) -> None:
        started, told = time.monotonic(), ""
        while True:
            if ended := self._ended():
                msg = "The api ended before it was ready."
                raise ServerError(msg, detail=f"{ended}\n{_tail(self._logs())}", fix="The end of its log tells why")
            done = docker(["docker", "exec", self._container, "python3", "/opt/goldmar/ready.py"])
            if done.code == 0:
                return
            why, _, detail = done.text.strip().partition("\n")
            if done.code == HOPELESS:
                raise self._worker_died(why, detail)
            if why != told:
                told = why
                self._on_progress(why)
            if time.monotonic() - started > self._startup_timeout_s:
                msg = f"The api was not ready within {self._startup_timeout_s:g} s. {why}"
                raise NotReadyError(
                    msg,
                    url=self.url,
                    detail=detail or _tail(self._logs()),
                    fix="Raise startup_timeout_s in [tool.goldmar] of pyproject.toml if the models are large; "
                    "else look at what initialize() of the handler waits for",
                )
            time.sleep(POLL_S)

    def _worker_died(self, why: str, detail: str) -> WorkerDiedError:
        model = next((name for name in self._archives if f" {name} " in why), None)
        missing = missing_module(detail)
        fix = f"Mend the handler, then: goldmar archive {model or ''}".rstrip()
        if missing:
            fix = f"Lock the package that provides {missing!r} in ci/locks/api.txt, or do without it"
        trace = last_traceback(_said(parse(self._logs()))) or detail
        return WorkerDiedError(why, model=model, url=self.url, detail=trace, fix=fix)

    def _ended(self) -> str | None:
        """How the container ended, or None while it runs."""
        done = docker(["docker", "inspect", "--format", "{{json .State}}", self._container])
        try:
            state: dict[str, Any] = json.loads(done.text)
        except ValueError:
            return "The api container is gone: somebody else has removed it."
        if state.get("Running"):
            return None
        if state.get("OOMKilled"):
            return "The api container ran out of memory; GOLDMAR_API_MEMORY is its limit."
        return f"The api container ended with exit code {state.get('ExitCode')}."

    def _logs(self, since: float | None = None) -> str:
        limit = ["--since", f"{since:.3f}"] if since is not None else []
        return docker(["docker", "logs", *limit, self._container]).text

    # --- compose ------------------------------------------------------------------------------------------------------

    @property
    def _env_file(self) -> Path:
        return self._root / "compose" / "env" / f"{self._stack}.env"

    @property
    def _logs_command(self) -> str:
        return f"docker logs {self._container}"

    def _run(
        self,
        *arguments: str,
        on_line: Callable[[str], None] | None = None,
        finish: bool = False,
    ) -> Completed:
        return docker(self._command(*arguments), env=self._environment(), on_line=on_line, finish=finish)

    def _command(self, *arguments: str) -> list[str]:
        if self._compose is None:
            raise AssertionError
        files = ["-f", str(self._root / FILE), "--env-file", str(self._env_file)]
        return [*self._compose.command, "--project-name", self._project, *files, *arguments]

    def _environment(self) -> dict[str, str]:
        """What this process was given, and what keeps runs apart: two at once share neither port nor image."""
        inherited = {name: value for name, value in os.environ.items() if name not in COMPOSE_CHOICES}
        return inherited | {
            "GOLDMAR_MODELS": " ".join(self._archives),
            "GOLDMAR_ARCHIVES": self._labels,
            "GOLDMAR_PORT": "0",  # Docker finds a free one
            "GOLDMAR_TAG": f"check-{self._content()}",
        }

    def _content(self) -> str:
        """Of what is in the image: the same content is the same tag, and comes out of Docker's cache."""
        hasher = hashlib.sha256(f"{self._labels}\n{os.environ.get('BASE_IMAGE')}\n".encode())
        for path in sorted([*(self._root / "compose").glob("*"), *(self._root / "ci" / "locks").glob("*.txt")]):
            if path.is_file():
                hasher.update(path.name.encode() + b"\0" + path.read_bytes())
        return hasher.hexdigest()[:12]


def _said(entries: Sequence[Entry]) -> list[str]:
    return [entry.message for entry in entries if entry.logger == "MODEL_LOG"]


def _tail(text: str, lines: int = 20) -> str:
    return "\n".join(text.rstrip().splitlines()[-lines:])
