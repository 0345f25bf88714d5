"""TorchServe's own worker without its server: no Java, no ports, the same handler code and the same status codes.

Each archive gets a subprocess, since the modules of two archives may bear the same names. It runs
`ts.model_service_worker` and is spoken to in TorchServe's protocol; what the frontend would have made of a frame, an
HTTP status and a body, is made here by the same rules (goldmar.protocols.worker).

What is missing beside a whole TorchServe: batches (each request is a batch of its own), tokens, several workers for a
model, a new worker where one died.
"""

import selectors
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from goldmar.errors import (
    MissingExtraError,
    ModelUnknownError,
    NotReadyError,
    WorkerDiedError,
)
from goldmar.layout import by_model, did_you_mean
from goldmar.packages import Installed
from goldmar.process import held_up
from goldmar.protocols.worker import TOO_LARGE, BadFrame, WorkerSocket, answer
from goldmar.records import Answer, Origin, Request
from goldmar.seam import Server
from goldmar.serve.child import Child
from goldmar.serve.interpreter import packages_of
from goldmar.serve.launch import MAX_BODY
from goldmar.serve.log import LATE_S

__all__ = ["WorkerServer"]

POLL_S = 0.02


class WorkerServer(Server):
    """Serve these archives while the context is entered.

    Args:
        archives: .mar files, by whomever built; a model is named as its file without the suffix.
        on_progress: called with a line of text at each step.
        startup_timeout_s: seconds within which every handler must have loaded.
        python: the interpreter that runs the handlers; it needs torch, TorchServe and their packages, not goldmar.
        origin: what is known beforehand of where the answers come from.

    Entering raises ArchiveError, UsageError for two archives of the same model, MissingExtraError, StorageError,
    WorkerDiedError with the handler's own traceback, NotReadyError.
    """

    protocol = WorkerSocket(MAX_BODY)

    def __init__(
        self,
        archives: Sequence[Path],
        *,
        on_progress: Callable[[str], None] | None = None,
        startup_timeout_s: float = 120.0,
        python: Path | str = sys.executable,
        origin: Origin | None = None,
    ) -> None:
        self._archives = list(archives)
        self._say = on_progress or (lambda _: None)
        self._startup_timeout_s = startup_timeout_s
        self._python = python
        self._origin = replace(origin or Origin("worker"), url="worker:")
        self._children: dict[str, Child] = {}
        self._packages: Installed | None = None

    def versions(self) -> Mapping[str, str]:
        """Model name -> version, from the manifests."""
        return {model: child.manifest.version for model, child in self._children.items()}

    def packages(self) -> Installed:
        """What the interpreter of the handlers finds. Raises NotReadyError."""
        if self._packages is None:
            self._packages = packages_of(self._python, timeout_s=self._startup_timeout_s)
        return self._packages

    def diagnostics(self) -> str | None:
        """The last traceback in the log of a worker that died, or else of any.

        An answer comes through a socket and may be here before the log, which comes through a pipe. So what there is
        has to stay the same from one look to the next, and where there is nothing it is looked for half a second.
        """
        until = time.monotonic() + LATE_S
        found = self._traceback()
        while time.monotonic() < until:
            time.sleep(POLL_S)
            before, found = found, self._traceback()
            if found is not None and found == before:
                break
        return found

    def _traceback(self) -> str | None:
        for child in sorted(self._children.values(), key=lambda child: child.alive):
            if said := child.said():
                return said
        return None

    def start(self) -> None:
        if str(self._python) == sys.executable:
            _need_torchserve()
        deadline = time.monotonic() + self._startup_timeout_s
        for model, mar in by_model(self._archives).items():
            with held_up():  # what is started has to be known here before anything else may happen
                self._children[model] = Child(mar, self._python)
            self._say(f"{model}: TorchServe's worker is starting")
        self._wait_until_ready(deadline)

    def _wait_until_ready(self, deadline: float) -> None:
        waiting = dict(self._children)
        with selectors.DefaultSelector() as selector:
            for model, child in waiting.items():
                selector.register(child.socket, selectors.EVENT_READ, model)
            while waiting:
                events = selector.select(max(0.0, deadline - time.monotonic()))
                try:
                    if not events:
                        raise TimeoutError
                    for key, _ in events:
                        waiting[key.data].take_ready(deadline)
                        del waiting[key.data]
                        selector.unregister(key.fileobj)
                        self._say(f"{key.data}: READY ({len(self._children) - len(waiting)}/{len(self._children)})")
                except TimeoutError as error:
                    late = ", ".join(sorted(waiting))
                    raise NotReadyError(
                        f"Not READY within {self._startup_timeout_s:g} s: {late}.",
                        fix="Give it longer with startup_timeout_s in [tool.goldmar], or look at what initialize does",
                        model=min(waiting),
                        detail="\n".join(filter(None, (child.said() for child in waiting.values()))) or None,
                    ) from error

    @property
    def origin(self) -> Origin:
        return self._origin

    def ask(self, request: Request, /) -> Answer:
        """Ask one model about one drawing; a model answers one at a time.

        Raises ModelUnknownError, GoldenError for a drawing that cannot be read, and WorkerDiedError.
        """
        model, drawing = request.model, request.drawing
        child = self._children.get(model)
        if child is None:
            known = ", ".join(sorted(self._children)) or "none"
            raise ModelUnknownError(
                f"No archive holds the model {model}; there are: {known}.{did_you_mean(model, self._children)}",
                fix=f"Name one of these, or: goldmar archive {model}",
            )
        frame = self.protocol.message(request).body
        if frame is None:
            return TOO_LARGE
        with child.lock:
            try:
                return answer(child.ask(frame, child.response_timeout_s))
            except BadFrame as error:
                raise child.garbled(error) from error
            except TimeoutError as error:
                child.stop()
                raise WorkerDiedError(
                    f"{model} had not answered {drawing.id} within its responseTimeout of "
                    f"{child.response_timeout_s} s, and its worker was stopped.",
                    fix="Raise responseTimeout in model-config.yaml, or look at what the handler does",
                    model=model,
                    detail=child.said(),
                ) from error

    def stop(self) -> None:
        with held_up():  # a first Ctrl-C in here would leave some running
            for child in self._children.values():
                child.hang_up()
            for child in self._children.values():
                child.stop()


def _need_torchserve() -> None:
    from importlib.util import find_spec

    for module, package in (("ts", "torchserve"), ("torch", "torch"), ("yaml", "pyyaml")):
        if find_spec(module) is None:
            raise MissingExtraError(package, "serve", "TorchServe's worker")
