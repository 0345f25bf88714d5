"""Both ways over drawings and values; every way not to pass has its own kind; the needed tolerance is exact."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from goldmar.compare import atol_needed, compare, rtol_needed
from goldmar.config import Tolerances
from goldmar.records import DifferenceKind, Tolerance, Values

LOOSE = Tolerances(Tolerance(1e-3, 1e-3))


def cells(table):
    """{("a", "x"): 1.0} as columns."""
    return Values([key[0] for key in table], [key[1] for key in table], list(table.values()))


def run(golden, obtained, tolerances=LOOSE, *, asked=None, problems=None):
    golden = golden if isinstance(golden, Values) else cells(golden)
    obtained = obtained if isinstance(obtained, Values) else cells(obtained)
    if asked is None:
        asked = sorted({*golden.drawing_ids, *obtained.drawing_ids})
    return compare(golden, obtained, tolerances, model="m", drawings=asked, problems=problems or {})


def kinds(result):
    return [(failure.kind, failure.drawing_id, failure.name) for failure in result.failures]


def one(want, got, tolerance=LOOSE.default):
    """The failure of one pair, or None."""
    result = run({("a", "x"): want}, {("a", "x"): got}, Tolerances(tolerance))
    assert (result.drawings, result.values) == (1, 1)
    assert len(result.failures) <= 1
    assert result.summaries[0].failed == len(result.failures)
    for failure in result.failures:
        assert failure.detail
        assert (failure.drawing_id, failure.name) == ("a", "x")
        assert failure.want is want
        assert failure.got is got or failure.got == got
    return result.failures[0] if result.failures else None


# ---- what passes ----------------------------------------------------------------------------------------------------


def test_the_order_of_rows_is_of_no_matter():
    golden = {(f"d{i}", f"n{j}"): i + j / 7 for i in range(9) for j in range(5)}
    rows = list(golden.items())
    random.Random(1).shuffle(rows)
    result = run(golden, dict(rows), Tolerances())
    assert result.failures == ()
    assert (result.drawings, result.values) == (9, 45)
    assert result.drawing_ids == tuple(f"d{i}" for i in range(9))


def test_columns_of_numbers_and_lists_compare_alike():
    golden = cells({("a", "x"): 1.0, ("b", "x"): 2.0, ("b", "y"): 3.0})
    obtained = cells({("b", "x"): 2.5, ("a", "x"): 1.0, ("c", "x"): 1.0, ("b", "z"): 1.0})
    compact = [Values.of(side.drawing_ids, side.names, side.values) for side in (golden, obtained)]
    assert run(golden, obtained) == run(*compact) == run(golden, compact[1]) == run(compact[0], obtained)


@pytest.mark.parametrize(
    ("want", "got"),
    [
        (1.0, 1.0019),
        (1.0, 0.9981),
        (0.0, 0.001),
        (-0.0, 0.0),
        (math.nan, math.nan),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        (1e308, 1.0009e308),
        (5e-324, 0.0),
        (7, 7),
        (2**70, 2**70),
        ("flange", "flange"),
        ("", ""),
        (True, True),
        (None, None),
    ],
)
def test_what_passes(want, got):
    assert one(want, got) is None


def test_names_that_only_look_alike_are_two():
    """Keys are compared themselves: neither joined with a separator nor hashed."""
    golden = {
        ("a", "b/c"): 1.0,
        ("a/b", "c"): 2.0,
        ("a", "bc"): 3.0,
        ("ab", "c"): 4.0,
        ("\u00e9", "x"): 5.0,
        ("e\u0301", "x"): 6.0,
    }
    assert run(golden, golden, Tolerances()).values == 6


@pytest.mark.parametrize("spread", [1, 400])
def test_each_drawing_may_have_names_of_its_own(spread):
    """Dense and sparse keys join alike: with names of their own, most keys do not exist."""
    golden = {(f"d{i}", f"n{i * spread}"): float(i) for i in range(600)}
    obtained = {key: value for key, value in golden.items() if key[0] != "d7"} | {("d8", "new"): 1.0}
    result = run(golden, obtained, asked=[f"d{i}" for i in range(600)])
    assert kinds(result) == [(DifferenceKind.NO_ANSWER, "d7", ""), (DifferenceKind.EXTRA_VALUE, "d8", "new")]
    assert result.values == 599


# ---- what does not, one kind each -----------------------------------------------------------------------------------


def test_a_drawing_that_was_not_asked_is_missing():
    result = run({("a", "x"): 1.0, ("b", "x"): 1.0, ("b", "y"): 1.0}, {("a", "x"): 1.0}, asked=["a"])
    assert kinds(result) == [(DifferenceKind.MISSING_DRAWING, "b", "")]
    assert (result.drawings, result.values) == (1, 1)
    assert result.drawing_ids == ("a", "b")


def test_a_drawing_that_the_golden_does_not_have_is_extra():
    result = run({("a", "x"): 1.0}, {("a", "x"): 1.0, ("b", "x"): 1.0})
    assert kinds(result) == [(DifferenceKind.EXTRA_DRAWING, "b", "")]
    assert "not in the golden" in result.failures[0].detail


def test_an_answer_to_a_drawing_that_was_not_asked_is_extra():
    result = run({("a", "x"): 1.0}, {("a", "x"): 1.0, ("b", "x"): 1.0}, asked=["a"])
    assert kinds(result) == [(DifferenceKind.EXTRA_DRAWING, "b", "")]
    assert "not asked" in result.failures[0].detail


def test_a_missing_value():
    result = run({("a", "x"): 1.0, ("a", "y"): 2.0}, {("a", "x"): 1.0})
    assert kinds(result) == [(DifferenceKind.MISSING_VALUE, "a", "y")]
    assert result.failures[0].want == 2.0


def test_an_extra_value():
    result = run({("a", "x"): 1.0}, {("a", "x"): 1.0, ("a", "y"): None})
    assert kinds(result) == [(DifferenceKind.EXTRA_VALUE, "a", "y")]


def test_a_duplicate_key_in_the_golden():
    golden = Values(["a", "b", "a", "a"], ["x", "x", "x", "x"], [1.0, 1.0, 5.0, 1.0])
    result = run(golden, {("a", "x"): 1.0, ("b", "x"): 1.0})
    assert kinds(result) == [(DifferenceKind.DUPLICATE_KEY, "a", "x")]
    assert result.failures[0].detail == "3 times in the golden"
    assert result.values == 2


def test_a_duplicate_key_in_the_answers():
    obtained = Values(["a", "a"], ["x", "x"], [1.0, 1.0])
    result = run({("a", "x"): 1.0}, obtained)
    assert kinds(result) == [(DifferenceKind.DUPLICATE_KEY, "a", "x")]


def test_a_duplicate_extra_value_is_both():
    obtained = Values(["a", "a", "a"], ["x", "y", "y"], [1.0, 1.0, 2.0])
    assert kinds(run({("a", "x"): 1.0}, obtained)) == [
        (DifferenceKind.DUPLICATE_KEY, "a", "y"),
        (DifferenceKind.EXTRA_VALUE, "a", "y"),
    ]


def test_a_drawing_asked_twice():
    result = run({("a", "x"): 1.0}, {("a", "x"): 1.0}, asked=["a", "a"])
    assert kinds(result) == [(DifferenceKind.DUPLICATE_KEY, "a", "")]


def test_a_drawing_without_answer():
    result = run({("a", "x"): 1.0, ("b", "x"): 1.0}, {("b", "x"): 1.0}, problems={"a": "400: the PNG is cut short"})
    assert kinds(result) == [(DifferenceKind.NO_ANSWER, "a", "")]
    assert result.failures[0].detail == "400: the PNG is cut short"


def test_a_drawing_without_answer_is_one_even_if_values_came_or_none_were_expected():
    both = {("a", "x"): 1.0, ("b", "x"): 1.0}
    result = run(both, both, problems={"a": "cut short"})
    assert kinds(result) == [(DifferenceKind.NO_ANSWER, "a", "")]
    assert result.values == 1
    result = run({("b", "x"): 1.0}, {("b", "x"): 1.0}, asked=["a", "b"], problems={"a": "failed"})
    assert kinds(result) == [(DifferenceKind.NO_ANSWER, "a", "")]


def test_an_answer_without_values():
    result = run({("a", "x"): 1.0, ("b", "x"): 1.0}, {("b", "x"): 1.0})
    assert kinds(result) == [(DifferenceKind.NO_ANSWER, "a", "")]
    assert result.failures[0].detail == "the answer has no values"


def test_an_empty_golden():
    result = run({}, {("a", "x"): 1.0})
    assert kinds(result) == [(DifferenceKind.EMPTY_GOLDEN, "", ""), (DifferenceKind.EXTRA_DRAWING, "a", "")]
    assert (result.drawings, result.values) == (0, 0)


def test_a_model_that_was_never_asked():
    result = run({("a", "x"): 1.0}, {}, asked=[])
    assert kinds(result) == [(DifferenceKind.NOT_ASKED, "", ""), (DifferenceKind.MISSING_DRAWING, "a", "")]


def test_nothing_at_all():
    assert {failure.kind for failure in run({}, {}).failures} == {DifferenceKind.EMPTY_GOLDEN, DifferenceKind.NOT_ASKED}


def test_nothing_compared():
    result = run({("a", "x"): 1.0}, {("a", "y"): 1.0})
    assert kinds(result) == [
        (DifferenceKind.NOTHING_COMPARED, "", ""),
        (DifferenceKind.MISSING_VALUE, "a", "x"),
        (DifferenceKind.EXTRA_VALUE, "a", "y"),
    ]
    assert (result.drawings, result.values, result.summaries) == (0, 0, ())


@given(
    golden=st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), st.floats(-1, 1)),
    obtained=st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), st.floats(-1, 1)),
    asked=st.sets(st.sampled_from("abc")),
    problems=st.sets(st.sampled_from("abc")),
)
def test_only_what_was_compared_in_full_passes(golden, obtained, asked, problems):
    """Against the definition itself: no failure means the same keys, all asked, all answered, all near enough."""
    result = run(golden, obtained, asked=sorted(asked), problems=dict.fromkeys(problems, "failed"))
    near = all(key in obtained and abs(obtained[key] - want) <= 1e-3 + 1e-3 * abs(want) for key, want in golden.items())
    complete = golden and set(golden) == set(obtained) and {key[0] for key in golden} == asked and not problems
    assert (not result.failures) == bool(complete and near)
    assert result.values == sum(key in obtained and key[0] in asked and key[0] not in problems for key in golden)
    assert all(failure.detail for failure in result.failures)


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("got", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_in_the_answer_alone(got):
    for want in (1.0, 0.0, 1e308):
        assert one(want, got, Tolerance(1e300, 1e300)).kind is DifferenceKind.NOT_FINITE


@pytest.mark.parametrize(
    ("want", "got"), [(math.inf, -math.inf), (math.inf, math.nan), (math.nan, math.inf), (-math.inf, math.nan)]
)
def test_one_thing_not_finite_is_not_another(want, got):
    assert one(want, got, Tolerance(1e300, 1e300)).kind is DifferenceKind.NOT_FINITE


@pytest.mark.parametrize(("want", "got"), [(math.inf, 5.0), (-math.inf, 1e308), (math.nan, 0.0)])
def test_nothing_is_near_to_an_infinity(want, got):
    """atol + rtol * inf is infinite: by the bare rule every number would pass."""
    failure = one(want, got, Tolerance(1.0, 1.0))
    assert failure.kind is DifferenceKind.DIFFERENT
    assert failure.difference is None


TYPES = {"boolean": True, "integer": 1, "float": 1.0, "string": "1", "null": None}


@pytest.mark.parametrize("want", TYPES)
@pytest.mark.parametrize("got", TYPES)
def test_a_changed_type(want, got):
    """Python has True == 1 == 1.0; an answer has not."""
    failure = one(TYPES[want], TYPES[got], Tolerance(10.0, 10.0))
    if want == got:
        assert failure is None
    else:
        assert failure.kind is DifferenceKind.CHANGED_TYPE
        assert want in failure.detail
        assert got in failure.detail


@pytest.mark.parametrize("want", ["integer", "float"])
@pytest.mark.parametrize("got", TYPES)
def test_where_exact_is_false_a_number_is_a_number_and_nothing_else_is(want, got):
    failure = one(TYPES[want], TYPES[got], Tolerance(10.0, 10.0, exact=False))
    assert (failure is None) == (got in {"integer", "float"})


@pytest.mark.parametrize(
    ("want", "got"), [("flange", "Flange"), ("a", "a "), (True, False), (7, 8), (2**60, 2**60 + 1)]
)
def test_what_must_be_equal(want, got):
    failure = one(want, got, Tolerance(10.0, 10.0))
    assert failure.kind is DifferenceKind.DIFFERENT
    assert "must be equal" in failure.detail
    if isinstance(want, int) and not isinstance(want, bool):
        assert failure.difference == got - want
        assert failure.allowed == 0


@pytest.mark.parametrize(
    ("want", "got"), [(2**53, 2**53 + 1), (2**70, 2**70 + 1), (10**400, 10**400 + 1), (-(2**63), 2**63)]
)
def test_integers_that_no_float_tells_apart(want, got):
    assert one(want, got).kind is DifferenceKind.DIFFERENT
    assert one(want, got, Tolerance(0, 0, exact=False)).kind is DifferenceKind.DIFFERENT
    assert one(want, got, Tolerance(0.5, 0, exact=False)).kind is DifferenceKind.DIFFERENT
    assert one(want, got, Tolerance(0, 2.0, exact=False)) is None
    if got - want == 1:
        assert one(want, got, Tolerance(1.0, 0, exact=False)) is None


HUGE = [0, 1, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63, 10**308, 10**400, 10**400 + 1, -(10**400), 2 * 10**400]
HUGE += [0.5, float(2**53), 1e308, -1e308, math.inf, -math.inf, math.nan]


def by_the_rule(want, got, tolerance):
    """|got - want| <= atol + rtol * |want|, in exact arithmetic; nothing is near to what is not finite."""
    if not all(isinstance(value, int) or math.isfinite(value) for value in (want, got)):
        same = isinstance(want, float) and isinstance(got, float)
        return same and (want == got or (math.isnan(want) and math.isnan(got)))
    limit = Fraction(tolerance.atol) + Fraction(tolerance.rtol) * abs(Fraction(want))
    return abs(Fraction(got) - Fraction(want)) <= limit


@pytest.mark.parametrize("want", HUGE, ids=lambda value: f"{value:.3}" if isinstance(value, float) else hash(value))
@pytest.mark.parametrize("tolerance", [Tolerance(atol, rtol, exact=False) for atol, rtol in ((0, 0), (1, 0), (0, 1))])
def test_integers_beyond_floats_are_held_by_the_rule(want, tolerance):
    for got in HUGE:
        if not any(isinstance(value, int) and abs(value) >= 2**53 for value in (want, got)):
            continue  # held in the arithmetic of floats
        result = run({("a", "x"): want, ("a", "y"): 1.0}, {("a", "x"): got, ("a", "y"): 1.0}, Tolerances(tolerance))
        assert (not result.failures) is by_the_rule(want, got, tolerance), (want, got)
        for number in (result.summaries[0].worst_absolute, result.summaries[0].worst_relative):
            assert number >= 0
        assert all(math.isfinite(near.difference) for near in result.closest)


@pytest.mark.parametrize(("got", "passes"), [(12, True), (8, True), (13, False), (7, False)])
def test_integers_within_tolerance_where_exact_is_false(got, passes):
    failure = one(10, got, Tolerance(1.0, 0.1, exact=False))
    assert (failure is None) == passes


def test_floats_exactly():
    exact = Tolerance(exact=True)
    assert one(1.0, 1.0, exact) is None
    assert one(math.nan, math.nan, exact) is None
    assert one(0.0, -0.0, exact) is None
    failure = one(1.0, math.nextafter(1.0, 2.0), exact)
    assert failure.kind is DifferenceKind.DIFFERENT
    assert failure.difference == math.ulp(1.0)


def test_a_difference_too_large_for_a_float_fails():
    failure = one(1.5e308, -1.5e308, Tolerance(1e308, 1.0))
    assert failure.kind is DifferenceKind.DIFFERENT
    assert failure.difference == math.inf


FINITE = st.floats(allow_nan=False, allow_infinity=False)
TOLERANCE = st.floats(0, 1e300) | st.floats(0, 1) | st.just(0.0)


@given(want=st.floats(), got=st.floats(), atol=TOLERANCE, rtol=TOLERANCE)
def test_the_rule(want, got, atol, rtol):
    if math.isfinite(want) and math.isfinite(got):
        difference = abs(got - want)
        passes = difference <= atol + rtol * abs(want) and math.isfinite(difference)
    else:
        passes = want == got or (math.isnan(want) and math.isnan(got))
    assert (one(want, got, Tolerance(atol, rtol)) is None) == passes


@given(want=st.integers(), got=st.integers(), atol=st.floats(0, 1e6), rtol=st.floats(0, 2))
def test_the_rule_for_integers(want, got, atol, rtol):
    passes = abs(got - want) <= Fraction(atol) + Fraction(rtol) * abs(want)
    near = abs(abs(got - want) - (atol + rtol * abs(want))) <= 1e-9 * (1 + atol + abs(got - want))
    assume(not near or want == got)  # small integers are held in floats, which round
    assert (one(want, got, Tolerance(atol, rtol, exact=False)) is None) == passes


def test_something_that_no_answer_holds_is_an_error():
    with pytest.raises(TypeError, match="bytes is no value of a JSON answer"):
        run({("a", "x"): b"1"}, {("a", "x"): 1})


# ---- order of failures, summaries, closest --------------------------------------------------------------------------


def test_the_worst_comes_first():
    golden = {
        ("a", "far"): 1.0,
        ("a", "near"): 1.0,
        ("a", "nan"): 1.0,
        ("a", "text"): "x",
        ("a", "ok"): 1.0,
        ("b", "x"): 1.0,
    }
    obtained = {("a", "near"): 1.1, ("a", "far"): 9.0, ("a", "nan"): math.nan, ("a", "text"): "y", ("a", "ok"): 1.0}
    result = run(golden, obtained)
    assert [name for _, _, name in kinds(result)] == ["", "nan", "text", "far", "near"]
    assert result.failures[3].difference == 8.0
    assert result.failures[3].allowed == 0.002


def test_summaries_by_pattern():
    tolerances = Tolerances(Tolerance(0.5), (("s.*", Tolerance(0.0, 0.1)), ("never", Tolerance(1.0))))
    golden = {
        ("a", "x"): 1.0,
        ("a", "s.a"): 10.0,
        ("a", "s.b"): 2.0,
        ("b", "x"): 4.0,
        ("b", "label"): "l",
        ("b", "y"): 1.0,
    }
    obtained = {**golden, ("a", "x"): 1.75, ("b", "x"): 4.25, ("a", "s.a"): 12.5, ("b", "label"): "m"}
    result = run(golden, obtained, tolerances)
    by_pattern = {summary.pattern: summary for summary in result.summaries}
    assert set(by_pattern) == {"default", "s.*"}
    default, scores = by_pattern["default"], by_pattern["s.*"]
    assert (default.values, default.failed, default.beyond) == (4, 2, 1)
    assert (default.worst_absolute, default.worst_relative) == (0.75, 0.75)
    assert (default.atol_needed, default.rtol_needed) == (0.75, pytest.approx(0.25))
    assert (scores.values, scores.failed, scores.beyond) == (2, 1, 0)
    assert (scores.worst_absolute, scores.worst_relative) == (2.5, 0.25)
    assert (scores.atol_needed, scores.rtol_needed) == (pytest.approx(1.5), pytest.approx(0.25))
    assert scores.tolerance == Tolerance(0.0, 0.1)


def test_where_the_golden_is_zero_only_atol_helps():
    summary = run({("a", "x"): 0.0}, {("a", "x"): 0.25}).summaries[0]
    assert summary.worst_relative == math.inf
    assert summary.atol_needed == 0.25
    assert summary.rtol_needed == math.inf


def test_what_no_tolerance_passes_is_beyond():
    golden = {("a", "x"): 1.0, ("a", "y"): 1, ("a", "z"): 1.0, ("a", "w"): 1.0}
    obtained = {("a", "x"): math.nan, ("a", "y"): 2, ("a", "z"): "1", ("a", "w"): 1.0}
    summary = run(golden, obtained).summaries[0]
    assert (summary.values, summary.failed, summary.beyond) == (4, 3, 3)
    assert (summary.atol_needed, summary.rtol_needed) == (0.0, 0.0)
    assert summary.worst_absolute == 1.0


@given(
    pairs=st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=12),
    fixed=TOLERANCE,
)
def test_the_needed_tolerance_passes_and_the_next_smaller_float_does_not(pairs, fixed):
    want, got = np.array(pairs).T
    with np.errstate(over="ignore"):
        difference, size = np.abs(got - want), np.abs(want)

    def passes(atol, rtol):
        with np.errstate(over="ignore", under="ignore"):
            return bool(np.all((difference <= atol + rtol * size) & np.isfinite(difference)))

    largest = float(np.finfo(float).max)
    for needed, rule in (
        (atol_needed(difference, size, fixed), lambda number: passes(number, fixed)),
        (rtol_needed(difference, size, fixed), lambda number: passes(fixed, number)),
    ):
        if math.isinf(needed):
            assert not rule(largest)
            continue
        assert rule(needed)
        assert needed == 0 or not rule(math.nextafter(needed, -math.inf))


@given(want=st.lists(FINITE, min_size=1, max_size=6), shift=st.lists(st.floats(-2, 2), min_size=6, max_size=6))
def test_a_run_with_the_needed_tolerance_passes(want, shift):
    golden = {("a", f"n{i}"): value for i, value in enumerate(want)}
    obtained = {("a", f"n{i}"): value + shift[i] for i, value in enumerate(want)}
    tolerance = Tolerance(1e-6, 1e-6)
    summary = run(golden, obtained, Tolerances(tolerance)).summaries[0]
    assert run(golden, obtained, Tolerances(Tolerance(summary.atol_needed, tolerance.rtol))).failures == ()
    if math.isfinite(summary.rtol_needed):
        assert run(golden, obtained, Tolerances(Tolerance(tolerance.atol, summary.rtol_needed))).failures == ()


def test_closest_are_the_passing_values_nearest_to_their_limit():
    golden = {("a", f"n{i}"): 1.0 for i in range(20)}
    obtained = {("a", f"n{i}"): 1.0 + i / 16 for i in range(20)}
    result = run(golden, obtained, Tolerances(Tolerance(0.5)))
    assert [close.name for close in result.closest] == ["n8", "n7", "n6", "n5", "n4"]
    assert {close.kind for close in result.closest} == {DifferenceKind.WITHIN}
    assert (result.closest[0].difference, result.closest[0].allowed) == (0.5, 0.5)
    assert run(golden, golden).closest == ()
