"""How a command ends: whatever happens, the documented exit code and a message."""

import traceback
from pathlib import Path

import typer
from rich.markup import escape

from goldmar.cli import affected, bisect, build, check, signals, streams
from goldmar.cli.app import app, err
from goldmar.errors import ExitCode, GoldmarError, Interrupted, StorageError
from goldmar.files import written
from goldmar.text import clean, clean_lines, shown_path, some

_COMMANDS = (affected, bisect, build, check)  # importing one adds its commands

# As --help lists them: the way of a model, then what CI asks. Importing would have them by the names of their modules.
_NAMED = 5  # files that a message names; more are counted

ORDER = ("init", "archive", "serve", "check", "record", "approve", "affected", "bisect")
app.registered_commands.sort(key=lambda command: ORDER.index(getattr(command.callback, "__name__", "")))

# Typer imports click or brings a copy of its own, by version; this is ClickException of the one that it uses.
_ClickError: type[Exception] = typer.BadParameter.__mro__[2]


def run() -> int:
    """Parse the command line, run the command, print how it ended. Returns the exit code."""
    try:
        result = app(standalone_mode=False)
        code = result if isinstance(result, int) else int(ExitCode.OK)
        if code == ExitCode.INTERRUPTED:  # Typer makes that of Ctrl-C, and says nothing
            code = _interrupted()
    except BaseException as error:
        code = _ended(error)
    lost = streams.flushed()
    if lost is not None and code in {ExitCode.OK, ExitCode.DIFFERENT}:
        code = _not_written(lost.strerror)
    return code


def _ended(error: BaseException) -> int:
    if isinstance(error, GoldmarError):
        _print_error(error)
        return int(error.exit_code)
    # Python makes another error of a KeyboardInterrupt in some places (in __set_name__ a RuntimeError).
    if isinstance(error, typer.Abort) or signals.interrupts(error):
        return _interrupted()
    if isinstance(error, _ClickError):
        error.message = clean_lines(error.message)  # type: ignore[attr-defined]
        error.show()  # type: ignore[attr-defined]
        return int(ExitCode.USAGE)
    if isinstance(error, OSError):
        return _not_written(error.strerror or str(error))
    if isinstance(error, SystemExit):
        if not error.code:  # what a shell asked for, to complete a line that is being typed
            return int(ExitCode.OK)
        # Typer's way to end when the reader of standard output has gone, with a 1 that would say "different".
        return _not_written("its reader has gone")
    # Not 1, which says that predictions differ.
    err.print(escape(clean_lines("".join(traceback.format_exception(error)))))
    err.print("[bold red]error:[/] this is a bug in goldmar; nothing of the run counts")
    return int(ExitCode.BUG)


def _not_written(why: str | None) -> int:
    """Standard output on a full disk, closed, or its reader gone: a verdict not written must not end with 0."""
    streams.drop()
    _print_error(StorageError(f"The output could not be written: {why}.", fix="free space, or write elsewhere"))
    if kept := _kept():
        err.print(f"written before that: {kept}")
    return int(ExitCode.SERVER)


def _interrupted() -> int:
    signals.ignore()
    if kept := _kept():
        err.print(f"interrupted; written before that: {kept}")
    else:
        err.print("interrupted; nothing was changed")
    return int(ExitCode.INTERRUPTED)


def _kept(besides: Path | None = None) -> str:
    """What this command has written and is still there, ready to be printed."""
    paths = [clean_lines(shown_path(path)) for path in written() if path != besides]
    return escape(some(paths, _NAMED))


def _print_error(error: GoldmarError) -> None:
    err.print(f"[bold red]error:[/] {escape(clean(error.what))}")
    if error.detail:
        err.print(escape(clean_lines(error.detail.rstrip())), style="dim")
    if error.saved:
        err.print(f"so far: {escape(clean_lines(shown_path(error.saved)))}")
    if isinstance(error, Interrupted) and (kept := _kept(error.saved)):
        err.print(f"written before that: {kept}")
    if error.fix:
        err.print(f"fix: {escape(clean_lines(error.fix))}", style="bold")
