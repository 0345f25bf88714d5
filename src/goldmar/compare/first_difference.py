"""Find the first stage of a drawing that differs from the one that was kept. Pure: records in, a record out.

A network's sums come out in another order in another batch, with other threads or on another processor, so the last
digits of `inference` say nothing by themselves. It counts as different where an element is further off than
ROUNDING times the precision of its type, measured by the largest element; below that it is named only where no later
stage differs. The other stages handle each drawing by itself, and there every bit counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from goldmar.golden.stage_file import array_of
from goldmar.records import Explanation, Part, Stage, Staged
from goldmar.text import listed

ROUNDING = 100
_BATCHED = "inference"
_AT_MOST = 5  # parts of one stage that are named


class _How(Enum):
    EQUAL = 0
    ROUNDED = 1
    DIFFERENT = 2


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a stage compares, and in words where it is not equal."""

    how: _How
    words: str = ""


_EQUAL = _Outcome(_How.EQUAL)


def explain(kept: Staged, got: Staged) -> Explanation:
    """Compare the kept stages with the obtained ones, in order, and name the first that differs.

    Where `got` ends early, the stage that is missing is the one in which the drawing was refused.
    """
    there = {stage.name: stage for stage in got.stages}
    equal: list[str] = []
    rounded: _Outcome | None = None
    for stage in kept.stages:
        found = there.get(stage.name)
        if found is None:
            refused = got.problem or "it comes without this stage"
            return Explanation(kept.drawing_id, stage.name, refused + _after(equal, rounded))
        outcome = _compare(stage, found)
        if outcome.how is _How.DIFFERENT:
            return Explanation(kept.drawing_id, stage.name, outcome.words + _after(equal, rounded))
        if outcome.how is _How.ROUNDED:
            rounded = outcome
        elif stage.name != "drawing":
            equal.append(stage.name)
    if rounded is not None:
        return Explanation(kept.drawing_id, _BATCHED, rounded.words + _after(equal, None))
    words = "all stages equal, the answer differs: asked once more, the model answered what was kept"
    return Explanation(kept.drawing_id, "", words)


def _after(equal: Sequence[str], rounded: _Outcome | None) -> str:
    words = f", after equal {listed(equal)}" if equal else ""
    return f"{words} ({_BATCHED}: {rounded.words})" if rounded else words


def _compare(kept: Stage, got: Stage) -> _Outcome:
    if kept.name == "drawing":
        same = [part.sha256 for part in kept.parts] == [part.sha256 for part in got.parts]
        return _EQUAL if same else _Outcome(_How.DIFFERENT, "the file itself is not the one that was recorded")
    there = {part.name: part for part in got.parts}
    names = [part.name for part in kept.parts]
    if names != list(there):
        return _Outcome(_How.DIFFERENT, f"it has {_listed(list(there))}, and had {_listed(names)}")
    outcomes = [_compare_parts(kept.name, part, there[part.name]) for part in kept.parts]
    how = max((outcome.how for outcome in outcomes), key=lambda how: how.value, default=_How.EQUAL)
    descriptions = [outcome.words for outcome in outcomes if outcome.how is how and outcome.words]
    more = f"; and {len(descriptions) - _AT_MOST} more parts" if len(descriptions) > _AT_MOST else ""
    return _Outcome(how, "; ".join(descriptions[:_AT_MOST]) + more)


def _compare_parts(stage: str, kept: Part, got: Part) -> _Outcome:
    if kept.sha256 == got.sha256:
        return _EQUAL
    what = kept.name or ("answer" if stage == "postprocess" else "text" if kept.dtype == "text" else "tensor")
    if (kept.dtype == "text") != (got.dtype == "text"):
        return _Outcome(_How.DIFFERENT, f"{what} is {_type(got)}, and was {_type(kept)}")
    if kept.dtype == "text":
        return _Outcome(_How.DIFFERENT, f"{what} differs")
    if kept.shape != got.shape:
        return _Outcome(_How.DIFFERENT, f"{what} has shape {_shape(got.shape)}, and had {_shape(kept.shape)}")
    if kept.dtype != got.dtype:
        return _Outcome(_How.DIFFERENT, f"{what} is {_type(got)}, and was {_type(kept)}")
    try:
        want, have = array_of(kept), array_of(got)
    except ValueError:
        return _Outcome(_How.DIFFERENT, f"{what} differs; {_by_summary(kept, got)}")
    return _compare_arrays(stage, what, kept, want, have[:: kept.step] if got.step == 1 else have)


def _compare_arrays(stage: str, what: str, kept: Part, want: Any, have: Any) -> _Outcome:
    if not kept.shape and stage != _BATCHED:
        return _Outcome(_How.DIFFERENT, f"{what} is {have[0]!s}, and was {want[0]!s}")
    finite = np.isfinite(want) & np.isfinite(have)
    with np.errstate(over="ignore", invalid="ignore"):
        wide = np.result_type(want.dtype, np.float64)
        differences = np.abs(have.astype(wide) - want.astype(wide))
    same = (want == have) | (np.isnan(want) & np.isnan(have)) if want.dtype.kind in "fc" else want == have
    count = int(np.count_nonzero(~same))
    if not count:
        if kept.step > 1:
            return _Outcome(_How.DIFFERENT, f"{what} differs, in none of the {want.size:,} elements kept as a sample")
        return _EQUAL  # zeros of another sign, NaN of another make
    largest = float(differences[finite].max(initial=0.0))
    sampled = f" of the {want.size:,} kept as a sample" if kept.step > 1 else ""
    all_finite = bool(finite[~same].all())
    size = f"largest {largest:.3g}" + ("" if all_finite else ", NaN or infinite where it was not, or the reverse")
    if stage == _BATCHED and want.dtype.kind in "fc" and all_finite:
        scale = float(np.abs(want[finite].astype(wide)).max(initial=0.0))
        if largest <= min(ROUNDING * float(np.finfo(want.dtype).eps), 0.01) * scale:
            return _Outcome(_How.ROUNDED, f"{what} differs in its last digits alone, {size}")
    return _Outcome(_How.DIFFERENT, f"{what} differs in {_share(count, want.size)} of elements{sampled}, {size}")


def _share(count: int, size: int) -> str:
    percent = 100 * count / size
    if count == size:
        return "100 %"
    return f"{min(percent, 99.9):.1f} %" if percent >= 0.1 else f"{percent:.1g} %"


def _by_summary(kept: Part, got: Part) -> str:
    moved = [
        f"{name} {got.summary[name]:.6g}, was {number:.6g}"
        for name, number in kept.summary.items()
        if name in got.summary and got.summary[name] != number
    ]
    return ", ".join(moved) or "only its digest was kept"


def _type(part: Part) -> str:
    return "a text" if part.dtype == "text" else np.dtype(part.dtype).name


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "that of a single number"


def _listed(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _AT_MOST else ""
    return (", ".join(name or "one part" for name in names[:_AT_MOST]) or "no part") + more
