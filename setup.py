"""Everything about this package is in pyproject.toml, but for one thing: a wheel also holds the compose files.

`goldmar init --compose` writes them into a project. They lie outside of src/, where the repository itself uses them.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class WithComposeFiles(build_py):
    """Copies compose/ and its scripts beside the package's own scaffold."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # found in the checkout
        target = Path(self.build_lib, "goldmar", "scaffold", "compose")
        for line in (ROOT / "compose" / "FILES").read_text(encoding="utf-8").split():
            (target / line).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / line, target / line)


setup(cmdclass={"build_py": WithComposeFiles})
