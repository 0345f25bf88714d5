"""Reports for the edges: each subject with its formats, and the writing of those that go to files."""

from pathlib import Path

from goldmar.errors import StorageError
from goldmar.files import named, refuse_links, write_atomically, write_named
from goldmar.records import Bisection, RunResult, Verdict
from goldmar.report import affected, approval, bisection, run
from goldmar.report.run.files import FILES

__all__ = ["REPORTS", "affected", "approval", "bisection", "run", "write_bisection", "write_reports"]

REPORTS = tuple(sorted(FILES))
"""The names of what `write_reports` writes."""


def write_reports(result: RunResult, verdict: Verdict, folder: Path, *, root: Path) -> tuple[Path, ...]:
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
        write_atomically(folder / name, FILES[name](result, verdict))
    return tuple(folder / name for name in REPORTS)


def write_bisection(found: Bisection, path: Path, *, root: Path) -> Path:
    """Write the section for a pull request, whole or not at all; or to /dev/stdout, say. Return where.

    Raises StorageError.
    """
    write_named(path, bisection.markdown.render(found), root)
    return path
