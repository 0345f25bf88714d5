"""What a bisection found, on a terminal, as JSON and as a Markdown section for a pull request."""

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from goldmar.records import Bisection, CulpritSet, DifferenceKind, Trial, TrialOutcome
from goldmar.report import words
from goldmar.report.json import comparison_table, left_out
from goldmar.report.markdown import escaped
from goldmar.text import json_safe

__all__ = ["SCHEMA", "headline", "render", "to_json", "to_markdown"]

SCHEMA = 1

_SHOWN = 10
_COLOURS = {
    TrialOutcome.GREEN: "green",
    TrialOutcome.RED: "red",
    TrialOutcome.BROKEN: "red",
    TrialOutcome.UNINSTALLABLE: "dim",
}


def headline(found: Bisection) -> str:
    """The finding in one sentence."""
    if not found.culprits:
        among = words.counted(len(found.changes), "change")
        return f"{words.shown_path(found.bad)} is green: there is nothing to find among {among}"
    sets = " and ".join(_versions(found, culprit) for culprit in found.culprits)
    broken = found.culprits[0].trial.outcome is TrialOutcome.BROKEN
    if len(found.culprits) > 1:
        return f"{sets} {'break the models' if broken else 'turn the check red'}, each for itself"
    return f"{sets} {'breaks the models' if broken else 'turns the check red'}"


def render(found: Bisection, console: Console) -> None:
    """Print it. Names are shown as they are, never as markup."""
    console.print(_table_of_trials(found))
    console.print()
    style = "bold red" if found.culprits else "bold green"
    console.print(Text.assemble(("FOUND" if found.culprits else "GREEN", style), "  ", words.clean(headline(found))))
    for culprit in found.culprits:
        for line in _findings(found, culprit):
            console.print(Text(f"  {words.clean(line)}"))
        if culprit.trial.failures:
            console.print(_values(culprit.trial))
            left = sum(map(len, culprit.trial.failed.values()))
            console.print(Text(f"  {words.counted(left, 'drawing')} of {', '.join(culprit.trial.failed)} fail", "dim"))
    for line in _closing(found):
        console.print(Text(words.clean(line), "dim"))


def to_json(found: Bisection) -> str:
    """The bisection as JSON text; its shape is told in docs/bisect.md."""
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
        "environments": _count(found),
        "remembered": sum(trial.remembered for trial in found.trials),
        "refused": found.refused,
        "together": {name: {"needs": list(needs), "reason": why} for name, (needs, why) in found.together.items()},
        "elsewhere": list(found.elsewhere),
        "not_compared": left_out(found.not_compared),
        "kept": _kept(found),
        "seconds": found.seconds,
    }
    return json_safe(json.dumps(report, ensure_ascii=True, indent=2, allow_nan=False)) + "\n"


def to_markdown(found: Bisection) -> str:
    """A section for a pull request."""
    lines = [f"## goldmar bisect: {'❌' if found.culprits else '✅'} {escaped(headline(found), 500)}", ""]
    for culprit in found.culprits:
        lines += [f"- {escaped(line, 500)}" for line in _findings(found, culprit)]
        if culprit.trial.failures:
            lines += ["", "| model | drawing | value | want | got | difference | allowed |", f"|{' --- |' * 7}"]
            for model, failure in culprit.trial.failures[:_SHOWN]:
                cells = (model, failure.drawing_id, failure.name, *words.want_and_got(failure))
                last = words.difference_and_allowed(failure)
                lines.append(f"| {' | '.join((*map(escaped, cells), *last))} |")
        lines.append("")
    count = words.counted(len(found.trials), "mix").replace("mixs", "mixes")
    lines += [f"<details><summary>{count} tried</summary>", "", "| taken | outcome | worst |", "| --- | --- | --- |"]
    for trial in found.trials:
        lines.append(f"| {escaped(_taken(found, trial), 300)} | {trial.outcome} | {_worst(trial)} |")
    lines += ["", "</details>", ""]
    lines += [f"- {escaped(line, 1000)}" for line in _closing(found)]
    return "\n".join(lines) + "\n"


def _findings(found: Bisection, culprit: CulpritSet) -> Iterator[str]:
    """What is known of one set, a line each."""
    if culprit.trial.outcome is TrialOutcome.BROKEN:
        yield culprit.trial.reason.splitlines()[0]
    for name in culprit.packages if len(culprit.packages) > 1 else ():
        parts = []
        if name in culprit.alone:
            parts.append(f"alone {_said(culprit.alone[name])}")
        elif needs := [more for more in found.together.get(name, ((), ""))[0] if more in culprit.packages]:
            parts.append(f"cannot be installed without {', '.join(needs)}")
        others = culprit.without.get(name)
        parts.append(
            f"the others without it {_said(others)}" if others else "the others cannot be installed without it"
        )
        yield f"{name}: {'; '.join(parts)}"
    # A drawing that was refused, or failed on, has no values to show: the reason is all there is.
    refusals = (
        (model, each) for model, each in culprit.trial.failures if each.kind is DifferenceKind.NO_ANSWER and each.detail
    )
    if first := next(refusals, None):
        yield f"{first[0]} {first[1].drawing_id}: {first[1].detail}"
    if len(culprit.alone) == len(culprit.packages) and all(0 < (one.worst or 0) <= 1 for one in culprit.alone.values()):
        yield "each adds a part: none reaches the limit alone, together they pass it"
    if not culprit.proven:
        yield "not proven that all of them are needed: a mix without one of them breaks, or cannot be installed"


def _said(trial: Trial) -> str:
    worst = "" if trial.worst is None else f", worst value {_worst(trial)} of what is allowed"
    return f"{trial.outcome}{worst}"


def _closing(found: Bisection) -> Iterator[str]:
    """What was tried, and what is left."""
    if found.culprits and found.rest is not None:
        it = "it" if len(found.culprits) == 1 and len(found.culprits[0].packages) == 1 else "them"
        blamed = {name for culprit in found.culprits for name in culprit.packages}
        also = sorted(set(found.changes) - set(found.rest.taken) - blamed)
        needing = f" and what needs {it} ({', '.join(also)})" if also else ""
        yield f"{words.shown_path(found.bad)} without {it}{needing}: {_said(found.rest)}"
    if found.keep_rest is not None and found.kept is not None:
        path, held = words.shown_path(found.keep_rest), ", ".join(found.held)
        if found.kept.outcome is TrialOutcome.GREEN:
            count = f"{len(found.changes) - len(found.held)} of {words.counted(len(found.changes), 'change')}"
            back = f" and holds back {held}" if held else ""
            yield f"{path} keeps {count}{back}: its content was checked, and is {_said(found.kept)}"
        else:
            yield f"{path} is not written: with {held} held back it is {_said(found.kept)}"
    if found.elsewhere:
        yield f"for other platforms or Pythons, and not tried here: {', '.join(found.elsewhere)}"
    yield from words.not_compared(found.not_compared)
    for name, (needs, reason) in found.together.items():
        yield f"{name} moves only with {', '.join(needs) or 'nothing at all'}: {reason}"
    remembered = sum(trial.remembered for trial in found.trials)
    parts = [
        words.counted(len(found.changes), "change"),
        f"{words.counted(_count(found), 'environment')} tried"
        + (f", {remembered} of them in an earlier run" if remembered else ""),
        f"{words.counted(found.refused, 'mix').replace('mixs', 'mixes')} skipped that cannot be installed"
        if found.refused
        else "",
        f"{found.seconds:.0f} s",
    ]
    yield " · ".join(filter(None, parts))


def _count(found: Bisection) -> int:
    """An environment may be asked twice: about what failed, and about all."""
    tried = [trial for trial in found.trials if trial.outcome is not TrialOutcome.UNINSTALLABLE]
    return len({trial.taken for trial in tried})


def _kept(found: Bisection) -> dict[str, Any] | None:
    if found.keep_rest is None or found.kept is None:
        return None
    written = found.kept.outcome is TrialOutcome.GREEN
    return {"path": str(found.keep_rest), "written": written, "held": list(found.held), "trial": _trial(found.kept)}


def _versions(found: Bisection, culprit: CulpritSet) -> str:
    named = []
    for name in culprit.packages:
        old, new = found.changes[name]
        named.append(f"{name} {old} → {new}" if old and new else f"{name} {new} added" if new else f"{name} removed")
    return " with ".join(named)


def _taken(found: Bisection, trial: Trial) -> str:
    """The shorter of what was taken and what was left."""
    if not trial.taken and (found.changes or trial is found.trials[0]):
        return "nothing: the good lock file"
    left = sorted(set(found.changes) - set(trial.taken))
    if not left:
        return "everything: the bad lock file"
    return f"all but {', '.join(left)}" if len(left) < len(trial.taken) else ", ".join(trial.taken)


def _worst(trial: Trial) -> str:
    """In shares of what is allowed; no tolerance reaches a text, a missing value, a refused drawing."""
    if trial.worst is None:
        return "–"
    return "beyond any" if math.isinf(trial.worst) else f"{words.number(trial.worst)}×"


def _table_of_trials(found: Bisection) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 0), show_edge=False, header_style="dim")
    table.add_column("taken from the bad lock file", overflow="fold", ratio=1)
    table.add_column("outcome")
    table.add_column("worst", justify="right")
    table.add_column("seconds", justify="right")
    for trial in found.trials:
        seconds = "earlier" if trial.remembered else f"{trial.seconds:.1f}"
        outcome = Text(trial.outcome.value, _COLOURS[trial.outcome])
        table.add_row(Text(words.clean(_taken(found, trial))), outcome, _worst(trial), seconds)
    return table


def _values(trial: Trial) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 0), show_edge=False, header_style="dim")
    for title in ("model", "drawing", "value"):
        table.add_column(title, overflow="fold")
    for title in ("want", "got", "difference", "allowed"):
        table.add_column(title, justify="right", overflow="fold")
    for model, failure in trial.failures[:_SHOWN]:
        what = (model, failure.drawing_id, failure.name or failure.kind.value)
        values: Sequence[str] = (*words.want_and_got(failure), *words.difference_and_allowed(failure))
        table.add_row(*(Text(words.clean(cell)) for cell in (*what, *values)))
    return table


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
    table = dataclasses.asdict(trial)
    worst = trial.worst
    return table | {
        "outcome": trial.outcome.value,
        "worst": worst if worst is None or math.isfinite(worst) else repr(worst),
        "failures": [{"model": model, **comparison_table(failure)} for model, failure in trial.failures],
    }
