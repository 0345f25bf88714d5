"""Which changes between two lock files turn the golden check red: the trials of candidates, joined to the search."""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from goldmar import __version__
from goldmar.bisect import Culprit, Outcome, Search, by_suspicion
from goldmar.config import Project
from goldmar.environments import Environments, cache_folder
from goldmar.errors import GoldmarError, Interrupted, NotReadyError, UsageError, WorkerDiedError
from goldmar.files import write_atomically
from goldmar.layout import REQUIREMENTS, survey
from goldmar.locks import Lock, changes, closure, elsewhere, held_back, parse_lock
from goldmar.mar import Archive
from goldmar.pipeline.archives import archives_for
from goldmar.pipeline.candidates import Candidates, breakage
from goldmar.pipeline.environments import lock_for_serving
from goldmar.pipeline.goldens import Golden, read_model
from goldmar.pipeline.progress import Progress
from goldmar.pipeline.selection import not_compared
from goldmar.pipeline.trials import Trials
from goldmar.protocols.http import content_of
from goldmar.records import Bisection, CulpritSet, Trial, TrialOutcome
from goldmar.requirements import asked_for, on_disk
from goldmar.text import counted, some

Versions = Mapping[str, tuple[str | None, str | None]]


def find_culprits(
    project: Project,
    good: Path,
    bad: Path,
    models: Sequence[str],
    progress: Progress,
    *,
    fresh: bool = False,
    trust: bool = False,
    keep_rest: Path | None = None,
) -> Bisection:
    """Find the smallest sets of changes between two lock files that turn the check of these models red.

    The goldens and their `obtained` files are not changed. Each trial is kept on disk, and the same call continues from
    there unless `fresh`. `keep_rest` is where `write_kept` puts the lock file without the culprits.

    Raises:
        UsageError: the good lock file is not green; a lock file names code that is not trusted.
        ConfigError, UninstallableError: a file is no lock file, or cannot be installed.
        WorkerDiedError, NotReadyError: a worker does not run with the good lock file.
        UnreachableError, StorageError, MissingExtraError: packages could not be fetched, written, or installed at all.
        Interrupted: Ctrl-C; the error names the file that holds what was tried.
    """
    clock = time.perf_counter()
    if keep_rest is not None and not _writable(keep_rest):
        raise UsageError(f"{keep_rest} cannot be written.", fix="--keep-rest with a file in a folder that is there")
    locks = lock_for_serving(good, progress, trust=trust), lock_for_serving(bad, progress, trust=trust)
    if keep_rest is not None and any(replace(lock, path=keep_rest).anchored() != lock.anchored() for lock in locks):
        raise UsageError(
            f"The lock files name folders relative to their own, and from {keep_rest} these are others.",
            fix="--keep-rest with a file in the folder of the lock files",
        )
    goldens = [read_model(project, model, with_expected=True) for model in models]
    environments = Environments(on_progress=progress.step)
    archives = archives_for(project, models)
    trials = Trials(_trials_path(locks, goldens, archives, environments), fresh=fresh)
    candidates = Candidates(project, *locks, goldens, archives, progress, environments, trials)
    versions = {change.name: (change.old, change.new) for change in changes(*locks)}
    try:
        found = _search(candidates, versions, _order(project, locks, models, versions), progress)
        if keep_rest is not None:
            found = _with_rest(found, candidates, locks, keep_rest, progress)
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"Interrupted; {counted(len(trials), 'candidate')} tried so far.",
            fix="run the same command again: it continues from there",
            saved=trials.path if len(trials) else None,
        ) from stop
    return replace(
        found,
        good=good,
        bad=bad,
        models=tuple(models),
        trials=candidates.trials,
        refused=candidates.refused,
        elsewhere=elsewhere(*locks),
        not_compared=not_compared(project, models),
        seconds=time.perf_counter() - clock,
    )


def write_kept(found: Bisection) -> None:
    """Write the lock file without the culprits, where it was found green. Raises StorageError."""
    if found.keep_rest is not None and found.kept_text:
        write_atomically(found.keep_rest, found.kept_text)


def _writable(path: Path) -> bool:
    """As far as can be checked before hours of work; missing folders are made later."""
    above = next(folder for folder in path.absolute().parents if folder.exists())
    return not path.is_dir() and above.is_dir() and os.access(above, os.W_OK)


def _trials_path(
    locks: Sequence[Lock], goldens: Sequence[Golden], archives: Sequence[Archive], environments: Environments
) -> Path:
    """The file for the trials of these lock files, goldens and archives: another golden is another bisection."""
    key = hashlib.sha256(json.dumps([__version__, *map(environments.digest, locks)]).encode())
    for golden, archived in zip(goldens, archives, strict=True):
        key.update(f"{golden.model} {archived.digest}".encode())
        for path in (golden.folder / "expected.csv", golden.folder / "tolerance.toml"):
            key.update(path.read_bytes() if path.exists() else b"")
        for drawing in golden.drawings:
            key.update(f"{drawing.id} {drawing.content_type}".encode())
            key.update(content_of(drawing))
    return cache_folder() / "bisect" / f"{key.hexdigest()[:32]}.jsonl"


def _search(candidates: Candidates, versions: Versions, order: Sequence[str], progress: Progress) -> Bisection:
    """Both ends, then the search. The ends are checked with every drawing, candidates with those that fail in BAD.

    The rest is checked with every drawing again: where another one fails then, the search continues with that.
    """
    found = Bisection(Path(), Path(), (), versions, (), (), None, 0.0)
    good = candidates.trial(frozenset())
    progress.note(_progress_line(good, "the good lock file"))
    if good.outcome is not TrialOutcome.GREEN:
        raise _good_not_green(good)
    end = bad = candidates.bad()
    progress.note(_progress_line(bad, "the bad lock file"))
    if bad.outcome is TrialOutcome.GREEN:
        return replace(found, rest=bad)
    if not order:
        raise UsageError(
            f"The bad lock file is {bad.outcome}, and pins the same as the good one: no package is the cause.",
            fix="Look at the models themselves: run goldmar check --lock with either file a few times",
        )
    needs = candidates.needs(order)
    culprits: list[CulpritSet] = []
    left = list(order)
    while True:
        candidates.only(end)
        search = Search(partial(_test, candidates, end, progress), needs)
        more = [_culprit_set(culprit, candidates, search) for culprit in search.all(left)]
        culprits += more
        blamed = {name for culprit in culprits for name in culprit.packages}
        kept = search.shrunk(frozenset(order) - blamed)
        rest = candidates.trial(kept, whole=True)
        if not more or rest.outcome is not TrialOutcome.RED:
            break
        end, left = rest, [name for name in left if name in kept]
    together = {name: (tuple(sorted(more)), candidates.refusal(frozenset([name]))) for name, more in needs.items()}
    return replace(found, culprits=tuple(culprits), rest=rest, together=together)


def _test(candidates: Candidates, end: Trial, progress: Progress, taken: frozenset[str]) -> Outcome:
    if taken == frozenset(end.taken):
        return _outcome(end, end)
    known = candidates.known(taken)
    trial = candidates.trial(taken)
    if not known:
        progress.note(_progress_line(trial, some(sorted(taken), 4)))
    return _outcome(trial, end)


def _with_rest(
    found: Bisection, candidates: Candidates, locks: tuple[Lock, Lock], path: Path, progress: Progress
) -> Bisection:
    """With the trial of the bad lock file whose culprits are held back, and its text where that is green."""
    rest = found.rest
    back = frozenset(found.changes) - frozenset(rest.taken if rest is not None and found.culprits else found.changes)
    found = replace(found, keep_rest=path, held_back=tuple(sorted(back)), kept=rest)
    if rest is None or rest.outcome is not TrialOutcome.GREEN:
        return found
    good, bad = (lock.path.read_bytes().decode("utf-8-sig") for lock in locks)
    text = held_back(good, bad, back)
    lock = replace(parse_lock(text, path), trusted=locks[1].trusted)
    kept = frozenset(found.changes) - back
    if changes(lock, candidates.lock(kept)):
        why = "its content is not the candidate that was tried"
        return replace(found, kept=replace(rest, outcome=TrialOutcome.UNINSTALLABLE, worst=None, reason=why))
    trial = candidates.of(lock, kept)
    progress.note(_progress_line(trial, str(path)))
    return replace(found, kept=trial, kept_text=text if trial.outcome is TrialOutcome.GREEN else "")


def _outcome(trial: Trial, bad: Trial) -> Outcome:
    """Whether a candidate shows the failure of the bad lock file: red, or broken in the same way."""
    if trial.outcome is TrialOutcome.UNINSTALLABLE:
        return Outcome.UNRESOLVED
    if bad.outcome is TrialOutcome.BROKEN:
        if trial.outcome is not TrialOutcome.BROKEN:
            return Outcome.PASS
        return Outcome.FAIL if breakage(trial) == breakage(bad) else Outcome.UNRESOLVED
    if trial.outcome is TrialOutcome.BROKEN:
        return Outcome.UNRESOLVED
    return Outcome.FAIL if trial.outcome is TrialOutcome.RED else Outcome.PASS


def _culprit_set(culprit: Culprit[str], candidates: Candidates, search: Search[str]) -> CulpritSet:
    """The culprit with its trials, and those of each package alone, where there are several."""
    packages = culprit.changes
    alone = {}
    if len(packages) > 1:
        for name in packages:
            grown = search.grown(frozenset([name]))
            if grown < frozenset(packages):
                search.outcome(grown)
                alone[name] = candidates.trial(grown)
    without = {name: None if tried is None else candidates.trial(tried[0]) for name, tried in culprit.without.items()}
    return CulpritSet(
        packages=packages,
        trial=candidates.trial(frozenset(packages)),
        without=without,
        alone=alone,
        proven=all(tried is None or tried[1] is Outcome.PASS for tried in culprit.without.values()),
    )


def _order(project: Project, locks: Sequence[Lock], models: Sequence[str], versions: Versions) -> list[str]:
    there = survey(project)
    files = [str(folder / REQUIREMENTS) for model in models for folder in there.model(model).handlers]
    roots = {name for path in files for name in asked_for(path, on_disk).names}
    return by_suspicion(versions, roots, frozenset().union(*(closure(lock, roots) for lock in locks)))


def _good_not_green(good: Trial) -> GoldmarError:
    if good.outcome is TrialOutcome.BROKEN:
        what, _, detail = good.reason.partition("\n")
        died = "died" in what
        return (WorkerDiedError if died else NotReadyError)(
            f"The good lock file breaks the models by itself: {what}",
            fix="Name a lock file with which goldmar check --lock is green",
            model=min(good.failed, default=None),
            detail=detail or None,
        )
    lines = [
        f"{model} {failure.drawing_id} {failure.name}: {failure.kind.value}, "
        f"want {failure.want!r}, got {failure.got!r} {failure.detail}".rstrip()
        for model, failure in good.failures[:5]
    ]
    drawings = sum(map(len, good.failed.values()))
    return UsageError(
        f"The good lock file is not green: {drawings} drawings differ from their goldens with it.",
        fix="Name a lock file with which goldmar check --lock is green; were the two given in the wrong order?",
        detail="\n".join(lines),
    )


def _progress_line(trial: Trial, what: str) -> str:
    worst = "" if trial.worst is None else f", worst value {trial.worst:.3g} of what is allowed"
    again = ", remembered" if trial.remembered else ""
    why = "" if not trial.reason else f": {trial.reason.splitlines()[0]}"
    return f"{what}: {trial.outcome}{worst}{why} ({trial.seconds:.1f} s{again})"
