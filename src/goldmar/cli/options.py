"""Options that several commands take; those that say how the models are reached come from goldmar.records.Reach."""

from collections.abc import Callable
from dataclasses import Field, fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from goldmar.backends import backend_names, backends_in_words
from goldmar.errors import GoldmarError
from goldmar.pipeline.selection import load_project, model_names
from goldmar.records import Reach


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
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def with_reach(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes `reach` takes each of the options that it is made of in its place on the command line."""
    parameters: list[Parameter] = []
    for own in signature(command, eval_str=True).parameters.values():
        if own.name == "reach":
            parameters += map(_parameter, fields(Reach)[1:])
        else:
            parameters.append(own)

    def run(**given: Any) -> None:
        said = {each.name: given.pop(each.name) for each in fields(Reach)[1:]}
        command(reach=Reach(**{**said, "header": tuple(said["header"] or ())}), **given)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _parameter(option: Field[Any]) -> Parameter:
    said = option.metadata
    if option.name == "header":
        kind: Any = list[str] | None
    else:
        kind = option.type
    kind = Annotated[
        kind,
        typer.Option(
            f"--{said['name']}",
            metavar=said["metavar"],
            help=said["help"].format(backends=backends_in_words()),
            min=said.get("least"),
            max=said.get("most"),
            show_default=False,
            autocompletion=_backends if option.name == "backend" else None,
        ),
    ]
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _backends(incomplete: str) -> list[str]:
    return [name for name in backend_names() if name.startswith(incomplete)]
