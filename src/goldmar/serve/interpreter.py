"""The Python that runs the handlers: this one, or that of a lock file's environment."""

import json
import sys
from pathlib import Path

from goldmar.errors import CommandError, NotReadyError
from goldmar.packages import Installed
from goldmar.process import run
from goldmar.serve import _installed

__all__ = ["LIST_PACKAGES", "packages_of", "read_listing"]

LIST_PACKAGES = Path(_installed.__file__).read_text(encoding="utf-8")
"""For `python -c` where goldmar is not installed; `read_listing` reads what it prints."""


def packages_of(python: Path | str, *, timeout_s: float = 120.0) -> Installed:
    """What is installed for an interpreter. Raises NotReadyError where it cannot be run."""
    if str(python) == sys.executable:
        return Installed(**_installed.installed())
    try:
        return read_listing(run([python, "-c", LIST_PACKAGES], check=True, timeout_s=timeout_s, cwd="/").text)
    except (CommandError, ValueError) as error:
        msg = f"{python} does not tell its packages: {error}."
        raise NotReadyError(msg, fix="Name a Python interpreter") from error


def read_listing(text: str) -> Installed:
    """What LIST_PACKAGES printed. Raises ValueError where it is something else."""
    try:
        return Installed(**json.loads(text))
    except TypeError as error:
        raise ValueError(str(error)) from error
