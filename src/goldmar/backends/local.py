"""TorchServe, started here for the length of a `with` block."""

import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from goldmar.backends.http import HttpServer
from goldmar.errors import (
    ModelUnknownError,
    NotReadyError,
    ServerError,
    UnreachableError,
    UsageError,
    WorkerDiedError,
)
from goldmar.layout import by_model
from goldmar.mar import read
from goldmar.packages import Installed
from goldmar.process import Exit, held_up
from goldmar.process.memory import for_want_of_memory, oom_kills
from goldmar.protocols.management import Described, Management
from goldmar.protocols.torchserve import TorchServe
from goldmar.records import COMMAND_LINE, Drawing, Edge, Origin, Request
from goldmar.serve.interpreter import packages_of
from goldmar.serve.java import find_java
from goldmar.serve.launch import Keys, Launch
from goldmar.serve.log import CHATTER, LATE_S, LogReader, Passing, fix_of, last_traceback, passings, tail
from goldmar.text import excerpt
from goldmar.transport.connection import MAX_ANSWER_BYTES
from goldmar.transport.control import Control
from goldmar.transport.endpoint import Endpoint

__all__ = ["LocalServer"]

POLL_S = 0.04
"""Between two looks at the log and the workers: two hundredths of a start that takes two seconds at least."""

PORT_RACES = 5
"""Starts before giving up because somebody took a port between our looking and Java's binding."""

_PORT_TAKEN = re.compile(r"Address already in use|BindException|Failed to bind", re.IGNORECASE)
_LAST_WORDS_S = 3.0  # for a traceback to reach the log: only a death without one takes that long


class LocalServer(HttpServer):
    """TorchServe with Java, tokens on, on free ports of loopback. Leaving the block ends it and removes its files.

    Entering returns once every model has its `minWorkers` READY and has answered its canary.

    Args:
        archives: the .mar files, wherever they lie; a model is named as its file without the suffix.
        canaries: model name -> a drawing to ask about before the server counts as ready.
        on_progress: is told in one line how far the start is.
        startup_timeout_s: seconds until NotReadyError; a worker that dies is noticed long before.
        timeout_s: seconds a client should wait for one prediction.
        java: Java's executable or home; None looks for one.
        properties: more lines for TorchServe's config.properties; they win over goldmar's.
        python: the interpreter of the workers, whose TorchServe and Java are used; it needs no goldmar.
        port: the port of predictions; None takes a free one.
        origin: what is known beforehand of where the answers come from.
        edge: how errors spell options.

    Raises:
        UsageError, ArchiveError: on construction or entering, for archives that cannot be served.
        WorkerDiedError: with the handler's own traceback.
        NotReadyError, ServerError, StorageError, MissingExtraError: what else keeps a server from starting.
    """

    def __init__(
        self,
        archives: Sequence[Path],
        *,
        canaries: Mapping[str, Drawing] | None = None,
        on_progress: Callable[[str], None] | None = None,
        startup_timeout_s: float = 120.0,
        timeout_s: float = 120.0,
        java: Path | None = None,
        properties: Mapping[str, str] | None = None,
        python: Path | str = sys.executable,
        port: int | None = None,
        origin: Origin | None = None,
        edge: Edge = COMMAND_LINE,
    ) -> None:
        super().__init__(TorchServe(edge))
        self.url = ""
        self._edge = edge
        self._origin = origin or Origin("local")
        self._archives = _named(archives)
        self._canaries = dict(canaries or {})
        self._on_progress = on_progress or (lambda line: None)
        self._startup_timeout_s = startup_timeout_s
        self._timeout_s = timeout_s
        self._java = java
        self._properties = dict(properties or {})
        self._python = python
        self._port = port
        self._packages: Installed | None = None
        self._launch: Launch | None = None
        self._log: LogReader | None = None
        self._oom_kills = oom_kills()
        self._versions: dict[str, str] = {}

    @property
    def origin(self) -> Origin:
        return replace(self._origin, url=self.url)

    def versions(self) -> Mapping[str, str]:
        """Model name -> version served."""
        return dict(self._versions)

    def packages(self) -> Installed:
        """What is installed where the handlers run. Raises NotReadyError."""
        if self._packages is None:
            self._packages = packages_of(self._python)
        return self._packages

    def alive(self) -> bool:
        """Whether the server process still runs."""
        return self._launch is not None and self._launch.process.alive

    def pids(self) -> Mapping[str, tuple[int, ...]]:
        """Model name -> process ids of its READY workers. Raises ServerError."""
        management = Management(self.endpoint, self.management)
        try:
            return {model: management.describe(model).pids for model in self._archives}
        finally:
            management.close()

    def diagnostics(self) -> str | None:
        """What has gone wrong since READY or since the last call that found something.

        How the server ended, how a worker ended, or the last traceback of a handler. TorchServe answers first and
        writes its log after, so an empty log is looked at for half a second more.
        """
        until = time.monotonic() + LATE_S
        while (found := self._found()) is None and time.monotonic() < until:
            time.sleep(POLL_S)
        return found

    def _found(self) -> str | None:
        if self._launch is None or self._log is None:
            return None
        if ended := self._launch.process.exit:
            return _last_words(self._launch, ended)
        for _ in range(25):  # a traceback is many lines: take it when no more come
            if not self._log.read_new():
                break
            time.sleep(POLL_S)
        entries = self._log.entries
        if gone := passings(entries):
            found: str | None = _epitaph(gone[-1], self._oom_kills)
        else:
            found = last_traceback([entry.message for entry in entries if entry.logger == "MODEL_LOG"])
        if found:
            entries.clear()
        return found

    def stop(self) -> None:
        self._close()
        if self._launch is not None:
            with held_up():  # a first Ctrl-C in here would leave it half stopped
                self._launch.stop()
                self._launch = None

    def start(self) -> None:
        java = find_java(self._java, python=self._python)
        for path in self._archives.values():
            read(path)
        started = time.monotonic()
        for race in range(1, PORT_RACES + 1):
            self._on_progress("starting TorchServe")
            with held_up():  # what is started has to be known here before anything else may happen
                launch = self._launch = Launch(self._archives, java, self._properties, self._python, self._port)
            self._log = LogReader(launch.log)
            try:
                self._await_ready(launch, self._log, started)
            except _PortTakenError:
                self.stop()
                if race == PORT_RACES:
                    msg = f"TorchServe lost the race for a free port {PORT_RACES} times."
                    raise ServerError(msg, fix="Run it again while fewer servers are being started") from None
            else:
                self._log.forget()
                return

    def _await_ready(self, launch: Launch, log: LogReader, started: float) -> None:
        keys = self._await_keys(launch, started)
        self.url = launch.url
        inference, management = (
            Endpoint(url, {"Authorization": f"Bearer {key}"}, timeout_s=self._timeout_s, edge=self._edge)
            for url, key in ((launch.url, keys.inference), (launch.management_url, keys.management))
        )
        self._open(inference, management)
        control = Management(inference, management)
        try:
            self._await_workers(control, launch, log, started)
            self._ask_canaries(launch, log, started)
        finally:
            control.close()

    def _await_keys(self, launch: Launch, started: float) -> Keys:
        while (keys := launch.keys()) is None:
            self._look_for_death(launch, None)
            self._look_at_the_clock(started, "TorchServe did not write its tokens")
            time.sleep(POLL_S / 2)
        return keys

    def _await_workers(self, management: Management, launch: Launch, log: LogReader, started: float) -> None:
        pending: dict[str, Described | None] = dict.fromkeys(self._archives)
        told: dict[str, tuple[int, int]] = {}
        while pending:
            self._look_for_death(launch, log)
            with suppress(UnreachableError):  # not bound yet; a server that has died is seen at the next look
                for model in list(pending):
                    described = pending[model] = self._described(management, model, log)
                    seconds = int(time.monotonic() - started)
                    if told.get(model) != (now := (len(described.pids), seconds)):
                        told[model] = now
                        self._on_progress(_line(described, seconds))
                    if described.ready:
                        self._versions[model] = described.version
                        del pending[model]
            waiting = ", ".join(_state(model, described) for model, described in pending.items())
            self._look_at_the_clock(started, f"Not ready: {waiting}", log=log)
            if pending:
                time.sleep(POLL_S)

    def _described(self, management: Management, model: str, log: LogReader) -> Described:
        try:
            return management.describe(model)
        except ModelUnknownError as error:
            # TorchServe loads the archives before it binds its ports: one that is not there now was refused.
            log.read_new()
            said = [
                entry.message for entry in log.entries if entry.level in {"WARN", "ERROR"} and entry.thread == "main"
            ]
            msg = f"TorchServe refused the archive of {model}."
            fix = f"goldmar archive --verify {self._archives[model]}"
            raise ServerError(msg, model=model, fix=fix, detail="\n".join(said) or tail(log.path)) from error

    def _ask_canaries(self, launch: Launch, log: LogReader, started: float) -> None:
        for model, drawing in self._canaries.items():
            if model not in self._archives:
                continue
            self._on_progress(f"{model}: asking about {drawing.id}")
            left = self._startup_timeout_s - (time.monotonic() - started)
            endpoint = replace(self.endpoint, timeout_s=max(1.0, min(left, self._timeout_s)))
            control = Control(endpoint, max_bytes=MAX_ANSWER_BYTES)
            try:
                answer = control.ask(self.protocol.message(Request(model, drawing)))
            except UnreachableError as error:
                said = str(error)
            else:
                # A drawing that the model refuses (4xx) or fails on ("Prediction failed") is a result of the check.
                if answer.status not in {500, 507}:
                    continue
                said = f"{answer.status} {excerpt(answer.body, 200)}"
            finally:
                control.close()
            until = time.monotonic() + _LAST_WORDS_S
            while time.monotonic() < until:  # TorchServe answers first and logs the death after
                self._look_for_death(launch, log, f"it was asked about {drawing.id}")
                time.sleep(POLL_S)
            self._not_answered(model, drawing, said, log)

    def _not_answered(self, model: str, drawing: Drawing, said: str, log: LogReader) -> None:
        msg = f"{model} is READY, but gave no answer to {drawing.id}: {said}"
        detail = last_traceback([entry.message for entry in log.entries if entry.logger == "MODEL_LOG"])
        raise NotReadyError(
            msg, model=model, url=self.url, detail=detail, fix=f"goldmar archive --verify {self._archives[model]}"
        )

    def _look_at_the_clock(self, started: float, waiting: str, log: LogReader | None = None) -> None:
        if time.monotonic() - started < self._startup_timeout_s:
            return
        msg = f"TorchServe was not ready within {self._startup_timeout_s:g} s. {waiting}."
        raise NotReadyError(
            msg,
            url=self.url or None,
            detail=tail(log.path) if log else None,
            fix="Raise startup_timeout_s in [tool.goldmar] of pyproject.toml if the models are large; "
            "else look at what initialize() of the handler waits for",
        )

    def _look_for_death(self, launch: Launch, log: LogReader | None, during: str = "it was loading the model") -> None:
        """Raise where the server has ended or a worker died, as soon as the log has all of it."""
        if ended := launch.process.exit:
            words = _last_words(launch, ended)
            if _PORT_TAKEN.search(words) or _PORT_TAKEN.search(tail(launch.log, 200)):
                raise _PortTakenError
            msg = "TorchServe ended before it was ready."
            raise ServerError(msg, detail=words, fix="The end of its log tells why")
        if log is None or not log.read_new() or not (gone := passings(log.entries)):
            return
        deadline = time.monotonic() + _LAST_WORDS_S
        while not gone[0].complete and time.monotonic() < deadline:
            time.sleep(POLL_S)
            log.read_new()
            gone = passings(log.entries)
        raise self._worker_died(gone[0], during)

    def _worker_died(self, gone: Passing, during: str) -> WorkerDiedError:
        model = next((name for name in sorted(self._archives, key=len, reverse=True) if gone.of(name)), None)
        detail = _epitaph(gone, self._oom_kills)
        return WorkerDiedError(
            f"A worker{f' of {model}' if model else ''} died while {during}.",
            model=model,
            url=self.url or None,
            detail=detail,
            fix=fix_of(detail, model),
        )


class _PortTakenError(Exception):
    """Somebody else has bound a port of ours."""


def _named(archives: Sequence[Path]) -> dict[str, Path]:
    if not archives:
        msg = "There is no archive to serve."
        raise UsageError(msg, fix="goldmar archive")
    return by_model(archives)


def _line(described: Described, seconds: int) -> str:
    return f"{_state(described.model, described)}, {seconds} s"


def _state(model: str, described: Described | None) -> str:
    if described is None:
        return f"{model} is not loaded"
    return f"{model}: {len(described.pids)} of {max(1, described.wanted)} workers ready"


def _epitaph(gone: Passing, before: int | None) -> str:
    """A worker's traceback, else the last it said."""
    if traceback := last_traceback(gone.said):
        return traceback
    said = "\n".join([line for line in gone.said if not CHATTER.match(line)][-20:])
    how = f"{gone.worker} ended without a traceback: by os._exit, or killed {for_want_of_memory(before, oom_kills())}."
    return f"{how}\n{said}" if said else how


def _last_words(launch: Launch, ended: Exit) -> str:
    return "\n".join(filter(None, (f"TorchServe {ended}.", *ended.tail, tail(launch.log))))
