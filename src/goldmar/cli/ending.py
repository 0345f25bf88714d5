"""How a command ends: whatever happens, the documented exit code and a message."""

import os
import signal
import sys
import threading
from typing import NoReturn

import typer
from rich.markup import escape

from goldmar.cli.app import app, err, short
from goldmar.errors import ExitCode, GoldmarError, StorageError

__all__ = ["main"]


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
    except SystemExit as end:
        if not end.code:  # what a shell asked for, to complete a line that is being typed
            return int(ExitCode.OK)
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


def _print_error(error: GoldmarError) -> None:
    err.print(f"[bold red]error:[/] {escape(error.what)}")
    if error.detail:
        err.print(escape(error.detail.rstrip()), style="dim")
    if error.saved:
        err.print(f"so far: {escape(str(short(error.saved)))}")
    if error.fix:
        err.print(f"fix: {escape(error.fix)}", style="bold")


def _on_sigterm(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
