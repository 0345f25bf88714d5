"""What a bisection between two lock files has tried and found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from goldmar.records.comparison import Comparison


class TrialOutcome(StrEnum):
    """What one candidate shows."""

    GREEN = "green"
    RED = "red"
    BROKEN = "broken"  # a worker dies, a package cannot be imported: nothing was compared
    UNINSTALLABLE = "uninstallable"  # the resolver refuses it: no environment was built


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate: the good lock file with the packages `taken` from the bad one.

    `worst` is the largest |difference| / allowed of all numbers: 1 is the limit, infinite where a failure has no
    number; None where nothing was compared. `failures` are the worst, each with its model; `failed` has every failing
    drawing of each model. `reason` says why it is broken or uninstallable. `environment` is the digest of the installed
    files. `remembered`: the trial is of an earlier run.
    """

    taken: tuple[str, ...]
    outcome: TrialOutcome
    worst: float | None = None
    failures: tuple[tuple[str, Comparison], ...] = ()
    failed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reason: str = ""
    seconds: float = 0.0
    environment: str = ""
    remembered: bool = False


@dataclass(frozen=True, slots=True)
class CulpritSet:
    """Packages that turn the check red together.

    `trial` is of these alone. `without` has for each package the trial of the others, None where they cannot be
    installed without it; `alone` the trial of that package alone, where it was tried. `proven` says that no single
    package can be left out: each candidate without one was tried and is not red.
    """

    packages: tuple[str, ...]
    trial: Trial
    without: Mapping[str, Trial | None] = field(default_factory=dict)
    alone: Mapping[str, Trial] = field(default_factory=dict)
    proven: bool = True


@dataclass(frozen=True, slots=True)
class Bisection:
    """What `goldmar bisect` found between two lock files. `culprits` is empty where the bad one is green.

    `changes` maps a package to its versions in the good and the bad lock file, None where it is not there. `together`
    has those that the resolver refuses alone: the packages they cannot move without, and its reason. `refused` counts
    the candidates that it refused. `rest` is the trial of the bad lock file with all culprits taken back, checked with
    every drawing. `elsewhere` are pins that differ for other platforms only, of which nothing was tried here;
    `not_compared` the models that were not checked, with the reason where they have no golden on purpose.
    `keep_rest` is the lock file without the culprits, `kept` the trial of its content, `held_back` the changes that it
    leaves out, `kept_text` that content, where it is green.
    """

    good: Path
    bad: Path
    models: tuple[str, ...]
    changes: Mapping[str, tuple[str | None, str | None]]
    trials: tuple[Trial, ...]
    culprits: tuple[CulpritSet, ...]
    rest: Trial | None
    seconds: float
    together: Mapping[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    refused: int = 0
    elsewhere: tuple[str, ...] = ()
    not_compared: Mapping[str, str] = field(default_factory=dict)
    keep_rest: Path | None = None
    kept: Trial | None = None
    held_back: tuple[str, ...] = ()
    kept_text: str = ""
