"""A command stopped at each of its steps on the disk, one after the other, and run once more where it was killed.

    python -m tests.support.stops WORK SIGNAL,... PATTERN COMMAND...

A step is a rename, a removal or a change of mode below the project, a copy of WORK/before, of a path in which PATTERN
is found. What the stop before that step leaves is WORK/<signal>-<step>. For each a line of JSON is printed: how the
stopped command ended, and how it did when it was run again. Each run is a fork: what all of them need is imported once.
"""

import importlib
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

CHANGES = {"os.rename", "os.remove", "os.chmod"}


def stop_at(step: int, number: int, pattern: str, root: Path) -> None:
    """Send this process a signal just before its step of that number; an audit hook cannot be taken out again."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in CHANGES:
            return
        path = Path(os.path.abspath(os.fsdecode(arguments[0])))  # noqa: PTH100, it may be a link
        if event == "os.remove" and path.suffix == ".tmp":
            return  # gone by then
        if path.is_relative_to(root) and re.search(pattern, str(path.relative_to(root))):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), number)

    sys.addaudithook(hook)


def run(root: Path, command: list[str], step: int = 0, number: int = 0, pattern: str = "") -> dict[str, Any]:
    """The command in a process of its own: its exit code (negative: the signal that ended it), and what it printed."""
    from goldmar.cli import main

    page = root.with_suffix(".page")
    pid = os.fork()
    if pid == 0:
        os.chdir(root)
        descriptor = os.open(page, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.argv = ["goldmar", *command]
        if step:
            stop_at(step, number, pattern, root)
        try:
            main()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(int(end.code or 0))
        os._exit(99)
    _, status = os.waitpid(pid, 0)
    return {"code": os.waitstatus_to_exitcode(status), "said": page.read_text(encoding="utf-8", errors="replace")}


def snapshot(root: Path) -> dict[str, str]:
    found = sorted(root.rglob("*"))
    return {str(path.relative_to(root)): path.read_bytes().hex() for path in found if path.is_file()}


def main() -> None:
    work, numbers, pattern, command = Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3], sys.argv[4:]
    # Before the first fork.

    for name in ("approval", "jobs", "reports", "servers") if command[0] in {"approve", "record"} else ():
        importlib.import_module(f"goldmar.pipeline.{name}")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    steps = 1000
    for number in map(int, numbers):
        for step in range(1, steps):
            root = work / f"{number}-{step}"
            shutil.copytree(work / "before", root)
            stopped = run(root, command, step, number, pattern)
            left = snapshot(root)
            last = stopped["code"] == 0
            again = run(root, command) if number == signal.SIGKILL and not last else None
            said = {"signal": number, "step": step, "root": str(root), "stopped": stopped, "left": left}
            print(json.dumps({**said, "last": last, "again": again, "after": snapshot(root)}))
            if last:
                steps = step
                break


if __name__ == "__main__":
    main()
