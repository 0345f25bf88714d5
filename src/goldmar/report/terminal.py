"""The report for people: what was compared, what does not pass, and by how much. Good at 80 columns and wider."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from goldmar.records import Comparison, DifferenceKind, Explanation, ModelResult, RunResult, Verdict
from goldmar.report import words

__all__ = ["offenders", "render"]

_AT_MOST = 10
"""Failures of one model that are shown; the others are counted and lie in the obtained file."""

_VALUE_KINDS = (DifferenceKind.CHANGED_TYPE, DifferenceKind.NOT_FINITE, DifferenceKind.DIFFERENT)


def render(run: RunResult, verdict: Verdict, console: Console) -> None:
    """Print a run. Names are shown as they are, never as markup; colours are left to the console."""
    console.print(Text.assemble(("goldmar", "bold"), "  ", (words.clean(words.headline(run)), "dim")))
    console.print()
    if run.models:
        console.print(_models(run.models))
    for model in run.models:
        _render_model(model, console)
    _render_verdict(run, verdict, console)


def _models(models: Sequence[ModelResult]) -> Table:
    table = _table()
    table.add_column("model", overflow="fold", min_width=5)
    for title in ("drawings", "values", "failed", "worst\nabsolute", "worst\nrelative", "p50/p95\nms", "per\nsecond"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("passing\natol", justify="right", no_wrap=True)
    for result in models:
        absolute, relative = words.worst(result)
        p50, p95 = (words.quantile(result.latencies_s, share) for share in (0.5, 0.95))
        table.add_row(
            Text(words.clean(result.model), "bold"),
            f"{result.drawings:,}",
            f"{result.values:,}",
            Text(f"{len(result.failures):,}", "bold red" if result.failures else "green"),
            words.number(absolute),
            words.number(relative),
            f"{words.milliseconds(p50)}/{words.milliseconds(p95)}",
            words.number(words.per_second(result)),
            _that_passes(result),
        )
    return table


def _that_passes(result: ModelResult) -> Text:
    if not result.summaries:
        return Text("–", "dim")
    if any(summary.beyond for summary in result.summaries):
        return Text("none", "red")
    needed = max(summary.atol_needed for summary in result.summaries)
    return Text(f"{words.rounded_up(needed)}", "red" if any(s.failed for s in result.summaries) else "green")


def _render_model(result: ModelResult, console: Console) -> None:
    if not result.failures:
        if result.closest:
            console.print(_nearest(result))
        return
    console.print()
    where = f"  {words.shown_path(result.obtained)}" if result.obtained else ""
    failed = words.failed_drawings(result)
    count = f"{words.counted(len(result.failures), 'failure')} in {words.counted(failed, 'drawing')}"
    console.print(Text.assemble((words.clean(result.model), "bold red"), f"  {count}", (words.clean(where), "dim")))
    offenders(result, console)
    for summary in result.summaries:
        if summary.failed:
            console.print(
                Text.assemble(
                    ("  would pass: ", "dim"),
                    (words.clean(summary.pattern), "bold"),
                    f"  {words.summary_words(summary)}",
                )
            )
    _explain(result, console)


def _explain(result: ModelResult, console: Console) -> None:
    """The first stage that differs of each failing drawing, stage by stage; what cannot be explained comes last."""
    by_stage: dict[str, list[Explanation]] = {}
    for explanation in result.explanations:
        by_stage.setdefault(explanation.stage, []).append(explanation)
    for stage, found in sorted(by_stage.items(), key=lambda item: (not item[0], -len(item[1]))):
        count = f" in {words.counted(len(found), 'drawing')}"
        head = Text("  not explained" if not stage else "  first to differ: ", "dim")
        console.print(head.append(words.clean(stage), "bold red").append(count, "default"))
        for detail, drawings in words.said_of(found[:_AT_MOST]):
            console.print(Text.assemble("    ", (words.clean(drawings), "bold"), f": {words.clean(detail)}"))
        if len(found) > _AT_MOST:
            console.print(Text(f"    … and {len(found) - _AT_MOST:,} more", "dim"))


def offenders(result: ModelResult, console: Console, *, at_most: int = _AT_MOST) -> None:
    """The failures of one model: values side by side, worst first; the others grouped by kind."""
    by_kind: dict[DifferenceKind, list[Comparison]] = {}
    for failure in result.failures:
        by_kind.setdefault(failure.kind, []).append(failure)
    for kind, failures in by_kind.items():
        if kind not in _VALUE_KINDS:
            _grouped(kind, failures, console)
    values = [failure for failure in result.failures if failure.kind in _VALUE_KINDS]
    if not values:
        return
    console.print(_values(values[:at_most]))
    if len(values) > at_most:
        where = f" in {words.shown_path(result.obtained)}" if result.obtained else ""
        console.print(Text(words.clean(f"  … and {len(values) - at_most:,} more{where}"), "dim"))


def _values(failures: Iterable[Comparison]) -> Table:
    table = _table()
    table.add_column("drawing", overflow="fold", ratio=3)
    table.add_column("value", overflow="fold", ratio=2)
    table.add_column("want", justify="right", overflow="fold")
    table.add_column("got", justify="right", overflow="fold")
    table.add_column("difference", justify="right", overflow="fold")
    table.add_column("allowed", justify="right", overflow="fold")
    for failure in failures:
        want, got = words.want_and_got(failure)
        last = words.difference_and_allowed(failure) if failure.difference is not None else (failure.kind.value, "–")
        table.add_row(
            *map(Text, (words.clean(failure.drawing_id), words.clean(failure.name))), want, Text(got, "red"), *last
        )
    return table


def _grouped(kind: DifferenceKind, failures: Sequence[Comparison], console: Console) -> None:
    console.print(Text.assemble("  ", (kind.value, "red"), f"  {len(failures):,} ×" if len(failures) > 1 else ""))
    for failure in failures[:3]:
        what = " ".join(words.clean(part) for part in (failure.drawing_id, failure.name) if part)
        console.print(Text.assemble("    ", (what, "bold"), ": " if what else "", words.clean(failure.detail)))
    if len(failures) > 3:
        console.print(Text(f"    … and {len(failures) - 3:,} more", "dim"))


def _nearest(result: ModelResult) -> Text:
    near = result.closest[0]
    share = (near.difference or 0) / near.allowed if near.allowed else 0
    what = f"{words.clean(result.model)}: nearest to its limit is {words.clean(near.drawing_id)} "
    return Text(f"{what}{words.clean(near.name)}, {share:.2g} of what is allowed", "dim")


def _render_verdict(run: RunResult, verdict: Verdict, console: Console) -> None:
    drawings, values = (sum(getattr(model, key) for model in run.models) for key in ("drawings", "values"))
    retries = sum(model.retries for model in run.models)
    retried = f", {words.counted(retries, 'retry').replace('retrys', 'retries')}" if retries else ""
    total = (
        f"{words.compared(run)}, {words.counted(drawings, 'drawing')}, "
        f"{words.counted(values, 'value')} in {run.seconds:.1f} s{retried}"
    )
    console.print()
    if verdict.passed:
        console.print(Text.assemble(("PASSED", "bold green"), f"  {total}"))
    else:
        console.print(Text.assemble(("FAILED", "bold red"), f"  {total}"))
    for line in (*verdict.reasons, *words.requests(run), *words.versions(run), *words.not_compared(run.not_compared)):
        console.print(Text(f"  {words.clean(line)}"))


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 0), show_edge=False, header_style="dim")
