"""What does not pass, one Comparison each, with its reason in words."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from goldmar.compare.apply_tolerance import PairOutcomes, type_name
from goldmar.compare.join import Joined
from goldmar.records import Comparison, DifferenceKind, Values


def model_failures(golden: Values, obtained: Values, joined: Joined, drawings: Sequence[str]) -> Iterator[Comparison]:
    """What concerns the model as a whole. A comparison of nothing is a failure, whatever the reason."""
    if not len(golden):
        detail = f"the golden has no values; {len(obtained)} answered values are compared with nothing"
        yield Comparison(DifferenceKind.EMPTY_GOLDEN, "", detail=detail)
    if not drawings:
        yield Comparison(DifferenceKind.NOT_ASKED, "", detail="the model was never asked: no drawing was sent")
    if len(golden) and drawings and not joined.golden_rows.size:
        detail = f"none of the {len(golden)} values of the golden has a counterpart among {len(obtained)} answers"
        yield Comparison(DifferenceKind.NOTHING_COMPARED, "", detail=detail)


def drawing_failures(joined: Joined, problems: Mapping[str, str]) -> Iterator[Comparison]:
    """What concerns whole drawings."""
    for drawing in joined.unanswered:
        yield Comparison(DifferenceKind.NO_ANSWER, drawing, detail=problems[drawing])
    for drawing in joined.without_values:
        yield Comparison(DifferenceKind.NO_ANSWER, drawing, detail="the answer has no values")
    for drawing in joined.missing_drawings:
        yield Comparison(
            DifferenceKind.MISSING_DRAWING, drawing, detail="in the golden, but never asked: is its file gone?"
        )
    for drawing in joined.extra_drawings:
        yield Comparison(
            DifferenceKind.EXTRA_DRAWING, drawing, detail="asked, but not in the golden: record and approve it"
        )
    for drawing in joined.not_requested:
        yield Comparison(DifferenceKind.EXTRA_DRAWING, drawing, detail="an answer to a drawing that was not asked")
    for drawing in joined.requested_again:
        yield Comparison(DifferenceKind.DUPLICATE_KEY, drawing, detail="asked more than once")


def value_failures(golden: Values, obtained: Values, joined: Joined, outcomes: PairOutcomes) -> list[Comparison]:
    """What concerns single values: those that differ last, the farthest beyond their limit first among them."""
    failures = [
        *_again(golden, joined.golden_again, "in the golden"),
        *_again(obtained, joined.obtained_again, "in the answers"),
    ]
    for row in joined.missing.tolist():
        key, detail = (golden.drawing_ids[row], golden.names[row]), "in the golden, not in the answer"
        failures.append(Comparison(DifferenceKind.MISSING_VALUE, *key, want=golden.values[row], detail=detail))
    for row in joined.extra.tolist():
        key, detail = (obtained.drawing_ids[row], obtained.names[row]), "in the answer, not in the golden"
        failures.append(Comparison(DifferenceKind.EXTRA_VALUE, *key, got=obtained.values[row], detail=detail))
    pairs = np.flatnonzero(outcomes.failed)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = outcomes.difference[pairs] / outcomes.allowed[pairs]
    # Not numeric at all comes first (NaN sorts last, so it is made infinite), then the share of the limit used up.
    share[~outcomes.numeric[pairs]] = math.inf
    differences = np.where(outcomes.numeric[pairs], outcomes.difference[pairs], math.inf)
    for pair in pairs[np.lexsort((-differences, -share))].tolist():
        failures.append(_pair(golden, obtained, joined, outcomes, pair))
    return failures


def _again(values: Values, rows: np.ndarray[tuple[int], np.dtype[np.int64]], where: str) -> list[Comparison]:
    keys = Counter((values.drawing_ids[row], values.names[row]) for row in rows.tolist())
    return [
        Comparison(DifferenceKind.DUPLICATE_KEY, drawing, name, detail=f"{count + 1} times {where}")
        for (drawing, name), count in sorted(keys.items())
    ]


def _pair(golden: Values, obtained: Values, joined: Joined, outcomes: PairOutcomes, pair: int) -> Comparison:
    row = int(joined.golden_rows[pair])
    want, got = golden.values[row], obtained.values[int(joined.obtained_rows[pair])]
    difference = allowed = None
    if outcomes.other_type[pair]:
        kind, detail = DifferenceKind.CHANGED_TYPE, f"{type_name(want)} in the golden, {type_name(got)} in the answer"
    elif isinstance(got, float) and not math.isfinite(got):
        kind, detail = DifferenceKind.NOT_FINITE, f"{got} in the answer, {want} in the golden"
    elif outcomes.numeric[pair]:
        kind = DifferenceKind.DIFFERENT
        difference, allowed = float(outcomes.difference[pair]), float(outcomes.allowed[pair])
        exactly = "must be equal" if not outcomes.by_tolerance[pair] else f"{allowed:.6g} is allowed"
        detail = f"differs by {difference:.6g}, {exactly}"
    else:
        kind, detail = DifferenceKind.DIFFERENT, "must be equal"
    key = golden.drawing_ids[row], golden.names[row]
    return Comparison(kind, *key, want, got, difference=difference, allowed=allowed, detail=detail)
