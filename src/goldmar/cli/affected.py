"""affected: which models a change affects, for people and for CI."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from goldmar.cli.app import app, echo, echo_json, out
from goldmar.cli.options import Json
from goldmar.errors import UsageError
from goldmar.pipeline.affected import find_affected
from goldmar.pipeline.reports import affected as report
from goldmar.pipeline.selection import load_project
from goldmar.text import clean


@app.command(epilog="Example: `goldmar affected --base origin/main`, `goldmar affected --base origin/main --matrix`")
def affected(
    base: Annotated[
        str | None, typer.Option(metavar="REF", help="The branch or commit that the change goes into.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(metavar="REF", help="The commit with the change; default: the working tree, untracked files too."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All models, instead of those that a change affects.")] = False,
    as_json: Json = False,
    as_matrix: Annotated[
        bool, typer.Option("--matrix", help="Print one line of JSON for a GitHub Actions matrix.")
    ] = False,
    as_names: Annotated[bool, typer.Option("--names", help="Print only the names of the models, one a line.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown for a summary page.")] = False,
    jobs: Annotated[
        int,
        typer.Option(min=1, max=report.matrix.MOST_JOBS, help="Most jobs in the matrix; models then share jobs."),
    ] = report.matrix.MOST_JOBS,
) -> None:
    """List the models that the change since BASE affects, and why. A change of unknown effect affects all models.

    The change is what a pull request shows: the difference from the merge base of BASE and the head to the head.
    """
    if as_json + as_matrix + as_names + as_markdown > 1:
        msg = "Only one of --json, --matrix, --names and --markdown can be given."
        raise UsageError(msg, fix="give one of them")
    if (base is None) is not every:
        msg = "--base or --all is required." if base is None else "--all and --base cannot be given together."
        raise UsageError(msg, fix="goldmar affected --base main, or goldmar affected --all")
    project = load_project(Path.cwd())
    found = find_affected(project, base, head)
    if as_json:
        echo_json(report.json.render(found))
    elif as_matrix:
        echo_json(report.matrix.render(found, jobs))
    elif as_names:
        echo("".join(f"{clean(name)}\n" for name in found.models))
    elif as_markdown:
        echo(report.markdown.render(found))
    else:
        for line in report.terminal.lines(found):
            out.print(escape(line))
