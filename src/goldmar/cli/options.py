"""Options that several commands share; those for reaching a model are made from goldmar.records.Reach."""

from collections.abc import Callable
from dataclasses import Field, fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from goldmar.backends import backend_names, backends_in_words
from goldmar.errors import GoldmarError
from goldmar.pipeline.selection import load_project, model_names
from goldmar.records import COMMAND_LINE, Reach


def _names(incomplete: str) -> list[str]:
    """The models for shell completion; none if the project cannot be read, since a shell cannot show the reason."""
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
        help="Allow everything in the lock file: local files, other indexes, packages that must be built.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def with_reach(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `reach` of a command by one command-line option for each field of Reach."""
    parameters: list[Parameter] = []
    for own in signature(command, eval_str=True).parameters.values():
        if own.name == "reach":
            parameters += map(_parameter, fields(Reach)[1:])
        else:
            parameters.append(own)

    def run(**given: Any) -> None:
        options = {each.name: given.pop(each.name) for each in fields(Reach)[1:]}
        command(reach=Reach(**{**options, "header": tuple(options["header"] or ())}), **given)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _parameter(option: Field[Any]) -> Parameter:
    declared = option.metadata
    if option.name == "header":
        kind: Any = list[str] | None
    else:
        kind = option.type
    kind = Annotated[
        kind,
        typer.Option(
            COMMAND_LINE.option(option.name),
            metavar=declared["metavar"],
            help=declared["help"].format(backends=backends_in_words()),
            min=declared.get("least"),
            max=declared.get("most"),
            show_default=False,
            autocompletion=_backends if option.name == "backend" else None,
        ),
    ]
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _backends(incomplete: str) -> list[str]:
    return [name for name in backend_names() if name.startswith(incomplete)]
