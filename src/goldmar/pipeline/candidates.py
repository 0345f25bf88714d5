"""Candidates: the good lock file with some changes of the bad one. Can it be installed, and is the check green?"""

import hashlib
import json
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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

SHOWN = 20
"""Failing values kept for each trial, the worst first."""

_EXCEPTION = re.compile(r"\b(?:[A-Za-z_]\w*\.)*([A-Z]\w*(?:Error|Exception|Interrupt|Exit))\b")


@dataclass
class Candidates:
    """The good lock file with some packages and options of the bad one, each tried at most once.

    A candidate is identified by the names taken from the bad lock file.
    """

    _project: Project
    _good: Lock
    _bad: Lock
    _all: Sequence[Golden]
    _archives: Sequence[Archive]
    _progress: Progress
    _environments: Environments
    _trials: Trials
    _tried: dict[tuple[frozenset[str], str], Trial] = field(default_factory=dict)
    _refusals: dict[frozenset[str], str] = field(default_factory=dict)
    _unpinned: frozenset[str] | None = None

    def __post_init__(self) -> None:
        self.changed = frozenset(change.name for change in changes(self._good, self._bad))
        self._goldens = self._all

    def only(self, trial: Trial) -> None:
        """From now on check only what fails in this trial: its drawings, or the model whose worker died."""
        goldens = [golden for golden in self._all if golden.model in trial.failed]
        if trial.outcome is TrialOutcome.RED:
            goldens = [_restricted(golden, set(trial.failed[golden.model])) for golden in goldens]
        self._goldens = goldens or self._all

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial in order, with those of an earlier run that were used again."""
        return tuple(self._tried.values())

    @property
    def refused(self) -> int:
        """How many candidates the resolver refused."""
        return sum(map(bool, self._refusals.values()))

    def needs(self, changed: Iterable[str]) -> dict[str, frozenset[str]]:
        """Change -> those without which the resolver refuses it. Nothing is installed for this.

        Delta debugging finds the smallest sets; the resolver takes a fraction of a second for each candidate.
        """
        everything = list(changed)
        found = {}
        for number, name in enumerate(everything, 1):
            self._progress.step(f"asking the resolver what has to move together: {number}/{len(everything)}")
            alone = frozenset([name])
            reason = self.refusal(alone)
            if not reason:
                continue
            # Packages that the resolver names come first.
            others = sorted((o for o in everything if o != name), key=lambda o: (not _named(o, reason), o))
            search = Search(lambda more, alone=alone: Outcome.PASS if self.refusal(alone | more) else Outcome.FAIL)  # type: ignore[misc]
            found[name] = frozenset(search.ddmin(others).changes) if others else frozenset()
        return {name: self._without_bystanders(name, found) for name in found}

    def _without_bystanders(self, name: str, found: Mapping[str, frozenset[str]]) -> frozenset[str]:
        """found[name] without what is there only because delta debugging leaves out one change at a time.

        pydantic and pydantic-core have to move together: each is refused without the other, so neither is left out.
        Here a change is left out together with all that cannot move without it.
        """
        needed = found[name]
        for other in sorted(needed):
            fewer = frozenset(o for o in needed if o != other and other not in found.get(o, ()))
            if other in needed and not self.refusal(fewer | {name}):
                needed = fewer
        return needed

    def refusal(self, taken: frozenset[str]) -> str:
        """The resolver's reason to refuse a candidate; empty where it accepts it."""
        if taken not in self._refusals:
            if self._unpinned is None:
                self._unpinned = self._added(self._good) | self._added(self._bad)
            lock = self.lock(taken)
            try:
                resolved = self._environments.resolve(lock)
            except UninstallableError as error:
                self._refusals[taken] = _reason(error)
            else:
                missing = sorted({*resolved.pins} - {*lock.pins} - self._unpinned)
                needed_by = {name: ", ".join(resolved.pins[name].via) or "something" for name in missing}
                self._refusals[taken] = "; ".join(
                    f"{by} needs {name}, which the candidate does not have" for name, by in needed_by.items()
                )
        return self._refusals[taken]

    def trial(self, taken: frozenset[str], *, whole: bool = False) -> Trial:
        """Install a candidate and compare the models' answers with their goldens.

        The good and the bad lock file are checked with every drawing, and with `whole` any candidate is.
        Raises UnreachableError where packages cannot be fetched, StorageError, MissingExtraError.
        """
        is_end = taken in (frozenset(), self.changed)
        return self._once(taken, self.lock(taken), self._all if whole or is_end else self._goldens)

    def bad(self) -> Trial:
        """The bad lock file itself, whether or not anything differs."""
        return self._once(self.changed, self._bad, self._all, "" if self.changed else "the bad lock file")

    def of(self, lock: Lock, taken: Iterable[str]) -> Trial:
        """A lock file whose content is the candidate `taken`, checked with every drawing."""
        return self._once(frozenset(taken), lock, self._all, f"{lock.path}")

    def known(self, taken: frozenset[str]) -> bool:
        """Whether a candidate was tried with the drawings that are checked now."""
        return (taken, _subject(self.lock(taken), self._goldens)) in self._tried

    def _once(self, taken: frozenset[str], lock: Lock, goldens: Sequence[Golden], role: str = "") -> Trial:
        key = taken, _subject(lock, goldens, role)
        if key not in self._tried:
            self._tried[key] = self._run(*key, lock, goldens)
        return self._tried[key]

    def _run(self, taken: frozenset[str], subject: str, lock: Lock, goldens: Sequence[Golden]) -> Trial:
        clock = time.perf_counter()
        names = tuple(sorted(taken))
        is_end = taken in (frozenset(), self.changed)
        if not is_end and (why := self.refusal(taken)):
            return Trial(names, TrialOutcome.UNINSTALLABLE, reason=why)
        try:
            with self._environments.use(lock) as environment:
                if environment.warnings:
                    self._progress.note(environment.warnings)
                remembered = self._trials.get(taken, subject)
                # The outcome of other files, or of an environment that had to be built again, is not used.
                if remembered and environment.reused and remembered.environment == environment.content:
                    return remembered
                trial = replace(self._checked(names, environment.python, goldens), environment=environment.content)
        except UninstallableError as error:
            if is_end:
                raise
            return Trial(names, TrialOutcome.UNINSTALLABLE, reason=_reason(error))
        trial = replace(trial, seconds=time.perf_counter() - clock)
        # A worker that was killed, or too slow, may be due to the machine and not to the packages.
        if trial.outcome is not TrialOutcome.BROKEN or breakage(trial)[1]:
            self._trials.add(trial, subject)
        return trial

    def _checked(self, names: tuple[str, ...], python: Path, goldens: Sequence[Golden]) -> Trial:
        models = [golden.model for golden in goldens]
        server = WorkerServer(
            [archive.path for archive in self._archives if archive.model in models],
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
        return trial_of(names, results)

    def lock(self, taken: frozenset[str]) -> Lock:
        """The lock file of a candidate."""
        if not taken:
            return self._good
        if taken == self.changed:
            return self._bad
        lock = mixed(self._good, self._bad, taken)
        return replace(lock, path=Path(f"{self._good.path} with {some(sorted(taken), 3)} of {self._bad.path}"))

    def _added(self, lock: Lock) -> frozenset[str]:
        """What the resolver adds to a lock file, such as setuptools to one made by pip-compile."""
        return frozenset(self._environments.resolve(lock).pins) - frozenset(lock.pins)


def _subject(lock: Lock, goldens: Sequence[Golden], role: str = "") -> str:
    """A digest of what a trial checks: these packages, and these drawings of these models."""
    about = [lock.text(), role, *([golden.model, *(drawing.id for drawing in golden.drawings)] for golden in goldens)]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def breakage(trial: Trial) -> tuple[tuple[str, ...], str]:
    """Of a broken candidate: the models whose workers died, and the last exception named, empty where none is."""
    named = _EXCEPTION.findall(trial.reason)
    return tuple(sorted(trial.failed)), named[-1] if named else ""


def _reason(error: UninstallableError) -> str:
    """The resolver's message on one line, without the characters that draw a tree."""
    text = " ".join(re.sub("╰─▶|[×│]", " ", error.detail or error.what).split())
    return text[text.index("Because ") :] if "Because " in text else text


def trial_of(names: tuple[str, ...], results: Sequence[ModelComparison]) -> Trial:
    """The results of the models as one trial: green or red, how near the limit, and what fails."""
    failures = [
        (result.model, failure)
        for result in results
        for failure in result.failures
        # Only some drawings are checked: that there was nothing else to compare is no failure.
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
    """|difference| / allowed: 1 is the limit; infinite where no tolerance applies, as for a string."""
    difference, allowed = comparison.difference, comparison.allowed
    if difference is None or allowed is None or math.isnan(difference):
        return math.inf
    if allowed == 0:
        return math.inf if difference else 0.0
    return difference / allowed


def _restricted(golden: Golden, drawings: set[str]) -> Golden:
    """The golden for some of its drawings."""
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


def _named(name: str, text: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text) is not None
