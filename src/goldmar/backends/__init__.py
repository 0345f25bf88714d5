"""The ways to a model, by name: the table that the command line and the pytest plugin are made from.

A package of somebody else adds one with an entry point in the group `goldmar.backends`: its name is the backend's, its
object a Backend. docs/backends.md has one of forty lines.
"""

import math
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from goldmar.config import Project
from goldmar.errors import ConfigError, UsageError
from goldmar.layout import did_you_mean
from goldmar.records import COMMAND_LINE, Drawing, Edge, Origin, Reach
from goldmar.seam import Server

__all__ = [
    "BACKENDS",
    "GROUP",
    "Backend",
    "Serving",
    "backend_names",
    "backends_in_words",
    "choose_backend",
    "find_backend",
]

GROUP = "goldmar.backends"


def _silent(line: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What a server is opened for.

    Args:
        models: the models that will be asked.
        reach: what the user says of the way to them.
        progress: is told in one line how far the start is.
        archives: the .mar files of the models, where the backend takes archives; `digests` are theirs, by model.
        canaries: model name -> a drawing that may be asked about before the server counts as ready.
        versions: model name -> the version that is asked for, where it is not the default one.
        python: the interpreter that runs the handlers, with its version; None for the one that runs here.
        port: the port of predictions; None takes a free one.
    """

    project: Project
    models: tuple[str, ...]
    reach: Reach = field(default_factory=Reach)
    progress: Callable[[str], None] = _silent
    archives: tuple[Path, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    canaries: Mapping[str, Drawing] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    python: Path | None = None
    python_version: str = ""
    port: int | None = None

    @property
    def timeout_s(self) -> float:
        """Seconds to wait for one answer."""
        return self.project.timeout_s if self.reach.timeout is None else self.reach.timeout


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One way to a model.

    Args:
        name: what the user says to have it.
        help: a few words for the list of options.
        open: the server factory; nothing is started before the server is entered.
        takes: the fields of Reach that it heeds, of those that not every backend takes.
        instead: field of Reach -> what holds in its place, for the message that turns the option down.
        archives: whether it serves the archives of model_store; `labels`, whether they have to be labelled there.
        torchserve: what it needs the package torchserve for, where no other interpreter is named; else empty.
        lock: whether its handlers can run with the packages of a lock file; `instead_of_lock` is what to do if not.
        resume: makes the server again in another process, of what its `handover` gave; None where each process has to
            open one of its own.
    """

    name: str
    help: str
    open: Callable[[Serving], Server]
    takes: frozenset[str] = frozenset()
    instead: Mapping[str, str] = field(default_factory=dict)
    archives: bool = False
    labels: bool = False
    torchserve: str = ""
    lock: bool = False
    instead_of_lock: str = ""
    resume: Callable[[Mapping[str, Any], Edge], Server] | None = None


def _local(serving: Serving) -> Server:
    from goldmar.backends.local import LocalServer

    return LocalServer(
        serving.archives,
        canaries=serving.canaries,
        on_progress=serving.progress,
        startup_timeout_s=serving.project.startup_timeout_s,
        timeout_s=serving.timeout_s,
        port=serving.port,
        python=serving.python or sys.executable,
        origin=_origin("local", serving),
        edge=serving.reach.edge,
    )


def _worker(serving: Serving) -> Server:
    from goldmar.backends.worker import WorkerServer

    return WorkerServer(
        serving.archives,
        on_progress=serving.progress,
        startup_timeout_s=serving.project.startup_timeout_s,
        python=serving.python or sys.executable,
        origin=_origin("worker", serving),
    )


def _compose(serving: Serving) -> Server:
    from goldmar.backends.compose import ComposeServer

    return ComposeServer(
        serving.project.root,
        serving.archives,
        labels=" ".join(f"{model}={digest}" for model, digest in sorted(serving.digests.items())),
        stack=serving.reach.env or "dev",
        on_progress=serving.progress,
        startup_timeout_s=serving.project.startup_timeout_s,
        timeout_s=serving.timeout_s,
        origin=Origin("compose", digests=serving.digests),
        edge=serving.reach.edge,
    )


def _remote(serving: Serving) -> Server:
    from goldmar.backends.remote import RemoteServer, endpoints_from

    inference, management = endpoints_from(serving.reach, serving.project.timeout_s)
    return RemoteServer(inference, management, serving.models, wanted=serving.versions)


def _handed(handed: Mapping[str, Any], edge: Edge) -> Server:
    from goldmar.backends.http import HandedServer

    return HandedServer(handed, edge)


def _origin(name: str, serving: Serving) -> Origin:
    python = serving.python_version or platform.python_version()
    return Origin(name, python=python, digests=serving.digests)


_LOCAL = Backend(
    name="local",
    help="TorchServe with Java",
    open=_local,
    takes=frozenset({"timeout"}),
    archives=True,
    torchserve="Starting TorchServe here",
    lock=True,
    resume=_handed,
)
_WORKER = Backend(
    name="worker",
    help="its worker alone, no Java",
    open=_worker,
    instead={"timeout": "the worker goes by responseTimeout of its model-config.yaml"},
    archives=True,
    torchserve="TorchServe's worker",
    lock=True,
)
_COMPOSE = Backend(
    name="compose",
    help="the api of compose/, in Docker",
    open=_compose,
    takes=frozenset({"timeout", "env"}),
    archives=True,
    labels=True,
    instead_of_lock="GOLDMAR_API_LOCK=FILE goldmar check --backend compose",
    resume=_handed,
)
_REMOTE = Backend(
    name="remote",
    help="a server that runs already, named by its URL",
    open=_remote,
    takes=frozenset({"url", "management_url", "token_env", "token_file", "header", "ca_bundle", "timeout"})
    | {"model_version", "path"},
    resume=_handed,
)

BACKENDS: Mapping[str, Backend] = {each.name: each for each in (_LOCAL, _WORKER, _COMPOSE, _REMOTE)}
"""Those that goldmar brings; `find_backend` knows those of other packages as well."""


def backends_in_words() -> str:
    """What goldmar brings, for the help of an option."""
    return "; ".join(f"{each.name}: {each.help}" for each in BACKENDS.values()) + "."


def choose_backend(reach: Reach, *, lock: bool = False) -> Backend:
    """The backend that the options mean; `lock` is whether the models run with the packages of a lock file.

    Raises UsageError where the options do not go together, and as `find_backend` does.
    """
    words = reach.edge.words
    if lock and reach.url is not None:
        msg = "--lock says what the models started here run with, and --url asks a server that runs already."
        raise UsageError(msg, fix="leave one of the two out")
    default = _REMOTE if reach.url is not None else _WORKER if lock else _LOCAL
    backend = default if reach.backend is None else find_backend(reach.backend, reach.edge)
    if reach.url is not None and "url" not in backend.takes:
        if backend is not _LOCAL:
            msg = f"{reach.edge.option('backend')} {backend.name} starts a server here, and "
            raise UsageError(msg + words("{url} asks one that runs already."), fix="leave one of the two out")
        backend = _REMOTE
    if lock and not backend.lock:
        msg = f"--lock makes an environment on this machine, and --backend {backend.name} has its own."
        raise UsageError(msg, fix=backend.instead_of_lock or "leave one of the two out")
    if backend is _REMOTE and reach.url is None:
        msg = f"{reach.edge.option('backend')} remote asks a server that runs already, and none is named."
        raise UsageError(msg, fix=words("add {url} http://HOST:PORT"))
    metadata = {each.name: each.metadata for each in fields(Reach)}
    for name, value in reach.given().items():
        about, least = metadata[name].get("about", ""), metadata[name].get("least")
        if about and name not in backend.takes:
            raise _not_taken(backend, reach.edge, name, about, value)
        if least is not None and not least <= value < math.inf:  # NaN is neither
            option = reach.edge.option(name)
            raise UsageError(f"{option} is {value:g}.", fix=f"{option} with a number from {least:g} on")
    return backend


def _not_taken(backend: Backend, edge: Edge, name: str, about: str, value: object) -> UsageError:
    """What to say of an option that would have no effect."""
    option, takers = edge.option(name), [each for each in BACKENDS.values() if name in each.takes]
    if name in backend.instead:
        return UsageError(f"{option} {about}; {backend.instead[name]}.", fix=f"leave {option} out")
    if takers == [_REMOTE]:
        msg = f"{option} {about}, and there is no {edge.option('url')}."
        return UsageError(msg, fix=edge.words("add {url} http://HOST:PORT"))
    msg = f"{option} {about}, and the backend {backend.name} does not take it."
    return UsageError(msg, fix=f"{edge.option('backend')} {takers[0].name} {option} {value}")


def backend_names() -> list[str]:
    """All that are installed."""
    return [*BACKENDS, *sorted({point.name for point in entry_points(group=GROUP)} - BACKENDS.keys())]


def find_backend(name: str, edge: Edge = COMMAND_LINE) -> Backend:
    """The backend of that name, of goldmar or of an installed package.

    Raises UsageError where there is none, and ConfigError where the package that has it cannot be used.
    """
    if name in BACKENDS:
        return BACKENDS[name]
    for point in entry_points(group=GROUP):
        if point.name == name:
            package = point.dist.name if point.dist else point.value
            try:
                found = point.load()
            except Exception as error:
                msg = f"The backend {name} of the package {package} cannot be loaded: {type(error).__name__}: {error}."
                raise ConfigError(msg, fix=f"pip install --upgrade {package}, or choose another backend") from error
            if isinstance(found, Backend):
                return found
            msg = f"The package {package} names {point.value} as the backend {name}, and that is no Backend."
            raise ConfigError(msg, fix="its entry point has to name a goldmar.backends.Backend")
    msg = f"There is no backend {name!r}.{did_you_mean(name, backend_names())}"
    raise UsageError(msg, fix=edge.words("{backend} with one of: ") + ", ".join(backend_names()))
