"""The application that the commands join, and the two places that they print to."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from goldmar import __version__

__all__ = ["app", "err", "out", "short"]

app = typer.Typer(
    name="goldmar",
    help="Keeps model APIs honest: reproducible TorchServe archives, held against golden predictions.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

# Reports for people go to standard output; progress, notes and errors to standard error, so that --json can be piped.
out = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
err = Console(stderr=True, highlight=False, soft_wrap=True)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        out.print(f"goldmar {__version__}")
        raise typer.Exit


def short(path: Path) -> Path:
    """As the user would type it here."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve())
    except ValueError:
        return path
