"""The frozen records that travel between the floors of the package. They hold data and decide nothing."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol, Self, overload

__all__ = [
    "Answer",
    "Ask",
    "Bisection",
    "CategoricalColumn",
    "Comparison",
    "CulpritSet",
    "DifferenceKind",
    "Drawing",
    "Endpoint",
    "Explanation",
    "ModelResult",
    "NameSummary",
    "Part",
    "Prediction",
    "Provenance",
    "RunResult",
    "Selection",
    "Stage",
    "Staged",
    "Tolerance",
    "Trial",
    "TrialOutcome",
    "Value",
    "Values",
    "Verdict",
    "Vocabulary",
    "compact",
]

Value = float | int | str | bool | None
"""One leaf of a JSON answer."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A file to send as it is. `id` is its path under `drawings/` without the suffix.

    It is the body of the request, or the file in the form field `field` of a multipart body where that is not empty.
    `size` is how many bytes it had when it was found; more than that are not sent.
    """

    id: str
    path: Path
    content_type: str
    field: str = ""
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where predictions are asked for: POST `<url>/predictions/<model>[/<version>]`.

    `path` takes the place of what follows the URL; `{model}` and `{version}` in it are filled in. `named` says that the
    user named this server, which may then be asked at a path of its own; one that goldmar started is TorchServe.

    `headers` may hold a token and is therefore never shown by `repr`.
    `verify` is True, False or the path of a CA bundle, as in requests.
    `management_url` is None where only the inference port can be reached.
    """

    url: str
    management_url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    management_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True
    timeout_s: float = 120.0
    named: bool = False
    path: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one drawing, before anything is made of it.

    `headers` are looked up by lower-case name and empty where the way to the model has none.
    """

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Ask(Protocol):
    """A way to ask the named model about one drawing that is not HTTP. Raises ServerError when nothing can answer.

    `headers` are those of the request beside its content type; left out where there are none.
    """

    def __call__(self, model: str, drawing: Drawing, headers: Mapping[str, str] = ..., /) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Prediction:
    """One drawing's answer, flattened.

    `values` maps the path of each leaf (`scores.flange`, `boxes[0].x0`) to its value and is empty where the model
    refused the drawing or failed on it; `problem` then says why in one sentence.
    """

    drawing_id: str
    values: Mapping[str, Value]
    status: int
    latency_s: float
    attempts: int = 1
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One array, number or text of a stage, as handlers/common/stages.py describes it.

    `name` is its path in the stage's value, empty for a bare one. `dtype` is numpy's, little-endian; `text` for a text
    and `file` for a drawing as it is sent. `data` is what the digest is of, compressed with bz2: the bytes in C order,
    or UTF-8; None where it is not at hand. With `step` it holds every step-th element alone.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str
    summary: Mapping[str, float] = field(default_factory=dict)
    data: bytes | None = None
    step: int = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """What a drawing looked like after one stage: decode, preprocess, inference, postprocess."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Staged:
    """One drawing's stages, in order. `problem` says why there are none, or why they end early."""

    drawing_id: str
    stages: tuple[Stage, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a failing drawing parts from what was kept: the first stage that differs, and how.

    `stage` is empty where none can be named; `detail` then says why.
    """

    drawing_id: str
    stage: str
    detail: str


class CategoricalColumn(Sequence[str]):
    """A column of texts that repeat: each different text once, and for each row the number of its text.

    Reads like a list of strings and does not change. A million rows take eight megabytes, and two such columns are
    joined by numbers.
    """

    __slots__ = ("categories", "codes")

    def __init__(self, texts: Sequence[str], codes: "array[int]") -> None:
        self.categories = tuple(texts)  # no text twice
        self.codes = codes  # of type "q"

    @classmethod
    def of(cls, column: Iterable[str]) -> Self:
        """Number the texts in the order of their first sight."""
        numbers = Vocabulary()
        codes = array("q", map(numbers.__getitem__, column))
        return cls(tuple(numbers), codes)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> list[str]: ...

    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self.categories[code] for code in self.codes[row]]
        return self.categories[self.codes[row]]

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[str]:
        return map(self.categories.__getitem__, self.codes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"CategoricalColumn({len(self)} rows, {len(self.categories)} different)"


class Vocabulary(dict[str, int]):
    """Text -> its number, given in the order of first sight: look a text up and it has one."""

    def __missing__(self, text: str) -> int:
        self[text] = code = len(self)
        return code


@dataclass(frozen=True, slots=True)
class Values:
    """Long-format values as three columns of equal length; one row a value.

    Lists will do. `Values.of` makes columns that take less memory and compare faster, which counts from a hundred
    thousand rows on.
    """

    drawing_ids: Sequence[str]
    names: Sequence[str]
    values: Sequence[Value]

    @classmethod
    def of(cls, drawing_ids: Iterable[str], names: Iterable[str], values: Sequence[Value]) -> Self:
        """Columns in their compact form: texts numbered, and floats, where there is nothing else, as an array."""
        return cls(CategoricalColumn.of(drawing_ids), CategoricalColumn.of(names), compact(values))

    def __len__(self) -> int:
        return len(self.values)


def compact(values: Sequence[Value]) -> Sequence[Value]:
    """The same values as an array of doubles, where each of them is a float; otherwise as they are."""
    try:
        # conjugate gives a float back as it is, and refuses what is none: an integer or a boolean stays what it is.
        return array("d", map(float.conjugate, values))  # type: ignore[arg-type]
    except TypeError:
        return values


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A float passes when |got - want| <= atol + rtol * |want|; `exact` asks for equality.

    `exact` None means the default of the type: integers exact, floats within tolerance.
    """

    atol: float = 0.0
    rtol: float = 0.0
    exact: bool | None = None


class DifferenceKind(StrEnum):
    """Why a value does not pass; the report has words for each."""

    DIFFERENT = "different"
    MISSING_DRAWING = "missing drawing"  # in the golden, not asked or no file
    EXTRA_DRAWING = "extra drawing"  # asked, not in the golden
    MISSING_VALUE = "missing value"  # in the golden, not in the answer
    EXTRA_VALUE = "extra value"  # in the answer, not in the golden
    CHANGED_TYPE = "changed type"
    NOT_FINITE = "not finite"  # NaN or infinity that the golden does not have
    NO_ANSWER = "no answer"  # the model refused the drawing or failed on it
    OTHER_VERSION = "other version"  # what is served is not the version that the golden is of
    EMPTY_GOLDEN = "empty golden"
    NOTHING_COMPARED = "nothing compared"
    NOT_ASKED = "not asked"  # the model was never asked
    DUPLICATE_KEY = "duplicate key"  # one drawing and name twice, in the golden or in the answers
    WITHIN = "within tolerance"  # passes; only in ModelResult.closest


@dataclass(frozen=True, slots=True)
class Comparison:
    """One value (or drawing, or model) that does not pass. `name` is empty where the whole drawing is meant.

    `difference` is |got - want|; `allowed` is atol + rtol * |want|; both None where they make no sense.
    """

    kind: DifferenceKind
    drawing_id: str
    name: str = ""
    want: Value = None
    got: Value = None
    difference: float | None = None
    allowed: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NameSummary:
    """All values that share a tolerance pattern (or the default), compared.

    The worst errors are over the finite numbers on both sides: |got - want| and |got - want| / |want|. `atol_needed` is
    the smallest atol that passes every number held within tolerance, with rtol as it is; `rtol_needed` likewise with
    atol kept (infinite where no rtol would do). `beyond` counts the failures that no tolerance would pass: strings,
    exact integers, changed types, NaN; values that have no partner are in none of the counts.
    """

    pattern: str
    tolerance: Tolerance
    values: int
    failed: int
    worst_absolute: float
    worst_relative: float
    atol_needed: float
    rtol_needed: float
    beyond: int = 0


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model held against its golden.

    `drawings` and `values` count what was compared; `failures` lists everything that does not pass.
    `closest` lists the passing floats nearest to their limit, so that a green report still shows its margin.
    `drawing_ids` are all that were asked or expected, sorted.
    `explanations` has one for each failing drawing, where they were asked for.
    `version` is what was served, empty where nobody tells; `golden_version` what the golden was approved of.
    `request` says in words how the model was asked, where that was not as TorchServe has it.
    """

    model: str
    drawings: int
    values: int
    failures: tuple[Comparison, ...]
    summaries: tuple[NameSummary, ...] = ()
    closest: tuple[Comparison, ...] = ()
    latencies_s: tuple[float, ...] = ()
    retries: int = 0
    version: str = ""
    archive_digest: str = ""
    seconds: float = 0.0
    obtained: Path | None = None
    drawing_ids: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    golden_version: str = ""
    request: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunResult:
    """A whole run, as the reports show it.

    `not_compared` are the other models of the project: each with the reason why it has no golden on purpose, or with an
    empty text where it was not asked for. None where a run is not about a project's models.
    """

    models: tuple[ModelResult, ...]
    backend: str
    url: str
    started: datetime
    seconds: float
    packages: Mapping[str, str] = field(default_factory=dict)
    not_compared: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a golden or an obtained file comes from.

    `archive_digest` and `packages` are empty where a foreign server does not tell. `approved_*` and `reason` are
    empty until `approve` fills them in. `csv_sha256` is of the CSV that it belongs to, in hexadecimal.
    """

    model: str
    version: str
    archive_digest: str
    backend: str
    url: str
    obtained_at: datetime
    python: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    approved_by: str = ""
    approved_at: datetime | None = None
    reason: str = ""
    csv_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate says, and why. `reasons` is empty when it passes."""

    passed: bool
    reasons: tuple[str, ...] = ()


class TrialOutcome(StrEnum):
    """What one mix of two lock files shows."""

    GREEN = "green"
    RED = "red"
    BROKEN = "broken"  # a worker dies, a package cannot be imported: nothing was compared
    UNINSTALLABLE = "uninstallable"  # the resolver refuses it: no environment was built


@dataclass(frozen=True, slots=True)
class Trial:
    """One mix of two lock files: the good one with the packages `taken` as the bad one has them.

    `worst` is the largest |difference| / allowed of all numbers: 1 is the limit, infinite where a failure has no
    number; None where nothing was compared. `failures` are the worst, each with its model; `failed` has every failing
    drawing of each model. `reason` says why it is broken or uninstallable. `environment` tells what was installed, file
    by file. `remembered` from an earlier run.
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
    package can be left out: each mix without one was tried and is not red.
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
    has those that the resolver refuses alone: the packages they cannot move without, and its own words. `refused`
    counts the mixes that it turned down. `rest` is the trial of the bad lock file with all culprits taken back, asked
    about every drawing. `elsewhere` are pins that differ for other platforms alone, of which nothing was tried here;
    `not_compared` the models that nobody asked, with the reason where they have no golden on purpose.
    `keep_rest` is the file that was to hold what is innocent, `kept` the trial of its content, `held` the changes that
    it holds back, `kept_text` that content, where it is green.
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
    held: tuple[str, ...] = ()
    kept_text: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a change reaches, and the change.

    `models` are those that are reached, sorted by name, each with its own reasons in words; `everything` says why all
    are, and is empty where only some are. `deleted` are models that the change takes away. `passed_over` are paths, or
    packages in one, that reach no model, with the reason. `known` counts the models, `touched` the paths that differ.
    `bases` are the merge bases with `base`, both empty where every model was asked for; `head` is a commit, empty for
    the working tree.
    """

    models: Mapping[str, Sequence[str]] = field(default_factory=dict)
    everything: Sequence[str] = ()
    deleted: Sequence[str] = ()
    passed_over: Sequence[tuple[str, str]] = ()
    known: int = 0
    touched: int = 0
    base: str = ""
    bases: Sequence[str] = ()
    head: str = ""
