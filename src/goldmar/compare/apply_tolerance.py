"""Apply the tolerance to each pair of values: the expected one and the obtained one."""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldmar.compare.join import Joined, Rows
from goldmar.config import Tolerances
from goldmar.records import Tolerance, Value, Values, compact

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

TYPES = ("a boolean", "an integer", "a float", "a string", "null")
"""The types of a value, by their code."""
_INTEGER, _FLOAT = 1, 2
_EXACT_IN_FLOAT = 2**53


@dataclass(frozen=True, slots=True)
class PairOutcomes:
    """The outcome for each pair, as columns in the order of the pairs.

    `numeric`: finite numbers on both sides; only there `difference` (|got - want|) and `size` (|want|) mean something.
    `by_tolerance`: those of them that may differ within a tolerance; only there `allowed` is more than 0.
    `other_type`: the type is not that of the golden. `pattern` is the row of `patterns` that applies to the pair.
    """

    failed: Flags
    numeric: Flags
    by_tolerance: Flags
    other_type: Flags
    difference: Floats
    size: Floats
    allowed: Floats
    pattern: Rows
    patterns: tuple[tuple[str, Tolerance], ...]

    @staticmethod
    def relative(difference: Floats, size: Floats) -> Floats:
        """|got - want| / |want|; 0 / 0 counts as 0."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = difference / size
        share[np.isnan(share)] = math.inf  # integers too large for a float
        return np.where(difference == 0, 0.0, share)

    def nearest(self, count: int) -> list[int]:
        """The pairs that pass with a difference, nearest to their limit first."""
        passed = self.by_tolerance & ~self.failed
        rows = np.flatnonzero(passed & (self.difference > 0) & np.isfinite(self.difference))
        with np.errstate(under="ignore"):
            share = self.difference[rows] / self.allowed[rows]
        if rows.size > count:
            best = np.argpartition(share, -count)[-count:]
            rows, share = rows[best], share[best]
        return [int(row) for row in rows[np.argsort(-share, kind="stable")]]


def apply_tolerance(golden: Values, obtained: Values, joined: Joined, tolerances: Tolerances) -> PairOutcomes:
    """Decide for each pair whether it passes. The rules are those of `goldmar.compare.compare`."""
    patterns, pattern_of_name = _patterns(joined.names, tolerances)
    pattern = pattern_of_name[joined.pair_names]
    always = np.array([tolerance.exact is True for _, tolerance in patterns], np.bool_)[pattern]
    never = np.array([tolerance.exact is False for _, tolerance in patterns], np.bool_)[pattern]

    want = _Side(golden.values, joined.golden_rows)
    got = _Side(obtained.values, joined.obtained_rows)
    both_numbers = want.is_number & got.is_number
    same_type = want.types == got.types
    integers = same_type & (want.types == _INTEGER)
    tolerant = both_numbers & (never | (same_type & ~integers & ~always))
    finite = both_numbers & want.is_finite & got.is_finite

    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        size = np.abs(want.numbers)
        difference = np.abs(got.numbers - want.numbers)
        allowed = _per_pair([t.rtol for _, t in patterns], pattern) * size
        allowed += _per_pair([t.atol for _, t in patterns], pattern)
        # Nothing is allowed around an infinity: atol + rtol * inf would let every finite number pass.
        equal = (want.numbers == got.numbers) | (np.isnan(want.numbers) & np.isnan(got.numbers))
        equal &= want.is_finite == got.is_finite  # 10**400 is no infinity, though float64 makes it one
        passed = np.where(tolerant & finite, (difference <= allowed) & np.isfinite(difference), equal & both_numbers)
    passed &= same_type | tolerant

    # What float64 cannot hold: texts, booleans, null by equality; large integers by exact arithmetic.
    for pair in np.flatnonzero(same_type & ~both_numbers).tolist():
        passed[pair] = want.value(pair) == got.value(pair)
    for pair in np.flatnonzero((want.is_large | got.is_large) & (integers | (tolerant & finite))).tolist():
        exact_difference = abs(Fraction(got.value(pair)) - Fraction(want.value(pair)))
        tolerance = patterns[pattern[pair]][1]
        limit = Fraction(tolerance.atol) + Fraction(tolerance.rtol) * abs(Fraction(want.value(pair)))
        passed[pair] = exact_difference <= limit if tolerant[pair] else exact_difference == 0
        difference[pair], allowed[pair] = _float(exact_difference), _float(limit)

    allowed[~(tolerant & finite)] = 0.0
    return PairOutcomes(
        failed=~passed,
        numeric=finite & (same_type | tolerant),
        by_tolerance=tolerant & finite,
        other_type=~(same_type | tolerant),
        difference=difference,
        size=size,
        allowed=allowed,
        pattern=pattern,
        patterns=patterns,
    )


class _Side:
    """The values of one side, in the order of the pairs."""

    def __init__(self, values: Sequence[Value], rows: Rows) -> None:
        self._values, self._rows = values, rows
        values = values if isinstance(values, array) else compact(values)
        if isinstance(values, array):
            self.numbers = np.frombuffer(values, np.float64)[rows]
            self.types = np.full(len(rows), _FLOAT, np.int8)
            self.is_number = np.full(len(rows), True)
            self.is_large = np.full(len(rows), False)
            self.is_finite = np.isfinite(self.numbers)
            return
        python_types = set(map(type, values))
        codes = {python_type: _code(python_type) for python_type in python_types}
        self.types = np.fromiter(map(codes.__getitem__, map(type, values)), np.int8, len(values))[rows]
        self.is_number = (self.types == _INTEGER) | (self.types == _FLOAT)
        self.is_large = np.full(len(rows), False)
        self.numbers = np.full(len(rows), np.nan)
        numbers = np.flatnonzero(self.is_number)
        self.numbers[numbers] = [_float(values[row]) for row in rows[numbers]]
        # An integer is finite, however many digits it has: as a float it may not be.
        self.is_finite = np.isfinite(self.numbers) | (self.types == _INTEGER)
        self.is_large[numbers] = (self.types[numbers] == _INTEGER) & (np.abs(self.numbers[numbers]) >= _EXACT_IN_FLOAT)

    def value(self, pair: int) -> Any:
        return self._values[self._rows[pair]]


_PYTHON_TYPES: tuple[type, ...] = (bool, int, float, str, type(None))  # a boolean is an int too, and not meant as one


def type_name(value: Value) -> str:
    """The name of the type of a value."""
    return TYPES[_code(type(value))]


def _code(python_type: type) -> int:
    for code, known in enumerate(_PYTHON_TYPES):
        if issubclass(python_type, known):
            return code
    msg = f"{python_type.__name__} is no value of a JSON answer"
    raise TypeError(msg)


def _float(number: float | Fraction) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _per_pair(numbers: list[float], pattern: Rows) -> Floats:
    return np.array(numbers, np.float64)[pattern]


def _patterns(names: list[str], tolerances: Tolerances) -> tuple[tuple[tuple[str, Tolerance], ...], Rows]:
    found: dict[tuple[str, Tolerance], int] = {}
    codes = [found.setdefault(tolerances.for_name(name), len(found)) for name in names]
    return tuple(found), np.array(codes, np.int64)
