"""The command line: parse, call the pipeline, print, exit. The only module that prints or exits, with the plugin."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from goldmar import __version__, pipeline
from goldmar.errors import ExitCode, GoldmarError, StorageError, UsageError
from goldmar.progress import ConsoleWatch
from goldmar.records import RunResult, Verdict

app = typer.Typer(
    name="goldmar",
    help="Keeps model APIs honest: reproducible TorchServe archives, held against golden predictions.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

# Reports for people go to standard output; progress, notes and errors to standard error, so that --json can be piped.
out = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
err = Console(stderr=True, highlight=False, soft_wrap=True)


class Backend(StrEnum):
    """How `check` and `record` reach a model when no --url is given."""

    local = "local"
    worker = "worker"


Models = Annotated[list[str] | None, typer.Argument(metavar="MODEL", help="Models; all of them by default.")]
Model = Annotated[str, typer.Argument(help="The model's name: its folder under golden/.")]
Url = Annotated[str | None, typer.Option(help="Ask this running server instead of starting one.")]
ManagementUrl = Annotated[str | None, typer.Option(help="Its management address, to know when it is READY.")]
TokenEnv = Annotated[str | None, typer.Option(metavar="NAME", help="Environment variable that holds the token.")]
TokenFile = Annotated[Path | None, typer.Option(help="File that holds the token.")]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="HEADER=NAME", help="Send HEADER with the value of environment variable NAME."),
]
CaBundle = Annotated[Path | None, typer.Option(help="Certificates to trust, for a server with a private CA.")]
BackendOption = Annotated[
    Backend, typer.Option("--backend", help="local: TorchServe with Java; worker: its worker alone, no Java.")
]
Clients = Annotated[int | None, typer.Option(min=1, max=256, help="Drawings under way at once.")]
Timeout = Annotated[float | None, typer.Option(min=0.001, help="Seconds to wait for one answer.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        out.print(f"goldmar {__version__}")
        raise typer.Exit


@app.command(epilog="Example: `goldmar init gear_teeth`")
def init(model: Annotated[str, typer.Argument(help="Name of the new model.")]) -> None:
    """Scaffold handlers/MODEL and golden/MODEL, which pass archive, record, approve and check as they are."""
    project = pipeline.load_project(Path.cwd(), create=True)
    for path in pipeline.scaffold(project.root, model):
        out.print(f"  {escape(str(_short(path)))}")
    out.print(f"Next: goldmar archive {model} && goldmar record {model}")


@app.command(epilog="Example: `goldmar archive thickness`, `goldmar archive --verify model_store/thickness.mar`")
def archive(
    models: Models = None,
    verify: Annotated[Path | None, typer.Option(metavar="FILE", help="Verify this archive; build nothing.")] = None,
    as_json: Json = False,
) -> None:
    """Build handlers/MODEL into model_store/MODEL.mar: the same bytes for the same inputs, always."""
    project = pipeline.load_project(Path.cwd())
    with ConsoleWatch(err) as watch:
        if verify is not None:
            if models:
                msg = "--verify takes a file and no model names."
                raise UsageError(msg, fix=f"goldmar archive --verify {verify}")
            built = [pipeline.verify_archive(project, verify, watch)]
        else:
            chosen = pipeline.select_models(project, models or [], folder=project.handlers)
            built = pipeline.build_archives(project, chosen, watch)
    if as_json:
        rows = [{"model": b.model, "version": b.version, "path": str(b.path), "digest": b.digest} for b in built]
        out.print_json(data=rows)
        return
    for b in built:
        word = "verified" if verify is not None else "built"
        out.print(f"{word} {escape(str(_short(b.path)))}  {b.model} {b.version}  {b.digest}")


@app.command(epilog="Example: `goldmar serve thickness --token-file /tmp/token`")
def serve(
    models: Models = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Write the inference token here (mode 600, removed at the end).")
    ] = None,
) -> None:
    """Start TorchServe here with the built archives, wait for READY, print the addresses, stop on Ctrl-C."""
    project = pipeline.load_project(Path.cwd())
    with (
        ConsoleWatch(err) as watch,
        pipeline.serve(project, models or [], watch) as server,
        pipeline.token_file(server, token_file) as token,
    ):
        watch.close()
        first = ""
        for name in server.versions():
            first = first or name
            typer.echo(f"{server.url}/predictions/{name}")
        typer.echo(f"token in {token}; ask with")
        typer.echo(f'  curl -H "Authorization: Bearer $(cat {token})" -T DRAWING {server.url}/predictions/{first}')
        typer.echo("READY; Ctrl-C stops it.")
        pipeline.wait_while_alive(server)


@app.command(epilog="Example: `goldmar check`, `goldmar check thickness --url http://127.0.0.1:8080 --token-env TOKEN`")
def check(
    models: Models = None,
    url: Url = None,
    backend: BackendOption = Backend.local,
    management_url: ManagementUrl = None,
    token_env: TokenEnv = None,
    token_file: TokenFile = None,
    header: Headers = None,
    ca_bundle: CaBundle = None,
    clients: Clients = None,
    timeout: Timeout = None,
    reports: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write junit.xml, report.json and report.md there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask each model about its sample drawings and hold the answers against its golden."""
    project = pipeline.load_project(Path.cwd())
    chosen = pipeline.select_models(project, models or [])
    with ConsoleWatch(err) as watch:
        opener = _opener(
            project, watch, backend, url, management_url, token_env, token_file, header, ca_bundle, timeout
        )
        run, verdict = pipeline.check(pipeline.Job(project, chosen, opener, watch, clients or project.clients))
        if reports is not None:
            pipeline.write_reports(run, verdict, reports)
    _show(run, verdict, as_json=as_json)
    if reports is not None:
        err.print(f"junit.xml, report.json and report.md are in {escape(str(reports))}")
    if not verdict.passed:
        raise typer.Exit(ExitCode.DIFFERENT)


@app.command(epilog="Example: `goldmar record thickness`")
def record(
    model: Model,
    url: Url = None,
    backend: BackendOption = Backend.local,
    management_url: ManagementUrl = None,
    token_env: TokenEnv = None,
    token_file: TokenFile = None,
    header: Headers = None,
    ca_bundle: CaBundle = None,
    clients: Clients = None,
    timeout: Timeout = None,
) -> None:
    """Ask the model about its drawings and write what it says beside the golden, which stays as it is."""
    project = pipeline.load_project(Path.cwd())
    (chosen,) = pipeline.select_models(project, [model])
    with ConsoleWatch(err) as watch:
        opener = _opener(
            project, watch, backend, url, management_url, token_env, token_file, header, ca_bundle, timeout
        )
        run, verdict = pipeline.record(pipeline.Job(project, [chosen], opener, watch, clients or project.clients))
    (result,) = run.models
    if not verdict.passed:
        _show(run, verdict, as_json=False)
        raise typer.Exit(ExitCode.DIFFERENT)
    where = escape(str(_short(result.obtained))) if result.obtained else ""
    out.print(f"{result.drawings} drawings, {result.values} values of {model} in {where}")
    out.print(f"Next: goldmar approve {model} --reason '...'")


@app.command(epilog="Example: `goldmar approve thickness --reason 'retrained on the 2026 drawings'`")
def approve(
    model: Model,
    reason: Annotated[str, typer.Option(help="Why these answers are right; kept in provenance.toml.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    approver: Annotated[
        str | None, typer.Option(envvar="GOLDMAR_APPROVER", help="Who approves; the login name by default.")
    ] = None,
) -> None:
    """Show what would change in the golden, ask, then make what was obtained the golden."""
    project = pipeline.load_project(Path.cwd())
    (chosen,) = pipeline.select_models(project, [model])
    proposal = pipeline.propose(project, chosen)
    pipeline.show_proposal(proposal, out)
    if not yes:
        if not sys.stdin.isatty():
            msg = "Nobody is there to answer: standard input is not a terminal."
            raise UsageError(msg, fix=f"goldmar approve {model} --reason '...' --yes", model=model)
        typer.confirm(f"Make this the golden of {model}?", abort=True)
    path = pipeline.accept(proposal, reason=reason, approver=approver)
    out.print(f"approved {escape(str(_short(path)))}")


# --- shared by the commands ------------------------------------------------------------------------------------------


def _opener(
    project: pipeline.Project,
    watch: ConsoleWatch,
    backend: Backend,
    url: str | None,
    management_url: str | None,
    token_env: str | None,
    token_file: Path | None,
    header: Sequence[str] | None,
    ca_bundle: Path | None,
    timeout_s: float | None,
) -> pipeline.Opener:
    """How to reach the models, from the options; nothing is started yet."""
    if url is not None:
        if backend is Backend.worker:
            msg = "--backend worker starts a worker here, and --url asks a server that runs already."
            raise UsageError(msg, fix="leave one of the two out")
        return pipeline.remote_opener(
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
    if backend is Backend.worker:
        if timeout_s is not None:
            msg = "--timeout is about an answer over HTTP; the worker goes by responseTimeout of its model-config.yaml."
            raise UsageError(msg, fix="leave --timeout out, or change responseTimeout")
        return pipeline.worker_opener(project, watch)
    return pipeline.local_opener(project, watch, timeout_s=timeout_s)


def _show(run: RunResult, verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        typer.echo(pipeline.to_json(run, verdict))
    else:
        pipeline.show(run, verdict, out)


def _short(path: Path) -> Path:
    """As the user would type it here."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve())
    except ValueError:
        return path


def _print_error(error: GoldmarError) -> None:
    err.print(f"[bold red]error:[/] {escape(error.what)}")
    if error.detail:
        err.print(escape(error.detail.rstrip()), style="dim")
    if error.saved:
        err.print(f"so far: {escape(str(_short(error.saved)))}")
    if error.fix:
        err.print(f"fix: {escape(error.fix)}", style="bold")


def _on_sigterm(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> NoReturn:
    """Entry point: maps every ending to the documented exit code."""
    if threading.current_thread() is threading.main_thread():
        # A CI server cancels with SIGTERM; it must stop the servers started here just as Ctrl-C does.
        signal.signal(signal.SIGTERM, _on_sigterm)
    sys.exit(_run())


# Typer imports click or brings a copy of its own, by version; this is ClickException of the one that it uses.
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]


def _run() -> int:
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except GoldmarError as error:
        _print_error(error)
        return int(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        err.print("interrupted; nothing was changed")
        return int(ExitCode.INTERRUPTED)
    except _ClickError as error:
        error.show()  # type: ignore[attr-defined]
        return int(ExitCode.USAGE)
    except SystemExit:
        # Typer's way to end when the reader of standard output has gone, with a 1 that would say "different".
        _drop_stdout()
        return int(ExitCode.SERVER)
    except OSError as error:
        # Standard output on a full disk, or its reader gone: a verdict that nobody got must not end in a 0.
        _drop_stdout()
        _print_error(StorageError(f"The output could not be written: {error}", fix="free space, or write elsewhere"))
        return int(ExitCode.SERVER)
    except Exception:
        # Not 1, which says that predictions differ.
        err.print_exception()
        err.print("[bold red]error:[/] this is a bug in goldmar; nothing of the run counts")
        return int(ExitCode.BUG)
    return code if isinstance(code, int) else int(ExitCode.OK)


def _drop_stdout() -> None:
    """What is still buffered cannot be written; without this the interpreter tries again at its end, and complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
