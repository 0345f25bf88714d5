"""The report for the summary page of a CI run. GitHub cuts a step summary at 1 MiB; this one stays well below."""

import html
import re
from collections.abc import Iterator

from goldmar.records import Comparison, ModelResult, RunResult, Verdict
from goldmar.report import words

__all__ = ["LIMIT", "escaped", "render"]

LIMIT = 900_000
"""Bytes of UTF-8 that a page never exceeds."""

_CELL = 120
_MARKS = re.compile(r"[\\`*_{}\[\]#|~@$]|:(?=//)")


def render(run: RunResult, verdict: Verdict) -> str:
    """The run as GitHub Markdown: a table of the models, and the failures folded away below it."""
    page = _Page(LIMIT - 1000)
    page.add(f"## goldmar: {'✅ passed' if verdict.passed else '❌ failed'}", "")
    page.add(escaped(words.headline(run), 500), "")
    for reason in verdict.reasons[:50]:
        page.add(f"- {escaped(reason, 500)}")
    if run.not_compared is not None:
        page.add(
            "",
            "; ".join(escaped(line, 500) for line in (words.compared(run), *words.not_compared(run.not_compared)[:50])),
        )
    for line in (*words.requests(run)[:50], *words.versions(run)):
        page.add("", escaped(line, 500))
    page.add("")
    if run.models:
        page.table(
            ("model", "drawings", "values", "failed", "worst absolute", "worst relative", "p50 ms", "p95 ms"),
            (_model(model) for model in run.models),
        )
    if any(model.explanations for model in run.models):
        page.add("", "### First stage that differs", "")
        page.table(
            ("model", "drawing", "stage", "how"),
            (
                [*map(escaped, (model.model, one.drawing_id, one.stage or "–")), escaped(one.detail, 500)]
                for model in run.models
                for one in model.explanations
            ),
        )
    total = sum(len(model.failures) for model in run.models)
    if total:
        page.add("", f"<details><summary>{words.counted(total, 'failure')}</summary>", "")
        page.table(
            ("model", "drawing", "value", "want", "got", "difference", "allowed", "why"),
            (_failure(model, failure) for model in run.models for failure in model.failures),
        )
        page.add("", "</details>", always=True)
    return page.text()


class _Page:
    """Lines up to a size; what does not fit any more is counted and said."""

    def __init__(self, limit: int) -> None:
        self._lines: list[str] = []
        self._left = limit

    def add(self, *lines: str, always: bool = False) -> bool:
        size = sum(len(line.encode()) + 1 for line in lines)
        if size > self._left and not always:
            return False
        self._left -= size
        self._lines += lines
        return True

    def table(self, titles: tuple[str, ...], rows: Iterator[list[str]]) -> None:
        self.add(f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}")
        left_out = sum(not self.add(f"| {' | '.join(row)} |") for row in rows)
        if left_out:
            self.add("", f"… and {left_out:,} more", always=True)

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def _model(result: ModelResult) -> list[str]:
    absolute, relative = words.worst(result)
    return [
        escaped(result.model),
        f"{result.drawings:,}",
        f"{result.values:,}",
        f"{len(result.failures):,}",
        words.number(absolute),
        words.number(relative),
        *(words.milliseconds(words.quantile(result.latencies_s, share)) for share in (0.5, 0.95)),
    ]


def _failure(result: ModelResult, failure: Comparison) -> list[str]:
    return [
        *map(escaped, (result.model, failure.drawing_id, failure.name)),
        *map(escaped, words.want_and_got(failure)),
        *words.difference_and_allowed(failure),
        escaped(f"{failure.kind.value}: {failure.detail}" if failure.detail else failure.kind.value),
    ]


def escaped(text: str, at_most: int = _CELL) -> str:
    """Text that Markdown shows as it is: no mark-up, no HTML, no end of a table cell, no mention of a user."""
    text = words.clean(text)
    text = text if len(text) <= at_most else f"{text[: at_most - 1]}…"
    return _MARKS.sub(lambda found: f"&#{ord(found.group())};", html.escape(text, quote=False))
