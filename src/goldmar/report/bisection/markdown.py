"""The finding as a Markdown section for a pull request."""

from goldmar.records import Bisection
from goldmar.report import words
from goldmar.report.bisection.findings import closing, findings, headline, taken, worst
from goldmar.report.page import Page, escaped
from goldmar.text import counted

_SHOWN = 10


def render(found: Bisection) -> str:
    page = Page()
    page.add(f"## goldmar bisect: {'❌' if found.culprits else '✅'} {escaped(headline(found))}", "")
    for culprit in found.culprits:
        page.bullets(findings(found, culprit))
        if failures := culprit.trial.failures[:_SHOWN]:
            page.add("")
            page.table(("model", *words.FAILURE), ((model, *words.columns(each)) for model, each in failures))
        page.add("")
    page.add(f"<details><summary>{counted(len(found.trials), 'candidate')} tried</summary>", "")
    rows = ((taken(found, trial), trial.outcome, worst(trial)) for trial in found.trials)
    page.table(("taken", "outcome", "worst"), rows, {"taken": 300})
    page.add("", "</details>", "", always=True)
    page.bullets(closing(found), at_most=1000)
    return page.text()
