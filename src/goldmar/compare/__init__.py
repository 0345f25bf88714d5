"""Compare what a model answered with its golden. Pure functions: records in, records out.

`join` pairs the values, `apply_tolerance` decides about each pair, `needed` finds the tolerance that would pass,
`failures` gives the reason for each failure, and `first_difference` finds the first stage of a drawing that differs.
"""

from collections.abc import Mapping, Sequence

from goldmar.compare.apply_tolerance import Floats, PairOutcomes, apply_tolerance
from goldmar.compare.failures import drawing_failures, model_failures, value_failures
from goldmar.compare.join import Joined, join
from goldmar.compare.needed import atol_needed, rtol_needed
from goldmar.config import Tolerances
from goldmar.records import Comparison, DifferenceKind, ModelComparison, NameSummary, Values

__all__ = ["atol_needed", "compare", "rtol_needed"]

_CLOSEST = 5


def compare(
    golden: Values,
    obtained: Values,
    tolerances: Tolerances,
    *,
    model: str,
    drawings: Sequence[str],
    problems: Mapping[str, str],
) -> ModelComparison:
    """Compare both ways over the drawings and, in each drawing, over the values; the order of rows does not matter.

    Args:
        golden: the expected values.
        obtained: the answered values.
        tolerances: a float passes when |got - want| <= atol + rtol * |want|; NaN equals NaN, and an infinity itself
            alone. Integers, strings, booleans and null must be equal; so must be floats where `exact` is true. Where
            it is false, the tolerance applies to integers too, and an integer and a float are both numbers.
        drawings: ids of the drawings that were sent.
        problems: drawing id -> why there is no answer for it.

    Failures of the whole model come first, then those of drawings, then those of values, the worst first.
    """
    joined = join(golden, obtained, drawings, problems)
    outcomes = apply_tolerance(golden, obtained, joined, tolerances)
    failures = [
        *model_failures(golden, obtained, joined, drawings),
        *drawing_failures(joined, problems),
        *value_failures(golden, obtained, joined, outcomes),
    ]
    return ModelComparison(
        model=model,
        drawings=joined.drawings_compared,
        values=len(joined.golden_rows),
        failures=tuple(failures),
        summaries=_summaries(outcomes),
        closest=_closest(golden, obtained, joined, outcomes),
        drawing_ids=tuple(sorted(joined.ids)),
    )


def _summaries(outcomes: PairOutcomes) -> tuple[NameSummary, ...]:
    summaries = []
    for code, (pattern, tolerance) in enumerate(outcomes.patterns):
        rows = slice(None) if len(outcomes.patterns) == 1 else outcomes.pattern == code
        failed, in_reach = outcomes.failed[rows], outcomes.by_tolerance[rows]
        values = int(failed.size)
        if not values:
            continue
        numeric = outcomes.numeric[rows]
        difference, size = outcomes.difference[rows], outcomes.size[rows]
        summaries.append(
            NameSummary(
                pattern=pattern,
                tolerance=tolerance,
                values=values,
                failed=int(failed.sum()),
                worst_absolute=_max(difference[numeric]),
                worst_relative=_max(outcomes.relative(difference[numeric], size[numeric])),
                atol_needed=atol_needed(difference[in_reach], size[in_reach], tolerance.rtol),
                rtol_needed=rtol_needed(difference[in_reach], size[in_reach], tolerance.atol),
                beyond=int((failed & ~in_reach).sum()),
            )
        )
    return tuple(summaries)


def _max(numbers: Floats) -> float:
    return float(numbers.max()) if numbers.size else 0.0


def _closest(golden: Values, obtained: Values, joined: Joined, outcomes: PairOutcomes) -> tuple[Comparison, ...]:
    return tuple(
        Comparison(
            kind=DifferenceKind.WITHIN,
            drawing_id=golden.drawing_ids[joined.golden_rows[pair]],
            name=golden.names[joined.golden_rows[pair]],
            want=golden.values[joined.golden_rows[pair]],
            got=obtained.values[joined.obtained_rows[pair]],
            difference=float(outcomes.difference[pair]),
            allowed=float(outcomes.allowed[pair]),
        )
        for pair in outcomes.nearest(_CLOSEST)
    )
