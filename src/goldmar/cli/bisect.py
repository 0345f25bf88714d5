"""bisect: find the changes between two lock files that make the check fail."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from goldmar.cli.app import app, echo_json, err, out
from goldmar.cli.options import Json, Models, TrustLock
from goldmar.errors import ExitCode
from goldmar.pipeline.reports import bisection as report
from goldmar.pipeline.reports import write_bisection
from goldmar.pipeline.selection import load_project, select_models
from goldmar.progress import ConsoleProgress


@app.command(
    epilog="Example: `git show main:ci/locks/serve.txt > good.txt; "
    "goldmar bisect good.txt ci/locks/serve.txt --trust-lock`. "
    "Exit codes: 0 the check passes with the bad lock file, 1 it fails and the packages are named."
)
def bisect(
    good: Annotated[Path, typer.Argument(metavar="GOOD.lock", help="A lock file with which the check passes.")],
    bad: Annotated[Path, typer.Argument(metavar="BAD.lock", help="A lock file with which the check fails.")],
    models: Models = None,
    as_json: Json = False,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a Markdown section for the pull request there.")
    ] = None,
    keep_rest: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the bad lock file without its culprits, if the check then passes."),
    ] = None,
    trust_lock: TrustLock = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore the results of earlier runs.")] = False,
) -> None:
    """Find the smallest set of changes that makes the check fail. An interrupted run can be continued."""
    from goldmar.pipeline.bisect import find_culprits, write_kept

    project = load_project(Path.cwd())
    chosen = select_models(project, models or [])
    with ConsoleProgress(err) as progress:
        found = find_culprits(project, good, bad, chosen, progress, fresh=fresh, trust=trust_lock, keep_rest=keep_rest)
    if as_json:
        echo_json(report.json.render(found))
    else:
        report.terminal.render(found, out)
    if markdown is not None:
        written = write_bisection(found, markdown, root=project.root)
        err.print(f"the section for the pull request is in {escape(str(written))}")
    write_kept(found)
    if found.culprits:
        raise typer.Exit(ExitCode.DIFFERENT)
