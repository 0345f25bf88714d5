"""What was compared, by which rule, and what does not pass."""

from dataclasses import dataclass
from enum import StrEnum

from goldmar.records.values import Value

__all__ = ["Comparison", "DifferenceKind", "NameSummary", "Tolerance", "Verdict"]


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
class Verdict:
    """What a gate says, and why. `reasons` is empty when it passes."""

    passed: bool
    reasons: tuple[str, ...] = ()
