"""The examples of docs/culprit.md, put together as the page says, and goldmar run in one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goldmar.errors import ExitCode

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "docs/examples"
GOLDMAR = Path(sys.executable).with_name("goldmar")


class Example:
    """A project of one reference model with the files of an example laid over it.

    Its golden is what the packages of good.txt make of it. `cache` is that of this run of the tests: torch is compiled
    and hashed once, and nobody else bisects these lock files.
    """

    def __init__(self, root: Path, cache: Path) -> None:
        self.root = root
        self.cache = cache

    @classmethod
    def put_together(cls, name: str, model: str, root: Path, cache: Path, drawings: Sequence[str] = ()) -> "Example":
        """`drawings`: ids of those to leave in; all of the model's by default."""
        ignore = shutil.ignore_patterns("__pycache__")
        project = cls(root / "project", cache)
        for part in ("common", model):
            shutil.copytree(REPOSITORY / "handlers" / part, project.root / "handlers" / part, ignore=ignore)
        golden = project.root / "golden" / model
        for path in (REPOSITORY / "golden" / model / "drawings").rglob("*.*"):
            inside = path.relative_to(REPOSITORY / "golden" / model / "drawings")
            if not drawings or str(inside.with_suffix("")) in drawings:
                (golden / "drawings" / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, golden / "drawings" / inside)
        shutil.copy(REPOSITORY / "golden" / model / "tolerance.toml", golden)
        shutil.copytree(EXAMPLES / name, project.root, ignore=ignore, dirs_exist_ok=True)
        project.run("archive")
        project.run("record", model, "--lock", "good.txt", "--stages")
        project.run("approve", model, "--yes", "--reason", "as it is with the packages of good.txt")
        return project

    def run(self, *arguments: str, code: ExitCode = ExitCode.OK) -> subprocess.CompletedProcess[str]:
        # pyvips is among the packages, and may come without a wheel.
        trust = ["--trust-lock"] if "--lock" in arguments or arguments[0] == "bisect" else []
        done = subprocess.run(
            [str(GOLDMAR), *arguments, *trust],
            cwd=self.root,
            env={**os.environ, "GOLDMAR_CACHE": str(self.cache)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def report(self, *arguments: str, code: ExitCode = ExitCode.OK) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.run(*arguments, "--json", code=code).stdout)
        return report
