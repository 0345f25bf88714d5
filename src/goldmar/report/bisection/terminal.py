"""The finding for people: a table of what was tried, then what was found, and the values that move."""

from collections.abc import Iterator

from rich.console import Console, RenderableType

from goldmar.records import Bisection, TrialOutcome
from goldmar.report import words
from goldmar.report.bisection.findings import closing, findings, headline, taken, worst
from goldmar.report.screen import Part, line, table
from goldmar.text import counted

_SHOWN = 10
_COLOURS = {
    TrialOutcome.GREEN: "green",
    TrialOutcome.RED: "red",
    TrialOutcome.BROKEN: "red",
    TrialOutcome.UNINSTALLABLE: "dim",
}


def render(found: Bisection, console: Console) -> None:
    """Print it; names are never read as markup."""
    for part in _parts(found):
        console.print(part)


def _parts(found: Bisection) -> Iterator[RenderableType]:
    rows: list[tuple[Part, ...]] = []
    for trial in found.trials:
        seconds = "earlier" if trial.remembered else f"{trial.seconds:.1f}"
        rows.append((taken(found, trial), (trial.outcome.value, _COLOURS[trial.outcome]), worst(trial), seconds))
    yield table(["taken from the bad lock file", "outcome"], ["worst", "seconds"], rows)
    yield ""
    yield line(("FOUND", "bold red") if found.culprits else ("GREEN", "bold green"), f"  {headline(found)}")
    for culprit in found.culprits:
        for text in findings(found, culprit):
            yield line(f"  {text}")
        if culprit.trial.failures:
            failing = (
                (model, failure.drawing_id, failure.name or failure.kind.value, *words.columns(failure)[2:])
                for model, failure in culprit.trial.failures[:_SHOWN]
            )
            yield table(["model", *words.FAILURE[:2]], words.FAILURE[2:], failing)
            drawings = counted(sum(map(len, culprit.trial.failed.values())), "drawing")
            yield line(f"  {drawings} of {', '.join(culprit.trial.failed)} fail", style="dim")
    for text in closing(found):
        yield line(text, style="dim")
