"""The finding for machines; docs/bisect.md describes it."""

import dataclasses
from typing import Any

from goldmar.records import Bisection, CulpritSet, Trial, TrialOutcome
from goldmar.report.bisection.findings import environments, headline
from goldmar.report.document import comparison, document, left_out, plain

SCHEMA = 1


def render(found: Bisection) -> str:
    report = {
        "schema": SCHEMA,
        "found": bool(found.culprits),
        "summary": headline(found),
        "good": str(found.good),
        "bad": str(found.bad),
        "models": list(found.models),
        "changes": {name: {"old": old, "new": new} for name, (old, new) in found.changes.items()},
        "culprits": [_culprit(found, culprit) for culprit in found.culprits],
        "rest": None if found.rest is None else _trial(found.rest),
        "trials": [_trial(trial) for trial in found.trials],
        "environments": environments(found),
        "remembered": sum(trial.remembered for trial in found.trials),
        "refused": found.refused,
        "together": {name: {"needs": list(needs), "reason": why} for name, (needs, why) in found.together.items()},
        "elsewhere": list(found.elsewhere),
        "not_compared": left_out(found.not_compared),
        "kept": _kept(found),
        "seconds": found.seconds,
    }
    return document(report, ascii_only=True)


def _kept(found: Bisection) -> dict[str, Any] | None:
    if found.keep_rest is None or found.kept is None:
        return None
    written = found.kept.outcome is TrialOutcome.GREEN
    return {
        "path": str(found.keep_rest),
        "written": written,
        "held": list(found.held_back),
        "trial": _trial(found.kept),
    }


def _culprit(found: Bisection, culprit: CulpritSet) -> dict[str, Any]:
    return {
        "packages": [
            {"name": name, "old": found.changes[name][0], "new": found.changes[name][1]} for name in culprit.packages
        ],
        "proven": culprit.proven,
        "trial": _trial(culprit.trial),
        "alone": {name: _trial(trial) for name, trial in culprit.alone.items()},
        "without": {name: None if trial is None else _trial(trial) for name, trial in culprit.without.items()},
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return dataclasses.asdict(trial) | {
        "outcome": trial.outcome.value,
        "worst": plain(trial.worst),
        "failures": [{"model": model, **comparison(failure)} for model, failure in trial.failures],
    }
