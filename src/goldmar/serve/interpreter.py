"""The Python that runs the handlers: this one, or that of a lock file's environment."""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from goldmar.errors import NotReadyError

__all__ = ["LIST_PACKAGES", "packages_of"]

LIST_PACKAGES = """
import json
from importlib import metadata
print(json.dumps({d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"]}))
"""


def packages_of(python: Path | str, *, timeout_s: float = 120.0) -> Mapping[str, str]:
    """Distributions that an interpreter finds, name -> version. Raises NotReadyError where it cannot be run."""
    if str(python) == sys.executable:
        return {found.name: found.version for found in metadata.distributions() if found.name}
    try:
        done = subprocess.run(
            [str(python), "-c", LIST_PACKAGES], capture_output=True, text=True, check=True, timeout=timeout_s, cwd="/"
        )
        packages: dict[str, str] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        msg = f"{python} does not tell its packages: {error}."
        raise NotReadyError(msg, fix="Name a Python interpreter") from error
    return packages
