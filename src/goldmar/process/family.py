"""The processes that belong to one that was started here: found in /proc and ended, whatever session they went to.

Run by path as well, by the keeper of a goldmar that was killed, so the standard library has to do:

    python family.py MARK FOLDER [SESSION]

psutil, which the base install does not bring, would find children only as long as their parents live.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

VARIABLE = "GOLDMAR_PROCESS"
"""Of the environment: the marks of the processes that one was started by, the outermost first, separated by colons."""


class Family:
    """The processes that belong together.

    Those with `mark` in their environment, of that session, working in `folder` or below; what these have started; and
    whoever was one of them at an earlier look: it may have lost its parent since.
    """

    def __init__(self, mark: str = "", folder: str = "", session: int = 0) -> None:
        self._mark = mark
        self._folder = folder
        self.session = session
        self._known: dict[int, bytes] = {}  # process id -> when it was started: a number may be given anew

    def members(self) -> dict[int, int]:
        """Process id -> process group of those that run, zombies left out."""
        started: dict[int, bytes] = {}
        groups: dict[int, int] = {}
        children: dict[int, list[int]] = {}
        found: set[int] = set()
        for entry in os.scandir("/proc"):
            if not entry.name.isdecimal():
                continue
            pid, path = int(entry.name), Path(entry.path)
            try:
                state, parent, group, session, *more = (path / "stat").read_bytes().rpartition(b")")[2].split()
            except (OSError, ValueError):
                continue
            if state in b"ZX" or pid == os.getpid():
                continue
            started[pid], groups[pid] = more[15], int(group)
            children.setdefault(int(parent), []).append(pid)
            if (
                self._known.get(pid) == more[15]
                or (self.session and int(session) == self.session)
                or _marked(path, self._mark)
                or _works_in(path, self._folder)
            ):
                found.add(pid)
        queue = list(found)
        while queue:
            new = set(children.get(queue.pop(), ())) - found
            found |= new
            queue += new
        self._known = {pid: started[pid] for pid in found}
        return {pid: groups[pid] for pid in found}

    def send(self, number: int) -> bool:
        """Send a signal to each that runs; whether there is one."""
        members = self.members()
        if self.session and self.session in members.values():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.session, number)  # at once, before one can start another
        for pid, group in members.items():
            if group != self.session:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
        return bool(members)

    def kill(self, patience_s: float = 5.0) -> None:
        """Kill them all, and what they start meanwhile; returns when none is left, or after `patience_s`."""
        until = time.monotonic() + patience_s
        while self.send(signal.SIGKILL) and time.monotonic() < until:
            time.sleep(0.01)


def _marked(path: Path, mark: str) -> bool:
    with suppress(OSError):
        return bool(mark) and mark.encode() in (path / "environ").read_bytes()
    return False


def _works_in(path: Path, folder: str) -> bool:
    with suppress(OSError):
        return bool(folder) and (path / "cwd").readlink().is_relative_to(folder)
    return False


if __name__ == "__main__":
    Family(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0).kill()
    if sys.argv[2]:
        shutil.rmtree(sys.argv[2], ignore_errors=True)
