"""Everything about this package is in pyproject.toml, but for two things that have to be made.

A wheel also holds what `goldmar init` writes and this repository uses itself, outside of src/: the files of compose/
and ci/ for `--compose` and `--ci`, and those of handlers/common that a new handler of drawings shares with the three
here. And the README that a package index shows has no links into the repository.
"""

import re
import shutil
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


def listed(folder: str) -> list[str]:
    return (ROOT / folder / "FILES").read_text(encoding="utf-8").split()


class WithScaffold(build_py):
    """Copies what `goldmar init` writes beside the package's own scaffold."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # found in the checkout
        scaffold = Path(self.build_lib, "goldmar", "scaffold")
        copies = {ROOT / line: scaffold / "compose" / line for line in ["ci/FILES", *listed("ci"), *listed("compose")]}
        for name in (scaffold / "COMMON").read_text(encoding="utf-8").split():
            copies[ROOT / "handlers/common" / name] = scaffold / "common" / name
        for source, target in copies.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def readme_elsewhere(text: str, home: str) -> str:
    """The README as it reads outside the repository.

    Links and pictures lead into the repository at `home`, if it has an address: [project.urls] Source. Without one a
    link becomes its words with the path, which the source distribution holds, and a picture its description.
    """

    def link(found: re.Match[str]) -> str:
        picture, words, path = found["picture"], found["words"], found["path"]
        if home:
            return f"{picture}[{words}]({home}/{'raw' if picture else 'blob'}/HEAD/{path})"
        if picture:
            return f"*{words}*"
        return words if words == path else f"{words} ({path})"

    return re.sub(r"(?P<picture>!?)\[(?P<words>[^]]*)\]\((?!https?:|#)(?P<path>[^)]+)\)", link, text)


project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

setup(
    cmdclass={"build_py": WithScaffold},
    long_description=readme_elsewhere(
        (ROOT / "README.md").read_text(encoding="utf-8"), project.get("urls", {}).get("Source", "").rstrip("/")
    ),
    long_description_content_type="text/markdown",
)
