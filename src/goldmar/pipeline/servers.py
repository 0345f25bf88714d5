"""The ways to open a server for a job, and to keep one running for somebody at a terminal."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from goldmar import archive
from goldmar.config import Project
from goldmar.errors import MissingExtraError, ServerError, UsageError
from goldmar.pipeline.archives import archives_for
from goldmar.pipeline.goldens import Golden, drawings_of
from goldmar.pipeline.jobs import Opener
from goldmar.pipeline.selection import select_served
from goldmar.pipeline.watch import Watch
from goldmar.process import held_up
from goldmar.records import Drawing, Endpoint
from goldmar.serve import Server
from goldmar.serve.compose import ComposeServer
from goldmar.serve.local import LocalServer
from goldmar.serve.remote import RemoteServer, endpoint_from
from goldmar.serve.worker import WorkerServer

__all__ = [
    "compose_opener",
    "local_opener",
    "remote_opener",
    "serve",
    "token_file",
    "wait_while_alive",
    "worker_opener",
]


def local_opener(
    project: Project, watch: Watch, *, timeout_s: float | None = None, python: Path | None = None
) -> Opener:
    """TorchServe with Java, started here on the built archives.

    `python` is the interpreter that runs the handlers, this one by default; TorchServe is then the one installed there.
    """

    def open_(goldens: Sequence[Golden]) -> Server:
        models = [golden.model for golden in goldens]
        canaries = {golden.model: golden.drawings[0] for golden in goldens if golden.drawings}
        return _local(project, models, canaries, watch, timeout_s=timeout_s, python=python)

    return open_


def worker_opener(project: Project, watch: Watch, *, python: Path | None = None) -> Opener:
    """TorchServe's worker alone, started here on the built archives; no Java, no HTTP.

    `python` is the interpreter that runs the handlers, this one by default.
    """

    def open_(goldens: Sequence[Golden]) -> Server:
        if python is None:
            _require_serve_extra("TorchServe's worker")
        return WorkerServer(
            archives_for(project, [golden.model for golden in goldens]),
            on_progress=watch.step,
            startup_timeout_s=project.startup_timeout_s,
            python=python or sys.executable,
        )

    return open_


def compose_opener(
    project: Project, watch: Watch, *, stack: str | None = None, timeout_s: float | None = None
) -> Opener:
    """The api container of compose/docker-compose.yml, built from the archives and started here."""

    def open_(goldens: Sequence[Golden]) -> Server:
        archives = archives_for(project, [golden.model for golden in goldens])
        digests = {path.stem: archive.digest(path) for path in archives}
        archive.write_labels(project.model_store, digests)
        return ComposeServer(
            project.root,
            archives,
            labels=archive.line(digests),
            stack=stack or "dev",
            on_progress=watch.step,
            startup_timeout_s=project.startup_timeout_s,
            timeout_s=timeout_s or project.timeout_s,
        )

    return open_


def remote_opener(
    url: str,
    *,
    management_url: str | None = None,
    token_env: str | None = None,
    token_file: Path | None = None,
    headers: Sequence[str] = (),
    ca_bundle: Path | None = None,
    timeout_s: float,
) -> Opener:
    """A server that somebody else keeps running. Raises UsageError at once where the options make no sense."""
    endpoint: Endpoint = endpoint_from(
        url,
        management_url=management_url,
        token_env=token_env,
        token_file=token_file,
        headers=headers,
        ca_bundle=ca_bundle,
        timeout_s=timeout_s,
    )
    return lambda goldens: RemoteServer(
        endpoint,
        [golden.model for golden in goldens],
        wanted={golden.model: golden.request.version for golden in goldens},
    )


def serve(project: Project, models: Sequence[str], watch: Watch, *, port: int | None = None) -> Server:
    """The server of `goldmar serve`: these models, or every archive there is; canaries where drawings are at hand."""
    names = select_served(project, models)
    folders = {name: project.golden / name / "drawings" for name in names}
    found = {name: drawings_of(project, name) for name, folder in folders.items() if folder.is_dir()}
    return _local(project, names, {name: drawings[0] for name, drawings in found.items() if drawings}, watch, port=port)


@contextmanager
def token_file(server: Server, path: Path | None) -> Iterator[Path]:
    """The inference token in a file that only its owner can read, for as long as the server runs.

    Raises UsageError where `path` exists already: a token is not worth overwriting somebody's file.
    """
    target = server.target
    token = target.headers.get("Authorization", "").removeprefix("Bearer ") if isinstance(target, Endpoint) else ""
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
        if isinstance(server, LocalServer) and not server.alive():
            msg = "TorchServe ended by itself."
            raise ServerError(msg, url=server.url, detail=server.trouble(), fix="goldmar serve")


def _local(
    project: Project,
    models: Sequence[str],
    canaries: Mapping[str, Drawing],
    watch: Watch,
    *,
    timeout_s: float | None = None,
    python: Path | None = None,
    port: int | None = None,
) -> LocalServer:
    if python is None:
        _require_serve_extra("Starting TorchServe here")
    return LocalServer(
        archives_for(project, models),
        canaries=canaries,
        on_progress=watch.step,
        startup_timeout_s=project.startup_timeout_s,
        timeout_s=timeout_s or project.timeout_s,
        python=python or sys.executable,
        port=port,
    )


def _require_serve_extra(purpose: str) -> None:
    try:
        metadata.version("torchserve")
    except metadata.PackageNotFoundError as missing:
        raise MissingExtraError("torchserve", "serve", purpose) from missing
