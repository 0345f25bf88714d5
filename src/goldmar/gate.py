"""Pure judgement: a finished run in, a verdict out. Nothing here prints, exits or asks a server."""

from collections import Counter

from goldmar.records import ModelResult, RunResult, Verdict


def judge(run: RunResult) -> Verdict:
    """Pass only a run in which every model was compared in full and nothing failed.

    A run without models, and a model without a single compared value, are failures: a check that looked at nothing
    must never pass, whatever `compare` made of it.
    """
    reasons = [reason for model in run.models for reason in _reasons(model)]
    if not run.models:
        reasons.append("no model was compared")
    return Verdict(passed=not reasons, reasons=tuple(reasons))


def _reasons(result: ModelResult) -> list[str]:
    reasons = []
    if result.failures:
        kinds = Counter(failure.kind.value for failure in result.failures)
        counted = ", ".join(f"{count} × {kind}" for kind, count in sorted(kinds.items()))
        reasons.append(f"{result.model}: {counted}")
    elif result.values == 0 or result.drawings == 0:
        reasons.append(f"{result.model}: nothing was compared")
    return reasons
