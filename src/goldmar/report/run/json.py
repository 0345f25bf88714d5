"""The report for machines. Its shape is docs/report-schema.json; `schema` changes when a reader would have to."""

import dataclasses
from typing import Any

from goldmar.records import ModelResult, NameSummary, RunResult, Verdict
from goldmar.report import words
from goldmar.report.document import comparison, document, left_out, plain
from goldmar.report.run.files import file
from goldmar.text import without_userinfo

SCHEMA = 1


@file("report.json")
def render(run: RunResult, verdict: Verdict) -> str:
    """The run and the verdict as JSON text, with everything that fails. Times are in seconds."""
    return document(
        {
            "schema": SCHEMA,
            "passed": verdict.passed,
            "reasons": list(verdict.reasons),
            "backend": run.backend,
            "url": without_userinfo(run.url),
            "started": run.started.isoformat(),
            "seconds": run.seconds,
            "packages": dict(sorted(run.packages.items())),
            "models_known": None if run.not_compared is None else len(run.models) + len(run.not_compared),
            "models_compared": sum(model.values > 0 for model in run.models),
            "not_compared": left_out(run.not_compared),
            "models": [_model(model) for model in run.models],
        }
    )


def _model(result: ModelResult) -> dict[str, Any]:
    return {
        "model": result.model,
        "version": result.version,
        "golden_version": result.golden_version,
        "archive_digest": result.archive_digest,
        "drawings": result.drawings,
        "values": result.values,
        "seconds": result.seconds,
        "retries": result.retries,
        "latency_p50_s": words.quantile(result.latencies_s, 0.5),
        "latency_p95_s": words.quantile(result.latencies_s, 0.95),
        "predictions_per_second": words.per_second(result),
        "obtained": None if result.obtained is None else result.obtained.as_posix(),
        "drawing_ids": list(result.drawing_ids),
        "summaries": [_summary(summary) for summary in result.summaries],
        "closest": [comparison(found) for found in result.closest],
        "failures": [comparison(failure) for failure in result.failures],
        "request": list(result.request),
        "explanations": [dataclasses.asdict(explanation) for explanation in result.explanations],
    }


def _summary(summary: NameSummary) -> dict[str, Any]:
    table = dataclasses.asdict(summary)
    return {**table.pop("tolerance"), **{key: plain(value) for key, value in table.items()}}
