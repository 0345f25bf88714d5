"""What clears up when this process is killed outright: a small shell with the other end of a pipe, which then breaks.

PR_SET_PDEATHSIG would not do: it fires when the thread ends that started the child, spares what the child has started,
and leaves files and containers.
"""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from goldmar.errors import NotStartedError
from goldmar.process import family

__all__ = ["Keeper"]

# It is told what to add to the command, and at last that there is nothing left to do.
_SCRIPT = """
trap "" HUP INT QUIT TERM
while read -r word; do
  [ "$word" = done ] && exit 0
  set -- "$@" "$word"
done
exec "$@"
"""


class Keeper:
    """Runs a command when this process is gone without having called `dismiss`.

    Args:
        command: what to run; without one, the processes that carry `mark` are killed and `folder` is removed.
        env: the environment of `command`; None for this process's.
        folder: a folder of its own, for processes that belong together; `dismiss` removes it.

    Attributes:
        mark: what tells the processes that belong together; Process puts it into their environment.

    Raises NotStartedError.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.mark = uuid.uuid4().hex
        self.folder = folder
        where = str(folder or "")
        full = command or [sys.executable, "-I", "-S", family.__file__, self.mark, where]
        try:
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "goldmar-keeper", *full],
                cwd="/",
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            raise NotStartedError("/bin/sh", getattr(error, "strerror", None) or str(error)) from error

    def environment(self, inherited: Mapping[str, str] | None) -> dict[str, str]:
        """Of a process that belongs to it."""
        environment = dict(os.environ if inherited is None else inherited)
        outer = os.environ.get(family.VARIABLE)
        return environment | {family.VARIABLE: f"{outer}:{self.mark}" if outer else self.mark}

    def tell(self, word: str) -> None:
        """Add a word to the command."""
        with suppress(OSError, ValueError):  # it is gone, or dismissed
            if self._shell.stdin is not None:
                self._shell.stdin.write(f"{word}\n".encode())
                self._shell.stdin.flush()

    def dismiss(self) -> None:
        """All is cleared up: remove the folder, if there is one, and let the shell go. May be called twice."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.tell("done")
        with suppress(OSError, ValueError, subprocess.TimeoutExpired):
            self._shell.communicate(timeout=5)
