"""Finished jobs, shown by the edges: printed on a console, as text, or written to files that are then named."""

from pathlib import Path

from goldmar.errors import StorageError
from goldmar.files import named, refuse_links, write_atomically, write_named
from goldmar.records import Bisection, RunResult, Verdict
from goldmar.report.approval import render as show_approval
from goldmar.report.bisection.json import render as bisection_to_json
from goldmar.report.bisection.markdown import render as bisection_to_markdown
from goldmar.report.bisection.terminal import render as show_bisection
from goldmar.report.run.files import FILES
from goldmar.report.run.json import render as to_json
from goldmar.report.run.terminal import render as show

__all__ = [
    "REPORTS",
    "bisection_to_json",
    "show",
    "show_approval",
    "show_bisection",
    "to_json",
    "write_bisection",
    "write_reports",
]

REPORTS = tuple(sorted(FILES))
"""The names of what `write_reports` writes."""


def write_reports(run: RunResult, verdict: Verdict, folder: Path, *, root: Path) -> tuple[Path, ...]:
    """Write each of `REPORTS`, whole or not at all, and through no link of the project at `root`; return where.

    Raises StorageError.
    """
    folder = named(folder, root)
    refuse_links(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"The report folder {folder} cannot be made: {error.strerror}."
        raise StorageError(msg, fix="--reports with a folder that can be written") from error
    for name in REPORTS:
        write_atomically(folder / name, FILES[name](run, verdict))
    return tuple(folder / name for name in REPORTS)


def write_bisection(found: Bisection, path: Path, *, root: Path) -> None:
    """Write the section for a pull request, whole or not at all; or to /dev/stdout, say. Raises StorageError."""
    write_named(path, bisection_to_markdown(found), root)
