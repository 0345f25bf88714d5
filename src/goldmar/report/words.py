"""How numbers, names and failures are written, the same in every report."""

import json
import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Context, Decimal, localcontext

from goldmar.records import Comparison, DifferenceKind, ModelComparison, ModelResult, NameSummary, RunResult, Value
from goldmar.text import clean, counted, some, without_userinfo

_NAMED = 8
"""Models named in one line; the others are counted."""

FAILURE = ("drawing", "value", "want", "got", "difference", "allowed")
"""Titles of the columns that show one failure."""


def number(value: float | None) -> str:
    """A measured number in at most 9 characters: 0.0123, 1.23e-08, inf; a dash for none."""
    if value is None:
        return "–"
    return "0" if value == 0 else f"{value:.3g}"


def difference_and_allowed(failure: Comparison) -> tuple[str, str]:
    """Both in as many digits as tell them apart: "difference 0.01, allowed 0.01" would be no reason to fail."""
    difference, allowed = failure.difference, failure.allowed
    if difference is None or allowed is None or difference == allowed:
        return number(difference), number(allowed)
    digits = next((n for n in range(3, 18) if f"{difference:.{n}g}" != f"{allowed:.{n}g}"), 17)
    if digits == 3:
        return number(difference), number(allowed)
    return f"{difference:.{digits}g}", f"{allowed:.{digits}g}"


def rounded_up(value: float) -> str:
    """At least the number, in three digits: a tolerance that one may copy and that still passes."""
    if value == 0 or not math.isfinite(value):
        return number(value)
    with localcontext(Context(prec=3, rounding=ROUND_CEILING)):
        return f"{float(+Decimal(value)):.3g}"


def spelt(value: Value, *, digits: int = 9) -> str:
    """A value as it is compared: text in quotes, so that `"1"` is seen not to be `1`."""
    if isinstance(value, str):
        return clean(json.dumps(value, ensure_ascii=False))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if abs(value) < 10**40 else f"{str(value)[:20]}… ({len(str(abs(value)))} digits)"
    if not math.isfinite(value):
        return repr(float(value))
    short = f"{value:.{digits}g}"
    return short if any(mark in short for mark in ".e") else f"{short}.0"


def want_and_got(failure: Comparison) -> tuple[str, str]:
    """Both values, with all their digits where fewer would make them look alike."""
    if failure.kind is DifferenceKind.MISSING_VALUE:
        return spelt(failure.want), "–"
    if failure.kind is DifferenceKind.EXTRA_VALUE:
        return "–", spelt(failure.got)
    if not failure.name:
        return "–", "–"
    want, got = spelt(failure.want), spelt(failure.got)
    return (want, got) if want != got else (spelt(failure.want, digits=17), spelt(failure.got, digits=17))


def columns(failure: Comparison) -> tuple[str, ...]:
    """What stands below the titles of `FAILURE`."""
    return failure.drawing_id, failure.name, *want_and_got(failure), *difference_and_allowed(failure)


def requests(run: RunResult) -> list[str]:
    """Models whose requests differed from TorchServe's defaults, a line each."""
    return [f"{model.model} was asked with {'; '.join(model.request)}" for model in run.models if model.request]


def versions(run: RunResult) -> list[str]:
    """Models whose served version is unknown, on one line."""
    unknown = [
        f"{model.model} (golden of {model.golden_version})" if model.golden_version else model.model
        for model in run.models
        if not model.version
    ]
    return [f"version not known: {some(unknown, _NAMED)}"] if unknown else []


def compared(run: RunResult) -> str:
    """`3 of 4 models compared`: a model of which no value was compared is not."""
    if run.not_compared is None:
        return counted(len(run.models), "model")
    done = sum(model.values > 0 for model in run.models)
    return f"{done:,} of {counted(len(run.models) + len(run.not_compared), 'model')} compared"


def not_compared(others: Mapping[str, str] | None) -> list[str]:
    """Why models of the project were not compared: a line for each reason; one line for all that were not selected."""
    others = others or {}
    lines = [f"{model}: no golden on purpose: {reason}" for model, reason in others.items() if reason]
    if left := [model for model, reason in others.items() if not reason]:
        lines.append(f"not asked for: {some(left, _NAMED)}")
    return lines


def quantile(numbers: Sequence[float], share: float) -> float | None:
    """The smallest number that at least this share of the numbers do not exceed; None of none."""
    return sorted(numbers)[max(0, math.ceil(share * len(numbers)) - 1)] if numbers else None


def milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.3g}" if seconds < 1 else f"{seconds * 1000:,.0f}"


def per_second(result: ModelResult) -> float | None:
    """Predictions per second over the whole run, all clients together."""
    return len(result.latencies_s) / result.seconds if result.latencies_s and result.seconds > 0 else None


def worst(result: ModelResult) -> tuple[float | None, float | None]:
    """The worst absolute and relative error of a model; None where no number was compared."""
    if not result.summaries:
        return None, None
    return max(s.worst_absolute for s in result.summaries), max(s.worst_relative for s in result.summaries)


def model_columns(result: ModelResult) -> tuple[str, ...]:
    """Name, drawings, values, failures, worst absolute and relative error, p50 and p95 in milliseconds."""
    counts = (result.drawings, result.values, len(result.failures))
    latencies = (quantile(result.latencies_s, share) for share in (0.5, 0.95))
    return result.model, *(f"{n:,}" for n in counts), *map(number, worst(result)), *map(milliseconds, latencies)


def summary_words(summary: NameSummary) -> str:
    """The tolerance that would pass one pattern."""
    parts = []
    if summary.failed > summary.beyond:
        needed = {"atol": summary.atol_needed, "rtol": summary.rtol_needed}
        choices = [f"{key} = {rounded_up(value)}" for key, value in needed.items() if math.isfinite(value)]
        parts.append(" or ".join(choices) or "no finite tolerance")
    if summary.beyond:
        parts.append(f"none passes {counted(summary.beyond, 'value')}")
    return "; ".join(parts) or "as it is"


def failed_drawings(result: ModelComparison) -> str:
    return counted(len({failure.drawing_id for failure in result.failures if failure.drawing_id}), "drawing")


def headline(run: RunResult) -> str:
    """Backend, URL, time and versions of a run."""
    versions = [f"{name} {run.packages[name]}" for name in ("torch", "torchserve") if name in run.packages]
    started = f"{run.started:%Y-%m-%d %H:%M:%S %Z}".strip()
    return " · ".join(filter(None, (f"backend {run.backend}", without_userinfo(run.url), started, *versions)))
