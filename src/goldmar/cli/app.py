"""The application that the commands join, and the two places that they print to."""

import os
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment

from goldmar import __version__
from goldmar.text import clean, json_safe

app = typer.Typer(
    name="goldmar",
    help="Tests model APIs: builds reproducible TorchServe archives and compares predictions with goldens.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

_LEAST_WIDTH = 80
"""Of a report: a narrower terminal breaks its lines, where a narrower table would leave out what does not fit."""


class _Clean(RenderHook):
    """Whatever is printed, by whomever, comes out as text and as the styles of rich: no escape of a server's."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Cleaned(renderable) for renderable in renderables]


class _Cleaned:
    def __init__(self, renderable: ConsoleRenderable) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for text, style, control in console.render(self._renderable, options):
            yield Segment(text if control else "\n".join(map(clean, text.split("\n"))), style, control)


def _console(*, stderr: bool, soft_wrap: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, soft_wrap=soft_wrap)
    console.push_render_hook(_Clean())
    return console


# Reports for people go to standard output; progress, notes and errors to standard error, so that --json can be piped.
out = _console(stderr=False, soft_wrap=not sys.stdout.isatty())
err = _console(stderr=True, soft_wrap=True)
if out.width < _LEAST_WIDTH:
    out.width = _LEAST_WIDTH
    os.environ.setdefault("TERMINAL_WIDTH", str(_LEAST_WIDTH))  # Typer's, for --help


def echo(text: str) -> None:
    """Print text as it is, whatever the encoding: Typer's own would go past what looks after standard output."""
    sys.stdout.write(text)
    sys.stdout.flush()


def echo_json(text: str) -> None:
    """Print a JSON document: escapes for what a terminal would obey, and for what its encoding lacks."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    echo(json_safe(text.rstrip("\n"), ascii_only=not unicode) + "\n")


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        out.print(f"goldmar {__version__}")
        raise typer.Exit
