"""The report for the summary page of a CI run: a table of the models, and the failures folded away below it."""

from goldmar.records import RunResult, Verdict
from goldmar.report import words
from goldmar.report.page import Page, escaped
from goldmar.report.run.files import file
from goldmar.text import counted

_MODELS = ("model", "drawings", "values", "failed", "worst absolute", "worst relative", "p50 ms", "p95 ms")
_NOTES = 50


@file("report.md")
def render(run: RunResult, verdict: Verdict) -> str:
    """The run as GitHub Markdown."""
    page = Page()
    page.add(f"## goldmar: {'✅ passed' if verdict.passed else '❌ failed'}", "")
    page.add(escaped(words.headline(run)), "")
    page.bullets(verdict.reasons[:_NOTES])
    if run.not_compared is not None:
        notes = (words.compared(run), *words.not_compared(run.not_compared)[:_NOTES])
        page.add("", "; ".join(map(escaped, notes)))
    for line in (*words.requests(run)[:_NOTES], *words.versions(run)):
        page.add("", escaped(line))
    page.add("")
    if run.models:
        page.table(_MODELS, map(words.model_columns, run.models))
    if any(model.explanations for model in run.models):
        page.add("", "### First stage that differs", "")
        page.table(
            ("model", "drawing", "stage", "how"),
            (
                (model.model, one.drawing_id, one.stage or "–", one.detail)
                for model in run.models
                for one in model.explanations
            ),
            {"how": 500},
        )
    if total := sum(len(model.failures) for model in run.models):
        page.add("", f"<details><summary>{counted(total, 'failure')}</summary>", "")
        page.table(
            ("model", *words.FAILURE, "why"),
            (
                (model.model, *words.columns(failure), ": ".join(filter(None, (failure.kind.value, failure.detail))))
                for model in run.models
                for failure in model.failures
            ),
        )
        page.add("", "</details>", always=True)
    return page.text()
