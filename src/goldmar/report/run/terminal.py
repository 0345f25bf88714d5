"""The report for people: what was compared, what does not pass, and by how much. Good at 80 columns and wider."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from goldmar.records import Comparison, DifferenceKind, Explanation, ModelComparison, ModelResult, RunResult, Verdict
from goldmar.report import words
from goldmar.report.screen import Part, line, table
from goldmar.text import counted, shown_path

_AT_MOST = 10
"""Failures of one model that are shown; the others are counted and lie in the obtained file."""

_OF_VALUES = (DifferenceKind.CHANGED_TYPE, DifferenceKind.NOT_FINITE, DifferenceKind.DIFFERENT)


def render(run: RunResult, verdict: Verdict, console: Console) -> None:
    """Print a run. Names are shown as they are, never as markup; colours are left to the console."""
    for part in _parts(run, verdict):
        console.print(part)


def _parts(run: RunResult, verdict: Verdict) -> Iterator[RenderableType]:
    yield line(("goldmar", "bold"), "  ", (words.headline(run), "dim"))
    yield ""
    if run.models:
        worst, latency = ("worst\nabsolute", "worst\nrelative"), ("p50/p95\nms", "per\nsecond")
        titles = ("drawings", "values", "failed", *worst, *latency, "passing\natol")
        yield table(["model"], titles, map(_row, run.models), whole=True)
    for model in run.models:
        yield from _model(model)
    counts = ("drawings", "values", "retries")
    drawings, values, retries = (sum(getattr(model, key) for model in run.models) for key in counts)
    retried = f", {counted(retries, 'retry', 'retries')}" if retries else ""
    total = f"{words.compared(run)}, {counted(drawings, 'drawing')}, {counted(values, 'value')} in {run.seconds:.1f} s"
    yield ""
    yield line(("PASSED", "bold green") if verdict.passed else ("FAILED", "bold red"), f"  {total}{retried}")
    for text in (*verdict.reasons, *words.requests(run), *words.versions(run), *words.not_compared(run.not_compared)):
        yield line(f"  {text}")


def _row(result: ModelResult) -> tuple[Part, ...]:
    name, drawings, values, failed, *errors, p50, p95 = words.model_columns(result)
    passing, colour = "–", "dim"
    if any(summary.beyond for summary in result.summaries):
        passing, colour = "none", "red"
    elif result.summaries:
        passing = words.rounded_up(max(summary.atol_needed for summary in result.summaries))
        colour = "red" if any(summary.failed for summary in result.summaries) else "green"
    counts = (drawings, values, (failed, "bold red" if result.failures else "green"))
    rate = words.number(words.per_second(result))
    return (name, "bold"), *counts, *errors, f"{p50}/{p95}", rate, (passing, colour)


def _model(result: ModelResult) -> Iterator[RenderableType]:
    if not result.failures:
        if result.closest:
            near = result.closest[0]
            share = (near.difference or 0) / near.allowed if near.allowed else 0
            what = f"{result.model}: nearest to its limit is {near.drawing_id} {near.name}"
            yield line(f"{what}, {share:.2g} of what is allowed", style="dim")
        return
    yield ""
    where = f"  {shown_path(result.obtained)}" if result.obtained else ""
    count = f"{counted(len(result.failures), 'failure')} in {words.failed_drawings(result)}"
    yield line((result.model, "bold red"), f"  {count}", (where, "dim"))
    yield from failures(result, file=result.obtained)
    for summary in result.summaries:
        if summary.failed:
            yield line(("  would pass: ", "dim"), (summary.pattern, "bold"), f"  {words.summary_words(summary)}")
    yield from _explained(result.explanations)


def _explained(explanations: Sequence[Explanation]) -> Iterator[Text]:
    """The first stage that differs of each failing drawing, stage by stage; what cannot be explained comes last."""
    by_stage: dict[str, list[Explanation]] = {}
    for explanation in explanations:
        by_stage.setdefault(explanation.stage, []).append(explanation)
    for stage, found in sorted(by_stage.items(), key=lambda item: (not item[0], -len(item[1]))):
        head = "  first to differ: " if stage else "  not explained"
        yield line(head, (stage, "bold red"), (f" in {counted(len(found), 'drawing')}", "default"), style="dim")
        drawings: dict[str, list[str]] = {}  # many a cause has the same words for all of them
        for one in found[:_AT_MOST]:
            drawings.setdefault(one.detail, []).append(one.drawing_id)
        yield from (line("    ", (", ".join(ids), "bold"), f": {detail}") for detail, ids in drawings.items())
        yield from _and_more(len(found) - _AT_MOST, "    ")


def failures(result: ModelComparison, *, at_most: int = _AT_MOST, file: Path | None = None) -> Iterator[RenderableType]:
    """The failures of one model: values side by side, worst first; before them the others, by kind; `file` has all."""
    by_kind: dict[DifferenceKind, list[Comparison]] = {}
    for failure in result.failures:
        by_kind.setdefault(failure.kind, []).append(failure)
    for kind, found in by_kind.items():
        if kind not in _OF_VALUES:
            yield line("  ", (kind.value, "red"), f"  {len(found):,} ×" if len(found) > 1 else "")
            for failure in found[:3]:
                what = " ".join(filter(None, (failure.drawing_id, failure.name)))
                yield line("    ", (what, "bold"), ": " if what else "", failure.detail)
            yield from _and_more(len(found) - 3, "    ")
    values = [failure for failure in result.failures if failure.kind in _OF_VALUES]
    if values:
        yield _values(values[:at_most])
        yield from _and_more(len(values) - at_most, "  ", file)


def _values(found: Sequence[Comparison]) -> Table:
    rows: list[tuple[Part, ...]] = []
    for failure in found:
        drawing, name, want, got, *last = words.columns(failure)
        if failure.difference is None:
            last = [failure.kind.value, "–"]
        rows.append((drawing, name, want, (got, "red"), *last))
    return table(words.FAILURE[:2], words.FAILURE[2:], rows)


def _and_more(count: int, indent: str, file: Path | None = None) -> Iterator[Text]:
    if count > 0:
        where = f" in {shown_path(file)}" if file else ""
        yield line(f"{indent}… and {count:,} more{where}", style="dim")
