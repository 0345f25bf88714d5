"""The report for machines. Its shape is docs/report-schema.json; `schema` changes when a reader would have to."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from goldmar.golden.provenance import without_secrets
from goldmar.records import Comparison, DifferenceKind, ModelResult, NameSummary, RunResult, Value, Verdict
from goldmar.report import words
from goldmar.text import json_safe

__all__ = ["SCHEMA", "comparison_table", "left_out", "render"]

SCHEMA = 1


def render(run: RunResult, verdict: Verdict) -> str:
    """The run and the verdict as JSON text, with everything that fails.

    Times are in seconds. JSON has no NaN and no infinity: they are the strings "nan", "inf" and "-inf", and `want_type`
    and `got_type` tell such a float from a text.
    """
    report = {
        "schema": SCHEMA,
        "passed": verdict.passed,
        "reasons": list(verdict.reasons),
        "backend": run.backend,
        "url": without_secrets(run.url),
        "started": run.started.isoformat(),
        "seconds": run.seconds,
        "packages": dict(sorted(run.packages.items())),
        "models_known": None if run.not_compared is None else len(run.models) + len(run.not_compared),
        "models_compared": sum(model.values > 0 for model in run.models),
        "not_compared": left_out(run.not_compared or {}),
        "models": [_model(model) for model in run.models],
    }
    return json_safe(json.dumps(report, ensure_ascii=False, indent=2, allow_nan=False)) + "\n"


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
        "closest": [comparison_table(comparison) for comparison in result.closest],
        "failures": [comparison_table(failure) for failure in result.failures],
        "request": list(result.request),
        "explanations": [dataclasses.asdict(explanation) for explanation in result.explanations],
    }


def _summary(summary: NameSummary) -> dict[str, Any]:
    table = dataclasses.asdict(summary)
    return {**table.pop("tolerance"), **{key: _plain(value) for key, value in table.items()}}


def left_out(others: Mapping[str, str]) -> list[dict[str, Any]]:
    """The models of a project that a run was not about, by name and with the reason that is declared, or none."""
    return [
        {"model": model, "no_golden_on_purpose": bool(reason), "why": reason or "not asked for"}
        for model, reason in others.items()
    ]


def comparison_table(comparison: Comparison) -> dict[str, Any]:
    one_sided = not comparison.name
    return {
        "kind": comparison.kind.value,
        "drawing_id": comparison.drawing_id,
        "name": comparison.name,
        "want": _plain(comparison.want),
        "want_type": _type(comparison.want, absent=one_sided or comparison.kind is DifferenceKind.EXTRA_VALUE),
        "got": _plain(comparison.got),
        "got_type": _type(comparison.got, absent=one_sided or comparison.kind is DifferenceKind.MISSING_VALUE),
        "difference": _plain(comparison.difference),
        "allowed": _plain(comparison.allowed),
        "detail": comparison.detail,
    }


def _plain(value: Value) -> Value:
    return repr(float(value)) if isinstance(value, float) and not math.isfinite(value) else value


def _type(value: Value, *, absent: bool) -> str:
    if absent:
        return "absent"
    for name, kind in (("boolean", bool), ("integer", int), ("float", float), ("string", str)):
        if isinstance(value, kind):
            return name
    return "null"
