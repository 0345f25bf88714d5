"""A command from its start to its end, and what it said."""

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goldmar.errors import CommandError, TooLongError
from goldmar.process.child import GRACE_S, Process
from goldmar.process.exits import Exit
from goldmar.process.signals import held_up

__all__ = ["Completed", "run"]


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended; with `merge` both outputs are in `stdout`."""

    exit: Exit
    stdout: bytes
    stderr: bytes = b""

    @property
    def code(self) -> int:
        """Its exit code; negative for the signal that ended it."""
        return self.exit.code

    @property
    def text(self) -> str:
        """Its standard output."""
        return _decoded(self.stdout)

    @property
    def errors(self) -> str:
        """What it said on standard error."""
        return _decoded(self.stderr)


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    on_line: Callable[[str], object] | None = None,
    merge: bool = False,
    check: bool = False,
    timeout_s: float | None = None,
    grace_s: float = GRACE_S,
    finish: bool = False,
    kept: bool = True,
    pass_fds: Sequence[int] = (),
) -> Completed:
    """Run a command to its end; Ctrl-C interrupts it, and then this.

    Args:
        stdin: what it reads.
        on_line: is told each line of what it prints, in another thread.
        merge: whether both outputs are one.
        check: whether an exit code other than 0 is a CommandError.
        timeout_s: seconds until it is ended.
        grace_s: seconds that it gets to end by itself, when it is interrupted or takes too long.
        finish: Ctrl-C lets it finish first.
        kept: see Process.

    Raises NotStartedError, TooLongError, CommandError, and what `on_line` raised.
    """
    name = Path(str(command[0])).name
    process: Process | None = None
    interrupted: KeyboardInterrupt | None = None
    try:
        while True:
            try:
                if process is None:
                    with held_up():  # what is started has to be known here before anything else may happen
                        process = Process(
                            command,
                            cwd=cwd,
                            env=env,
                            on_line=on_line,
                            kept=kept,
                            stdin=stdin,
                            merge=merge,
                            collect=True,
                            pass_fds=pass_fds,
                        )
                ended = process.wait(timeout_s)
                break
            except KeyboardInterrupt as error:
                if not finish or process is None:
                    raise
                interrupted = error
    except BaseException as error:
        if process is not None:
            process.end(grace_s, first=signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM)
        if isinstance(error, TimeoutError):
            raise TooLongError(name, timeout_s or 0.0) from error
        raise
    process.release()
    if interrupted is not None:
        raise interrupted
    done = Completed(ended, *process.output())
    if check and ended.code:
        detail = (done.errors.strip() or done.text.strip())[-2000:]
        raise CommandError(f"{name} {ended}.", detail=detail or None)
    return done


def _decoded(said: bytes) -> str:
    return said.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
