"""Hold what a model said against its golden. Pure: records in, records out; nothing is read, asked or printed.

`join` pairs the values, `held` puts the rule to the pairs, `needed` finds the tolerance that would pass, `words` says
why something does not.
"""

from collections.abc import Mapping, Sequence

from goldmar.compare.held import Floats, Held, hold
from goldmar.compare.join import Joined, join
from goldmar.compare.needed import atol_needed, rtol_needed
from goldmar.compare.words import drawing_failures, model_failures, value_failures
from goldmar.config import Tolerances
from goldmar.records import Cells, Comparison, Kind, ModelResult, NameSummary

__all__ = ["atol_needed", "compare", "rtol_needed"]

_CLOSEST = 5


def compare(
    golden: Cells,
    obtained: Cells,
    tolerances: Tolerances,
    *,
    model: str,
    drawings: Sequence[str],
    problems: Mapping[str, str],
) -> ModelResult:
    """Compare both ways over the drawings and, in each drawing, over the values; the order of rows is of no matter.

    Args:
        golden: what is expected.
        obtained: what was answered.
        tolerances: a float passes when |got - want| <= atol + rtol * |want|; NaN equals NaN, and an infinity itself
            alone. Integers, strings, booleans and null must be equal; so must be floats where `exact` is true. Where
            it is false, integers are held like floats, and an integer and a float are both numbers.
        drawings: the ids that were asked.
        problems: drawing id -> why there is no answer for it.

    Failures come with those that concern everything first, then whole drawings, then values, the worst first.
    """
    joined = join(golden, obtained, drawings, problems)
    held = hold(golden, obtained, joined, tolerances)
    failures = [
        *model_failures(golden, obtained, joined, drawings),
        *drawing_failures(joined, problems),
        *value_failures(golden, obtained, joined, held),
    ]
    return ModelResult(
        model=model,
        drawings=joined.drawings_compared,
        values=len(joined.golden_rows),
        failures=tuple(failures),
        summaries=_summaries(held),
        closest=_closest(golden, obtained, joined, held),
        drawing_ids=tuple(sorted(joined.ids)),
    )


def _summaries(held: Held) -> tuple[NameSummary, ...]:
    summaries = []
    for code, (pattern, tolerance) in enumerate(held.patterns):
        rows = slice(None) if len(held.patterns) == 1 else held.pattern == code
        failed, in_reach = held.failed[rows], held.by_tolerance[rows]
        values = int(failed.size)
        if not values:
            continue
        numeric = held.numeric[rows]
        difference, size = held.difference[rows], held.size[rows]
        summaries.append(
            NameSummary(
                pattern=pattern,
                tolerance=tolerance,
                values=values,
                failed=int(failed.sum()),
                worst_absolute=_max(difference[numeric]),
                worst_relative=_max(held.relative(difference[numeric], size[numeric])),
                atol_needed=atol_needed(difference[in_reach], size[in_reach], tolerance.rtol),
                rtol_needed=rtol_needed(difference[in_reach], size[in_reach], tolerance.atol),
                beyond=int((failed & ~in_reach).sum()),
            )
        )
    return tuple(summaries)


def _max(numbers: Floats) -> float:
    return float(numbers.max()) if numbers.size else 0.0


def _closest(golden: Cells, obtained: Cells, joined: Joined, held: Held) -> tuple[Comparison, ...]:
    return tuple(
        Comparison(
            kind=Kind.WITHIN,
            drawing_id=golden.drawing_ids[joined.golden_rows[pair]],
            name=golden.names[joined.golden_rows[pair]],
            want=golden.values[joined.golden_rows[pair]],
            got=obtained.values[joined.obtained_rows[pair]],
            difference=float(held.difference[pair]),
            allowed=float(held.allowed[pair]),
        )
        for pair in held.nearest(_CLOSEST)
    )
