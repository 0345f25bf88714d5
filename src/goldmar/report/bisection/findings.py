"""What was found, tried and left, in sentences."""

import math
from collections.abc import Iterator

from goldmar.records import Bisection, CulpritSet, DifferenceKind, Trial, TrialOutcome
from goldmar.report import words
from goldmar.text import counted, shown_path


def headline(found: Bisection) -> str:
    """The finding in one sentence."""
    if not found.culprits:
        among = counted(len(found.changes), "change")
        return f"{shown_path(found.bad)} is green: there is nothing to find among {among}"
    sets = " and ".join(" with ".join(_change(found, name) for name in culprit.packages) for culprit in found.culprits)
    broken = found.culprits[0].trial.outcome is TrialOutcome.BROKEN
    verb, what = ("break", "the models") if broken else ("turn", "the check red")
    return f"{sets} {verb} {what}, each for itself" if len(found.culprits) > 1 else f"{sets} {verb}s {what}"


def findings(found: Bisection, culprit: CulpritSet) -> Iterator[str]:
    """What is known of one set of packages, a line each."""
    if culprit.trial.outcome is TrialOutcome.BROKEN:
        yield culprit.trial.reason.splitlines()[0]
    for name in culprit.packages if len(culprit.packages) > 1 else ():
        parts = []
        if name in culprit.alone:
            parts.append(f"alone {_outcome(culprit.alone[name])}")
        elif needs := [more for more in found.together.get(name, ((), ""))[0] if more in culprit.packages]:
            parts.append(f"cannot be installed without {', '.join(needs)}")
        others = culprit.without.get(name)
        parts.append(
            f"the others without it {_outcome(others)}" if others else "the others cannot be installed without it"
        )
        yield f"{name}: {'; '.join(parts)}"
    # A drawing without an answer has no values to show, only the reason.
    refusals = (
        (model, each) for model, each in culprit.trial.failures if each.kind is DifferenceKind.NO_ANSWER and each.detail
    )
    if first := next(refusals, None):
        yield f"{first[0]} {first[1].drawing_id}: {first[1].detail}"
    if len(culprit.alone) == len(culprit.packages) and all(0 < (one.worst or 0) <= 1 for one in culprit.alone.values()):
        yield "each adds a part: none reaches the limit alone, together they exceed it"
    if not culprit.proven:
        yield "not proven that all of them are needed: a candidate without one of them breaks, or cannot be installed"


def _outcome(trial: Trial) -> str:
    return f"{trial.outcome}" + ("" if trial.worst is None else f", worst value {worst(trial)} of what is allowed")


def closing(found: Bisection) -> Iterator[str]:
    """What was tried, and what is left."""
    if found.culprits and found.rest is not None:
        it = "it" if len(found.culprits) == 1 and len(found.culprits[0].packages) == 1 else "them"
        blamed = {name for culprit in found.culprits for name in culprit.packages}
        also = sorted(set(found.changes) - set(found.rest.taken) - blamed)
        needing = f" and what needs {it} ({', '.join(also)})" if also else ""
        yield f"{shown_path(found.bad)} without {it}{needing}: {_outcome(found.rest)}"
    if found.keep_rest is not None and found.kept is not None:
        path, held = shown_path(found.keep_rest), ", ".join(found.held_back)
        if found.kept.outcome is TrialOutcome.GREEN:
            count = f"{len(found.changes) - len(found.held_back)} of {counted(len(found.changes), 'change')}"
            back = f" and holds back {held}" if held else ""
            yield f"{path} keeps {count}{back}: its content was checked, and is {_outcome(found.kept)}"
        else:
            yield f"{path} is not written: with {held} held back it is {_outcome(found.kept)}"
    if found.elsewhere:
        yield f"for other platforms or Pythons, and not tried here: {', '.join(found.elsewhere)}"
    yield from words.not_compared(found.not_compared)
    for name, (needs, reason) in found.together.items():
        yield f"{name} moves only with {', '.join(needs) or 'nothing at all'}: {reason}"
    remembered = sum(trial.remembered for trial in found.trials)
    earlier = f", {remembered} of them in an earlier run" if remembered else ""
    parts = [counted(len(found.changes), "change"), f"{counted(environments(found), 'environment')} tried{earlier}"]
    if found.refused:
        parts.append(f"{counted(found.refused, 'candidate')} skipped that cannot be installed")
    yield " · ".join([*parts, f"{found.seconds:.0f} s"])


def environments(found: Bisection) -> int:
    """How many were tried: one may be checked twice, with some drawings and with all."""
    return len({trial.taken for trial in found.trials if trial.outcome is not TrialOutcome.UNINSTALLABLE})


def _change(found: Bisection, name: str) -> str:
    old, new = found.changes[name]
    return f"{name} {old} → {new}" if old and new else f"{name} {new} added" if new else f"{name} removed"


def taken(found: Bisection, trial: Trial) -> str:
    """The shorter list: what was taken, or what was not."""
    if not trial.taken and (found.changes or trial is found.trials[0]):
        return "nothing: the good lock file"
    left = sorted(set(found.changes) - set(trial.taken))
    if not left:
        return "everything: the bad lock file"
    return f"all but {', '.join(left)}" if len(left) < len(trial.taken) else ", ".join(trial.taken)


def worst(trial: Trial) -> str:
    """In multiples of the tolerance; none applies to a string, a missing value or a refused drawing."""
    if trial.worst is None:
        return "–"
    return "beyond any" if math.isinf(trial.worst) else f"{words.number(trial.worst)}×"
