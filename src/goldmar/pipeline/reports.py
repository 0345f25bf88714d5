"""A finished run, shown: on a terminal, as JSON, or as files for a CI server."""

from pathlib import Path

from rich.console import Console

from goldmar.errors import StorageError
from goldmar.files import named, refuse_links, write_atomically, write_named
from goldmar.pipeline.approval import Proposal
from goldmar.records import Bisection, RunResult, Verdict
from goldmar.report import bisection, difference, junit, markdown, terminal
from goldmar.report import json as json_report

__all__ = [
    "bisection_to_json",
    "show",
    "show_bisection",
    "show_proposal",
    "to_json",
    "write_bisection",
    "write_reports",
]


def show(run: RunResult, verdict: Verdict, console: Console) -> None:
    """The report for people."""
    terminal.render(run, verdict, console)


def to_json(run: RunResult, verdict: Verdict) -> str:
    """The report for machines; its schema is docs/report-schema.json."""
    return json_report.render(run, verdict)


def write_reports(run: RunResult, verdict: Verdict, folder: Path, *, root: Path) -> list[Path]:
    """junit.xml, report.json and report.md, each whole or not at all, and through no link of the project at `root`.

    Raises StorageError.
    """
    folder = named(folder, root)
    refuse_links(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"The report folder {folder} cannot be made: {error.strerror}."
        raise StorageError(msg, fix="--reports with a folder that can be written") from error
    rendered = {"junit.xml": junit.render, "report.json": json_report.render, "report.md": markdown.render}
    written = []
    for name, render in rendered.items():
        write_atomically(folder / name, render(run, verdict))
        written.append(folder / name)
    return written


def show_proposal(proposal: Proposal, console: Console) -> None:
    """What an approval would change."""
    difference.render(proposal.model, proposal.obtained, proposal.difference, console)


def show_bisection(found: Bisection, console: Console) -> None:
    """Which changes were found, what was tried on the way."""
    bisection.render(found, console)


def bisection_to_json(found: Bisection) -> str:
    """The same for machines."""
    return bisection.to_json(found)


def write_bisection(found: Bisection, path: Path, *, root: Path) -> None:
    """The same as a Markdown section, whole or not at all; or to /dev/stdout, say. Raises StorageError."""
    write_named(path, bisection.to_markdown(found), root)
