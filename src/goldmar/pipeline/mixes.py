"""Mixes of two lock files: whether one can be installed, and what the models say in it."""

import hashlib
import json
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from goldmar.backends.worker import WorkerServer
from goldmar.bisect import Outcome, Search
from goldmar.config import Project
from goldmar.environments import Environments
from goldmar.errors import ServerError, UninstallableError
from goldmar.golden import values_of
from goldmar.locks import Lock, changes, mixed
from goldmar.mar import Archive
from goldmar.pipeline.goldens import Golden
from goldmar.pipeline.progress import Progress
from goldmar.pipeline.results import compare_model, refuse_unused_patterns
from goldmar.pipeline.trials import Trials
from goldmar.predict import predict
from goldmar.records import Comparison, DifferenceKind, ModelComparison, Trial, TrialOutcome, Values
from goldmar.text import some

__all__ = ["Mixes", "breakage", "held"]

SHOWN = 20
"""Failing values that are kept of each trial, the worst first."""

_EXCEPTION = re.compile(r"\b(?:[A-Za-z_]\w*\.)*([A-Z]\w*(?:Error|Exception|Interrupt|Exit))\b")


class Mixes:
    """The good lock file with some packages and options as the bad one has them, each tried at most once.

    A mix is named by what is taken from the bad lock file.
    """

    def __init__(
        self,
        project: Project,
        good: Lock,
        bad: Lock,
        goldens: Sequence[Golden],
        archives: Sequence[Archive],
        progress: Progress,
        environments: Environments,
        trials: Trials,
    ) -> None:
        self._good, self._bad = good, bad
        self.changed = frozenset(change.name for change in changes(good, bad))
        self._tried: dict[tuple[frozenset[str], str], Trial] = {}
        self._project = project
        self._goldens = self._all = tuple(goldens)
        self._archives = {archived.model: archived.path for archived in archives}
        self._progress = progress
        self._environments = environments
        self._trials = trials
        self._refusals: dict[frozenset[str], str] = {}
        self._brought: frozenset[str] | None = None

    def only(self, trial: Trial) -> None:
        """From now on ask only about what fails in this trial: its drawings, or the model whose worker died."""
        goldens = [golden for golden in self._all if golden.model in trial.failed]
        if trial.outcome is TrialOutcome.RED:
            goldens = [_cut(golden, set(trial.failed[golden.model])) for golden in goldens]
        self._goldens = tuple(goldens) or self._all

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial in its order, those remembered from an earlier run included once they were asked for."""
        return tuple(self._tried.values())

    @property
    def refused(self) -> int:
        """How many mixes were turned down by the resolver."""
        return sum(bool(words) for words in self._refusals.values())

    def needs(self, changed: Iterable[str]) -> dict[str, frozenset[str]]:
        """Change -> those without which the resolver refuses it. Nothing is installed for this.

        The smallest sets are looked for with delta debugging as well; the resolver takes a fraction of a second a mix.
        """
        everything = list(changed)
        found = {}
        for number, name in enumerate(everything, 1):
            self._progress.step(f"asking the resolver what has to move together: {number}/{len(everything)}")
            alone = frozenset([name])
            words = self.refusal(alone)
            if not words:
                continue
            # Whom the resolver names comes first.
            others = sorted((o for o in everything if o != name), key=lambda o: (not _named(o, words), o))
            search = Search(lambda more, alone=alone: Outcome.PASS if self.refusal(alone | more) else Outcome.FAIL)  # type: ignore[misc]
            found[name] = frozenset(search.ddmin(others).changes) if others else frozenset()
        return {name: self._without_bystanders(name, found) for name in found}

    def _without_bystanders(self, name: str, found: Mapping[str, frozenset[str]]) -> frozenset[str]:
        """found[name] less what only came along because delta debugging leaves out one change at a time.

        Two that have to move together, pydantic and pydantic-core, are refused each without the other and so stay in.
        Left out here is a change together with all that cannot move without it.
        """
        needed = found[name]
        for other in sorted(needed):
            fewer = frozenset(o for o in needed if o != other and other not in found.get(o, ()))
            if other in needed and not self.refusal(fewer | {name}):
                needed = fewer
        return needed

    def refusal(self, taken: frozenset[str]) -> str:
        """Why the resolver refuses a mix, in its own words; empty where it does not."""
        if taken not in self._refusals:
            if self._brought is None:
                self._brought = self._extra(self._good) | self._extra(self._bad)
            lock = self.lock(taken)
            try:
                resolved = self._environments.resolve(lock)
            except UninstallableError as error:
                self._refusals[taken] = because(error)
            else:
                missing = sorted({*resolved.pins} - {*lock.pins} - self._brought)
                self._refusals[taken] = "; ".join(
                    f"{', '.join(resolved.pins[name].via) or 'something'} needs {name}, which the mix does not have"
                    for name in missing
                )
        return self._refusals[taken]

    def trial(self, taken: frozenset[str], *, whole: bool = False) -> Trial:
        """Install a mix, ask the models, hold what they say against their goldens.

        The good and the bad lock file are asked about every drawing, and with `whole` any mix is.
        Raises UnreachableError where packages cannot be fetched, StorageError, MissingExtraError.
        """
        is_end = taken in (frozenset(), self.changed)
        return self._once(taken, self.lock(taken), self._all if whole or is_end else self._goldens)

    def bad(self) -> Trial:
        """The bad lock file itself, whether or not anything differs."""
        return self._once(self.changed, self._bad, self._all, "" if self.changed else "the bad lock file")

    def of(self, lock: Lock, taken: Iterable[str]) -> Trial:
        """A lock file that holds the mix `taken`, with its very content and about every drawing."""
        return self._once(frozenset(taken), lock, self._all, f"{lock.path}")

    def known(self, taken: frozenset[str]) -> bool:
        """Whether a mix was tried with what is asked now."""
        return (taken, _question(self.lock(taken), self._goldens)) in self._tried

    def _once(self, taken: frozenset[str], lock: Lock, goldens: Sequence[Golden], role: str = "") -> Trial:
        asked = _question(lock, goldens, role)
        if (taken, asked) not in self._tried:
            self._tried[taken, asked] = self._run(taken, lock, goldens, asked)
        return self._tried[taken, asked]

    def _run(self, taken: frozenset[str], lock: Lock, goldens: Sequence[Golden], asked: str) -> Trial:
        clock = time.perf_counter()
        names = tuple(sorted(taken))
        is_end = taken in (frozenset(), self.changed)
        if not is_end and (why := self.refusal(taken)):
            return Trial(names, TrialOutcome.UNINSTALLABLE, reason=why)
        try:
            with self._environments.use(lock) as environment:
                if environment.warnings:
                    self._progress.note(environment.warnings)
                remembered = self._trials.get(taken, asked)
                # What was found in other files, or in an environment that had to be made anew, is found again.
                if remembered and environment.reused and remembered.environment == environment.content:
                    return remembered
                trial = replace(self._asked(names, environment.python, goldens), environment=environment.content)
        except UninstallableError as error:
            if is_end:
                raise
            return Trial(names, TrialOutcome.UNINSTALLABLE, reason=because(error))
        trial = replace(trial, seconds=time.perf_counter() - clock)
        # A worker that was killed, or too slow, says more about the machine than about the packages.
        if trial.outcome is not TrialOutcome.BROKEN or breakage(trial)[1]:
            self._trials.add(trial, asked)
        return trial

    def _asked(self, names: tuple[str, ...], python: Path, goldens: Sequence[Golden]) -> Trial:
        models = [golden.model for golden in goldens]
        server = WorkerServer(
            [self._archives[model] for model in models],
            on_progress=self._progress.step,
            startup_timeout_s=self._project.startup_timeout_s,
            python=python,
        )
        results = []
        try:
            with server:
                for golden in goldens:
                    self._progress.asking(golden.model, len(golden.drawings))
                    predictions = predict(
                        golden.model,
                        golden.drawings,
                        server,
                        clients=1,  # the worker answers one at a time
                        on_prediction=partial(self._progress.answered, golden.model),
                    )
                    obtained = values_of(predictions)
                    if not names:
                        refuse_unused_patterns(golden, obtained)
                    results.append(compare_model(golden, predictions, obtained))
        except ServerError as error:
            reason = "\n".join(filter(None, (error.what, error.detail)))
            failed = {error.model: ()} if error.model else dict.fromkeys(models, ())
            return Trial(names, TrialOutcome.BROKEN, failed=failed, reason=reason)
        return held(names, results)

    def lock(self, taken: frozenset[str]) -> Lock:
        """The lock file of a mix."""
        if not taken:
            return self._good
        if taken == self.changed:
            return self._bad
        lock = mixed(self._good, self._bad, taken)
        return replace(lock, path=Path(f"{self._good.path} with {some(sorted(taken), 3)} of {self._bad.path}"))

    def _extra(self, lock: Lock) -> frozenset[str]:
        """What the resolver adds to a lock file as it is: one made by pip-compile leaves setuptools out, say."""
        return frozenset(self._environments.resolve(lock).pins) - frozenset(lock.pins)


def _question(lock: Lock, goldens: Sequence[Golden], role: str = "") -> str:
    """What a trial is about: these packages, and these drawings of these models."""
    about = [lock.text(), role, *([golden.model, *(drawing.id for drawing in golden.drawings)] for golden in goldens)]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def breakage(trial: Trial) -> tuple[tuple[str, ...], str]:
    """Of a broken mix: whose workers died, and the last exception that is named; empty where none is."""
    named = _EXCEPTION.findall(trial.reason)
    return tuple(sorted(trial.failed)), named[-1] if named else ""


def because(error: UninstallableError) -> str:
    """The resolver's own words on one line, without its drawing of a tree."""
    words = " ".join((error.detail or error.what).replace("╰─▶", " ").replace("×", " ").replace("│", " ").split())
    return words[words.index("Because ") :] if "Because " in words else words


def held(names: tuple[str, ...], results: Sequence[ModelComparison]) -> Trial:
    """What the results of the models come to: green or red, how near the limit, and what fails."""
    failures = [
        (result.model, failure)
        for result in results
        for failure in result.failures
        # A mix is asked about some drawings alone; that there was nothing else to compare says nothing.
        if failure.kind is not DifferenceKind.NOTHING_COMPARED or len(result.failures) == 1
    ]
    failures.sort(key=lambda each: -_share(each[1]))
    passing = [near for result in results for near in result.closest]
    numbers = [_share(comparison) for comparison in (*passing, *(failure for _, failure in failures))]
    failed = {
        result.model: tuple(sorted({failure.drawing_id for failure in result.failures}))
        for result in results
        if result.failures
    }
    return Trial(
        names,
        TrialOutcome.RED if failures else TrialOutcome.GREEN,
        worst=max(numbers, default=0.0),
        failures=tuple(failures[:SHOWN]),
        failed=failed,
    )


def _share(comparison: Comparison) -> float:
    """|difference| / allowed: 1 is the limit; infinite where no tolerance is the matter, as for a text."""
    difference, allowed = comparison.difference, comparison.allowed
    if difference is None or allowed is None or math.isnan(difference):
        return math.inf
    if allowed == 0:
        return math.inf if difference else 0.0
    return difference / allowed


def _cut(golden: Golden, drawings: set[str]) -> Golden:
    """The golden of some of its drawings."""
    if "" in drawings:  # a failure of the whole model
        return golden
    expected = golden.expected
    rows = [row for row, drawing in enumerate(expected.drawing_ids) if drawing in drawings]
    return replace(
        golden,
        drawings=tuple(drawing for drawing in golden.drawings if drawing.id in drawings),
        expected=Values.of(
            [expected.drawing_ids[row] for row in rows],
            [expected.names[row] for row in rows],
            [expected.values[row] for row in rows],
        ),
    )


def _named(name: str, words: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", words) is not None
