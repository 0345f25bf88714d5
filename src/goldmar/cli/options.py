"""Options that several commands take, and what they say together: how to reach the models."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from goldmar.errors import GoldmarError, UsageError
from goldmar.pipeline.selection import Project, load_project, model_names
from goldmar.progress import ConsoleWatch


class Backend(StrEnum):
    """How a command reaches a model when no --url is given."""

    local = "local"
    worker = "worker"
    compose = "compose"


def _names(incomplete: str) -> list[str]:
    """The models that a shell offers; none where the project cannot be read, since a shell has no place for why."""
    try:
        names = model_names(load_project(Path.cwd()))
    except GoldmarError:
        return []
    return [name for name in names if name.startswith(incomplete)]


Models = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODEL", help="Models; all of them by default.", autocompletion=_names),
]
NamedModels = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODEL...", help="Models: their folders under golden/.", autocompletion=_names),
]
Url = Annotated[str | None, typer.Option(help="Ask this running server instead of starting one.")]
ManagementUrl = Annotated[str | None, typer.Option(help="Its management address, to know when it is READY.")]
TokenEnv = Annotated[str | None, typer.Option(metavar="NAME", help="Environment variable that holds the token.")]
TokenFile = Annotated[Path | None, typer.Option(help="File that holds the token.")]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="HEADER=NAME", help="Send HEADER with the value of environment variable NAME."),
]
CaBundle = Annotated[Path | None, typer.Option(help="Certificates to trust, for a server with a private CA.")]
Lock = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Run the models with the packages of this lock file."),
]
TrustLock = Annotated[
    bool,
    typer.Option(
        "--trust-lock",
        help="Run whatever the lock file names: files, other indexes, packages that have to be built.",
    ),
]
BackendOption = Annotated[
    Backend | None,
    typer.Option(
        "--backend",
        help="local: TorchServe with Java; worker: its worker alone, no Java; compose: the api of compose/, in Docker. "
        "Default: worker with --lock, else local.",
        show_default=False,
    ),
]
Stack = Annotated[
    str | None,
    typer.Option("--env", metavar="NAME", help="With --backend compose: the settings of compose/env/NAME.env."),
]
Clients = Annotated[int | None, typer.Option(min=1, max=256, help="Drawings under way at once.")]
Timeout = Annotated[float | None, typer.Option(min=0.001, help="Seconds to wait for one answer.")]
ModelVersion = Annotated[
    str | None, typer.Option(metavar="VERSION", help="With --url: ask this version instead of the default one.")
]
UrlPath = Annotated[
    str | None,
    typer.Option("--path", metavar="PATH", help="With --url: what follows it, instead of /predictions/{model}."),
]
ContentType = Annotated[
    str | None, typer.Option(metavar="TYPE", help="Send every drawing as this, whatever its suffix says.")
]
FormField = Annotated[
    str | None,
    typer.Option("--field", metavar="NAME", help="Send a form with the drawing in this field, not the drawing alone."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def request_options(url: str | None, chosen: Sequence[str], **options: str | None) -> dict[str, str]:
    """The options that win over request.toml in golden/<model>, by the names of its keys. Raises UsageError."""
    from goldmar.pipeline.goldens import OPTIONS, check_option

    given = {key: check_option(key, value) for key, value in options.items() if value is not None}
    for key in ("version", "path"):
        if key in given and url is None:
            msg = f"{OPTIONS[key]} says where a running server is asked, and there is no --url."
            raise UsageError(msg, fix="add --url http://HOST:PORT")
    if len(chosen) > 1 and "{model}" not in given.get("path", "{model}"):
        msg = f"--path {given['path']} would ask one address about {len(chosen)} models."
        raise UsageError(msg, fix="write {model} where its name goes, or name one model")
    return given


def opener(
    project: Project,
    watch: ConsoleWatch,
    backend: Backend,
    url: str | None,
    management_url: str | None,
    token_env: str | None,
    token_file: Path | None,
    header: Sequence[str] | None,
    ca_bundle: Path | None,
    timeout_s: float | None,
    stack: str | None,
    python: Path | None = None,
) -> Any:  # a pipeline.jobs.Opener
    """How to reach the models, from the options; nothing is started yet. `python` is that of a lock file."""
    from goldmar.pipeline.servers import compose_opener, local_opener, remote_opener, worker_opener

    if stack is not None and backend is not Backend.compose:
        msg = "--env chooses a stack of compose/env, and nothing else than --backend compose starts one."
        raise UsageError(msg, fix=f"--backend compose --env {stack}")
    if python is not None and backend is Backend.compose:
        msg = "--lock makes an environment on this machine, and --backend compose has its own in an image."
        raise UsageError(msg, fix="GOLDMAR_API_LOCK=FILE goldmar check --backend compose")
    if url is not None:
        if backend is not Backend.local:
            msg = f"--backend {backend} starts a server here, and --url asks one that runs already."
            raise UsageError(msg, fix="leave one of the two out")
        return remote_opener(
            url,
            management_url=management_url,
            token_env=token_env,
            token_file=token_file,
            headers=header or (),
            ca_bundle=ca_bundle,
            timeout_s=timeout_s or project.timeout_s,
        )
    options = {
        "--management-url": management_url,
        "--token-env": token_env,
        "--token-file": token_file,
        "--header": header,
        "--ca-bundle": ca_bundle,
    }
    for name, value in options.items():
        if value:
            msg = f"{name} says how to reach a running server, and there is no --url."
            raise UsageError(msg, fix="add --url http://HOST:PORT")
    if backend is Backend.compose:
        return compose_opener(project, watch, stack=stack, timeout_s=timeout_s)
    if backend is Backend.worker:
        if timeout_s is not None:
            msg = "--timeout is about an answer over HTTP; the worker goes by responseTimeout of its model-config.yaml."
            raise UsageError(msg, fix="leave --timeout out, or change responseTimeout")
        return worker_opener(project, watch, python=python)
    return local_opener(project, watch, timeout_s=timeout_s, python=python)
