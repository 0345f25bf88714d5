"""What does not pass, one Comparison each, with its reason in words."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from goldmar.compare.held import Held, type_name
from goldmar.compare.join import Joined
from goldmar.records import Cells, Comparison, Kind, Value

__all__ = ["drawing_failures", "model_failures", "value_failures"]


def model_failures(golden: Cells, obtained: Cells, joined: Joined, asked: Sequence[str]) -> Iterator[Comparison]:
    """What concerns the model as a whole. A comparison of nothing is a failure, whatever the reason."""
    if not len(golden):
        detail = f"the golden has no values; {len(obtained)} answered values are held against nothing"
        yield Comparison(Kind.EMPTY_GOLDEN, "", detail=detail)
    if not asked:
        yield Comparison(Kind.NOT_ASKED, "", detail="the model was never asked: no drawing was sent")
    if len(golden) and asked and not joined.golden_rows.size:
        detail = f"none of the {len(golden)} values of the golden has a partner among {len(obtained)} answered values"
        yield Comparison(Kind.NOTHING_COMPARED, "", detail=detail)


def drawing_failures(joined: Joined, problems: Mapping[str, str]) -> Iterator[Comparison]:
    """What concerns whole drawings."""
    for drawing in joined.unanswered:
        yield Comparison(Kind.NO_ANSWER, drawing, detail=problems[drawing])
    for drawing in joined.without_values:
        yield Comparison(Kind.NO_ANSWER, drawing, detail="the answer holds no values")
    for drawing in joined.missing_drawings:
        yield Comparison(Kind.MISSING_DRAWING, drawing, detail="in the golden, but never asked: is its file gone?")
    for drawing in joined.extra_drawings:
        yield Comparison(Kind.EXTRA_DRAWING, drawing, detail="asked, but not in the golden: record and approve it")
    for drawing in joined.never_asked:
        yield Comparison(Kind.EXTRA_DRAWING, drawing, detail="an answer to a drawing that was not asked")
    for drawing in joined.asked_again:
        yield Comparison(Kind.DUPLICATE_KEY, drawing, detail="asked more than once")


def value_failures(golden: Cells, obtained: Cells, joined: Joined, held: Held) -> list[Comparison]:
    """What concerns single values: those that differ last, the farthest beyond their limit first among them."""
    failures = [
        *_again(golden, joined.golden_again, "in the golden"),
        *_again(obtained, joined.obtained_again, "in the answers"),
    ]
    for row in joined.missing.tolist():
        failures.append(
            Comparison(
                Kind.MISSING_VALUE,
                golden.drawing_ids[row],
                golden.names[row],
                want=golden.values[row],
                detail="in the golden, not in the answer",
            )
        )
    for row in joined.extra.tolist():
        failures.append(
            Comparison(
                Kind.EXTRA_VALUE,
                obtained.drawing_ids[row],
                obtained.names[row],
                got=obtained.values[row],
                detail="in the answer, not in the golden",
            )
        )
    pairs = np.flatnonzero(held.failed)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = held.difference[pairs] / held.allowed[pairs]
    # Not numeric at all comes first (NaN sorts last, so it is made infinite), then the share of the limit used up.
    share[~held.numeric[pairs]] = math.inf
    apart = np.where(held.numeric[pairs], held.difference[pairs], math.inf)
    for pair in pairs[np.lexsort((-apart, -share))].tolist():
        failures.append(_pair(golden, obtained, joined, held, pair))
    return failures


def _again(cells: Cells, rows: np.ndarray[tuple[int], np.dtype[np.int64]], where: str) -> list[Comparison]:
    keys = Counter((cells.drawing_ids[row], cells.names[row]) for row in rows.tolist())
    return [
        Comparison(Kind.DUPLICATE_KEY, drawing, name, detail=f"{count + 1} times {where}")
        for (drawing, name), count in sorted(keys.items())
    ]


def _pair(golden: Cells, obtained: Cells, joined: Joined, held: Held, pair: int) -> Comparison:
    row = int(joined.golden_rows[pair])
    want, got = golden.values[row], obtained.values[int(joined.obtained_rows[pair])]
    difference = allowed = None
    if held.other_type[pair]:
        kind, detail = Kind.CHANGED_TYPE, f"{type_name(want)} in the golden, {type_name(got)} in the answer"
    elif _is_odd(got):
        kind, detail = Kind.NOT_FINITE, f"{got} in the answer, {want} in the golden"
    elif held.numeric[pair]:
        kind, difference, allowed = Kind.DIFFERENT, float(held.difference[pair]), float(held.allowed[pair])
        exactly = "must be equal" if not held.by_tolerance[pair] else f"{allowed:.6g} is allowed"
        detail = f"differs by {difference:.6g}, {exactly}"
    else:
        kind, detail = Kind.DIFFERENT, "must be equal"
    return Comparison(
        kind,
        golden.drawing_ids[row],
        golden.names[row],
        want,
        got,
        difference=difference,
        allowed=allowed,
        detail=detail,
    )


def _is_odd(value: Value) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
