"""init, archive, serve: scaffold a model, build its archive, serve it."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from goldmar.cli.app import app, echo, echo_json, err, out
from goldmar.cli.options import Json, Models
from goldmar.errors import UsageError
from goldmar.pipeline.project import Ci, FileStatus, ModelKind, Prepared, lock_models, prepare, scaffold
from goldmar.pipeline.selection import built_elsewhere, load_project, select_handlers
from goldmar.progress import ConsoleProgress
from goldmar.text import shown_path


@app.command(
    epilog="Example: `goldmar init gear_teeth`, `goldmar init prices --kind tabular`, `goldmar init --ci github`"
)
def init(
    model: Annotated[str | None, typer.Argument(help="Name of the new model.")] = None,
    kind: Annotated[
        ModelKind | None,
        typer.Option(
            help="What it takes as input. drawing: gray images, image: colour images (both with torch); tabular: "
            "CSV, for models of scikit-learn, XGBoost and the like; text; json: rules in Python, no model file. "
            "Default: drawing.",
            show_default=False,
        ),
    ] = None,
    compose: Annotated[
        bool, typer.Option("--compose", help="Also write compose/, to serve and check the models with Docker.")
    ] = False,
    ci: Annotated[
        Ci | None,
        typer.Option(
            "--ci", help="Write compose/, a workflow and the files it needs: scripts, lock files, .gitignore."
        ),
    ] = None,
    package: Annotated[
        str | None,
        typer.Option(
            "--goldmar",
            metavar="REQUIREMENT",
            help="The requirement from which the workflow installs goldmar: a release, a URL, a wheel in this project. "
            "Default: as goldmar is installed here.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Scaffold handlers/MODEL and golden/MODEL, which pass archive, record, approve and check as they are.

    --compose and --ci can be run again: unchanged files are upgraded; files that you changed are kept and listed.
    """
    if model is None and kind is not None:
        msg = "--kind needs the name of a new model."
        raise UsageError(msg, fix=f"goldmar init MODEL --kind {kind}")
    if package is not None and ci is None:
        msg = "--goldmar is for the workflow that --ci writes."
        raise UsageError(msg, fix=f"goldmar init --ci github --goldmar '{package}'")
    if model is None and not compose and ci is None:
        msg = "Nothing to scaffold: a model name, --compose or --ci is required."
        raise UsageError(msg, fix="goldmar init MODEL")
    project = load_project(Path.cwd(), create=True)
    written = scaffold(project.root, model, kind or ModelKind.drawing) if model is not None else []
    for path in written:
        out.print(f"  {escape(shown_path(path))}")
    if compose or ci:
        _show(prepare(project.root, ci, package))
    if ci:
        with ConsoleProgress(err) as progress:
            locked = lock_models(project.root, progress.note)
        _show(locked)
    if model is not None:
        out.print(f"Next: goldmar archive {model} && goldmar record {model}")
    elif ci is not None:
        out.print("Next: ci/base-image --pin, commit all of it, and have the check `golden` required; see docs/ci.md")
    else:
        out.print("Next: goldmar archive && ci/wheelhouse && goldmar check --backend compose")


_FATES = {
    FileStatus.written: "",
    FileStatus.upgraded: "  upgraded",
    FileStatus.removed: "  removed, no longer needed",
    FileStatus.left: "  was changed by you: kept",
    FileStatus.beside: "  was changed by you: kept; the new one is {path}.new",
}


def _show(prepared: Prepared) -> None:
    """Print the outcome for each file; unchanged files of the copy of goldmar share one line."""
    copied = 0
    for outcome in prepared.outcomes:
        if outcome.status is FileStatus.same:
            continue
        theirs = outcome.status in {FileStatus.left, FileStatus.beside}
        if outcome.path.startswith("compose/goldmar/") and not theirs:
            copied += 1
            continue
        out.print(f"  {escape(outcome.path)}{_FATES[outcome.status].format(path=escape(outcome.path))}")
    if copied:
        out.print(f"  compose/goldmar  {copied} files: goldmar itself, for the batch image")
    for note in prepared.notes:
        out.print(escape(note), soft_wrap=True)


@app.command(epilog="Example: `goldmar archive thickness`, `goldmar archive --verify model_store/thickness.mar`")
def archive(
    models: Models = None,
    verify: Annotated[Path | None, typer.Option(metavar="FILE", help="Verify this archive; build nothing.")] = None,
    as_json: Json = False,
) -> None:
    """Build handlers/MODEL into model_store/MODEL.mar: the same inputs always give the same bytes."""
    from goldmar.pipeline.archives import build_archives, verify_archive

    project = load_project(Path.cwd())
    with ConsoleProgress(err) as progress:
        if verify is not None:
            if models:
                msg = "--verify takes a file and no model names."
                raise UsageError(msg, fix=f"goldmar archive --verify {verify}")
            built = [verify_archive(project, verify, progress)]
        else:
            chosen = select_handlers(project, models or [])
            built = build_archives(project, chosen, progress)
    if as_json:
        rows = [{"model": b.model, "version": b.version, "path": str(b.path), "digest": b.digest} for b in built]
        echo_json(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for name in built_elsewhere(project, models or []) if verify is None else ():
        mar = escape(shown_path(project.model_store / f"{name}.mar"))
        out.print(f"kept {mar}  built elsewhere: no handler here builds it; if {name} was renamed or removed: rm {mar}")
    for b in built:
        word = "verified" if verify is not None else "built"
        out.print(f"{word} {escape(shown_path(b.path))}  {b.model} {b.version}  {b.digest}")


@app.command(epilog="Example: `goldmar serve thickness --port 8080 --token-file /tmp/token`")
def serve(
    models: Models = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="The port for predictions on this machine; by default a free port."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Write the inference token to this file (mode 600, removed at the end).")
    ] = None,
) -> None:
    """Start TorchServe with the built archives, wait for READY, print the URLs, stop on Ctrl-C."""
    from goldmar.pipeline import servers

    project = load_project(Path.cwd())
    with (
        ConsoleProgress(err) as progress,
        servers.serve(project, models or [], progress, port=port) as server,
        servers.token_file(server, token_file) as token,
    ):
        progress.close()
        first, url = "", server.origin.url
        for name in server.versions():
            first = first or name
            echo(f"{url}/predictions/{name}\n")
        echo(f"token in {token}; ask with\n")
        echo(f'  curl -H "Authorization: Bearer $(cat {token})" -T DRAWING {url}/predictions/{first}\n')
        echo("READY; Ctrl-C stops it.\n")
        servers.wait_while_alive(server)
