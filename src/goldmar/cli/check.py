"""check, record, approve: compare models with their goldens, and make goldens."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from goldmar.cli.app import app, echo_json, err, out
from goldmar.cli.options import Json, Lock, Models, NamedModels, TrustLock, with_reach
from goldmar.errors import ExitCode, UsageError
from goldmar.pipeline.reports import REPORTS, approval, write_reports
from goldmar.pipeline.reports import run as report
from goldmar.pipeline.selection import load_project, select_models, select_recorded
from goldmar.progress import ConsoleProgress
from goldmar.records import Reach, RunResult, Verdict
from goldmar.text import listed, shown_path


@app.command(
    epilog="Example: `goldmar check`, `goldmar check thickness --url http://127.0.0.1:8080 --token-env TOKEN`, "
    "`goldmar check --lock ci/locks/serve.txt --trust-lock`"
)
@with_reach
def check(
    *,
    models: Models = None,
    reach: Reach,
    lock: Lock = None,
    trust_lock: TrustLock = False,
    reports: Annotated[Path | None, typer.Option(metavar="DIR", help=f"Write {listed(REPORTS)} there.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Send failing drawings again to find the first stage that differs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send the sample drawings to each model and compare the answers with the golden."""
    from goldmar.pipeline import jobs
    from goldmar.pipeline.environments import environment_of
    from goldmar.pipeline.servers import way_to

    project = load_project(Path.cwd())
    chosen = select_models(project, models or [])
    way = way_to(reach, chosen, lock=lock is not None)
    with ConsoleProgress(err) as progress, environment_of(lock, progress, trust=trust_lock) as environment:
        clients = reach.clients or project.clients
        job = jobs.Job(project, chosen, way.within(environment), progress, clients, explain=explain)
        run, verdict = jobs.check(job)
        written = () if reports is None else write_reports(run, verdict, reports, root=project.root)
    _show(run, verdict, as_json=as_json)
    if written:
        err.print(f"{listed(path.name for path in written)} are in {escape(str(reports))}")
    if not verdict.passed:
        raise typer.Exit(ExitCode.DIFFERENT)


@app.command(
    epilog="Example: `goldmar record thickness`, `goldmar record --all`, "
    "`goldmar record thickness callouts --lock ci/locks/serve.txt --trust-lock`"
)
@with_reach
def record(
    *,
    models: NamedModels = None,
    every: Annotated[bool, typer.Option("--all", help="Every model.")] = False,
    reach: Reach,
    lock: Lock = None,
    trust_lock: TrustLock = False,
    stages: Annotated[
        bool, typer.Option("--stages", help="Keep the stages of each drawing, for `check --explain`.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send the drawings to models and write the answers beside the goldens, which are not changed."""
    from goldmar.pipeline import jobs
    from goldmar.pipeline.environments import environment_of
    from goldmar.pipeline.servers import way_to

    project = load_project(Path.cwd())
    chosen = select_recorded(project, models or [])
    if bool(models) is every:
        msg = (
            "Models were named together with --all."
            if every
            else f"No model was named. The models are: {', '.join(chosen)}."
        )
        raise UsageError(msg, fix=f"goldmar record {' '.join(chosen)}; for all of them: goldmar record --all")
    way = way_to(reach, chosen, lock=lock is not None)
    with (
        jobs.recording(project, chosen, _again()) as begun,
        ConsoleProgress(err) as progress,
        environment_of(lock, progress, trust=trust_lock) as environment,
    ):
        clients = reach.clients or project.clients
        job = jobs.Job(project, chosen, way.within(environment), progress, clients, stages=stages, recordings=begun)
        run, verdict = jobs.record(job)
    if as_json or not verdict.passed:
        _show(run, verdict, as_json=as_json)
    complete = [result for result in run.models if not result.failures and result.obtained]
    if not as_json:
        for result in complete:
            where = escape(shown_path(result.obtained or Path()))
            out.print(f"{result.drawings} drawings, {result.values} values of {result.model} in {where}")
        if complete:
            out.print(f"Next: goldmar approve {' '.join(result.model for result in complete)} --reason '...'")
    if not verdict.passed:
        raise typer.Exit(ExitCode.DIFFERENT)


@app.command(
    epilog="Example: `goldmar approve thickness --reason 'retrained on the 2026 drawings'`, "
    "`goldmar approve thickness callouts --reason 'torch 2.13' --yes`"
)
def approve(
    reason: Annotated[str, typer.Option(help="Why these answers are right; written to provenance.toml.")],
    models: NamedModels = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    approver: Annotated[
        str | None, typer.Option(envvar="GOLDMAR_APPROVER", help="Who approves; the login name by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what would change in the goldens, ask, then write the obtained answers as the goldens."""
    from goldmar.pipeline.approval import accept_all, propose, recorded

    project = load_project(Path.cwd())
    chosen = select_recorded(project, models or [])
    if not models:
        waiting = " ".join(recorded(project, chosen))
        msg = f"No model was named. Recorded and not yet approved: {waiting or 'none'}."
        raise UsageError(msg, fix=f"goldmar approve {waiting or 'MODEL'} --reason '...'")
    names = " ".join(chosen)
    if as_json and not yes:
        msg = "--json prints one document and nothing else, so it cannot ask for confirmation."
        raise UsageError(msg, fix=f"goldmar approve {names} --reason '...' --yes --json")
    proposals = [propose(project, model) for model in chosen]
    if not as_json:
        for proposal in proposals:
            approval.render(proposal.model, proposal.obtained, proposal.difference, out)
    if not yes:
        if not sys.stdin.isatty():
            msg = "No confirmation is possible: standard input is not a terminal."
            raise UsageError(msg, fix=f"goldmar approve {names} --reason '...' --yes")
        typer.confirm(f"Make this the golden of {', '.join(chosen)}?", abort=True)
    approved = []
    for accepted in accept_all(proposals, reason=reason, approver=approver):
        approved.append({"model": accepted.model, "path": str(accepted.path), "stages": accepted.stages})
        if not as_json:
            out.print(f"approved {escape(shown_path(accepted.path))}")
            if accepted.stages:
                out.print(escape(accepted.stages))
    if as_json:
        out.print_json(data=approved)


def _again() -> str:
    """The command as it was typed, to be run again; empty where a password might be in it."""
    typed = shlex.join(["goldmar", *sys.argv[1:]])
    return "" if "@" in typed or sys.argv[1:2] != ["record"] else typed


def _show(run: RunResult, verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        echo_json(report.json.render(run, verdict))
    else:
        report.terminal.render(run, verdict, out)
