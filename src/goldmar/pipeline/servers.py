"""The way to the models: which backend, its server opened, and one kept running for somebody at a terminal."""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Self

from goldmar.archive import write_labels
from goldmar.backends import Backend, Serving, choose_backend
from goldmar.config import Project
from goldmar.environments import Environment
from goldmar.errors import MissingExtraError, ServerError, UsageError
from goldmar.golden import check_options
from goldmar.mar import Archive
from goldmar.pipeline.archives import archives_for
from goldmar.pipeline.goldens import Golden, drawings_of
from goldmar.pipeline.progress import Progress
from goldmar.pipeline.selection import select_served
from goldmar.process import held_up
from goldmar.records import Drawing, Reach
from goldmar.seam import Server

__all__ = ["Way", "open_server", "read_archives", "serve", "token_file", "wait_while_alive", "way_to"]


@dataclass(frozen=True, slots=True)
class Way:
    """How the models of a run are reached. `python` is that of a lock file's environment, with its version."""

    backend: Backend
    reach: Reach = field(default_factory=Reach)
    python: Path | None = None
    python_version: str = ""

    def within(self, environment: Environment | None) -> Self:
        """The same with the interpreter of an environment, where there is one."""
        if environment is None:
            return self
        return replace(self, python=environment.python, python_version=environment.python_version)


def way_to(reach: Reach, models: Sequence[str] = (), *, lock: bool = False) -> Way:
    """The way to these models that the options mean; `lock` is whether they run with the packages of a lock file.

    Raises UsageError where the options make no sense, or do not go together.
    """
    backend, given = choose_backend(reach, lock=lock), check_options(reach)
    if len(models) > 1 and "{model}" not in given.get("path", "{model}"):
        msg = f"{reach.edge.option('path')} {given['path']} would ask one address about {len(models)} models."
        raise UsageError(msg, fix="write {model} where its name goes, or name one model")
    return Way(backend, reach)


def read_archives(project: Project, way: Way, models: Sequence[str]) -> dict[str, Archive]:
    """The archives that the models are served from, each read once; none where the backend has no use for them.

    Raises ArchiveError, and MissingExtraError where TorchServe is needed and not installed.
    """
    if way.backend.torchserve and way.python is None:
        try:
            metadata.version("torchserve")
        except metadata.PackageNotFoundError as missing:
            raise MissingExtraError("torchserve", "serve", way.backend.torchserve) from missing
    found = archives_for(project, models, way.reach.edge) if way.backend.archives else []
    if way.backend.labels:
        write_labels(project.model_store, {archive.model: archive.digest for archive in found})
    return {archive.model: archive for archive in found}


def open_server(
    project: Project, way: Way, goldens: Sequence[Golden], archives: Mapping[str, Archive], progress: Progress
) -> Server:
    """The server for these models, not yet entered: nothing is started before."""
    canaries = {golden.model: golden.drawings[0] for golden in goldens if golden.drawings}
    versions = {golden.model: golden.request.version for golden in goldens}
    return _opened(project, way, [golden.model for golden in goldens], archives, canaries, progress, versions=versions)


def serve(project: Project, models: Sequence[str], progress: Progress, *, port: int | None = None) -> Server:
    """The server of `goldmar serve`: these models, or every archive there is; canaries where drawings are at hand."""
    way, names = way_to(Reach()), select_served(project, models)
    folders = {name: project.golden / name / "drawings" for name in names}
    found = {name: drawings_of(project, name) for name, folder in folders.items() if folder.is_dir()}
    canaries = {name: drawings[0] for name, drawings in found.items() if drawings}
    return _opened(project, way, names, read_archives(project, way, names), canaries, progress, port=port)


def _opened(
    project: Project,
    way: Way,
    models: Sequence[str],
    archives: Mapping[str, Archive],
    canaries: Mapping[str, Drawing],
    progress: Progress,
    *,
    versions: Mapping[str, str] | None = None,
    port: int | None = None,
) -> Server:
    return way.backend.open(
        Serving(
            project=project,
            models=tuple(models),
            reach=way.reach,
            progress=progress.step,
            archives=tuple(archive.path for archive in archives.values()),
            digests={model: archive.digest for model, archive in archives.items()},
            canaries=canaries,
            versions=versions or {},
            python=way.python,
            python_version=way.python_version,
            port=port,
        )
    )


@contextmanager
def token_file(server: Server, path: Path | None) -> Iterator[Path]:
    """The inference token in a file that only its owner can read, for as long as the server runs.

    Raises UsageError where `path` exists already: a token is not worth overwriting somebody's file.
    """
    token = server.token()
    place: Path | None = None
    try:
        with held_up():
            folder = Path(tempfile.mkdtemp(prefix="goldmar-token-")) if path is None else path.parent
            wanted = path or folder / "token"
            try:
                descriptor = os.open(wanted, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except OSError as error:
                msg = f"The token could not be written to {wanted}: {error.strerror}."
                fix = "--token-file with a path that does not exist yet, in a folder that does"
                raise UsageError(msg, fix=fix) from error
            place = wanted
        with os.fdopen(descriptor, "w") as file:
            file.write(token)
        yield place
    finally:
        if place is not None:
            place.unlink(missing_ok=True)
            if path is None:
                place.parent.rmdir()


def wait_while_alive(server: Server) -> None:
    """Return never; raise ServerError when the server ends by itself, KeyboardInterrupt when the user ends it."""
    while True:
        time.sleep(1)
        if not server.alive():
            url, detail = server.origin.url, server.diagnostics()
            raise ServerError("TorchServe ended by itself.", url=url, detail=detail, fix="goldmar serve")
