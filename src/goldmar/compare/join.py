"""Pair the values of two long tables by drawing and name, in any order of rows.

Dictionaries, which compare the texts themselves, map texts to integers; the two integers of a row make one key; a table
over the keys gives the row of a value on the other side. Nothing is sorted, and no hash has to be unique.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldmar.records import CategoricalColumn, Values, Vocabulary

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Joined:
    """Which rows belong together, and which have no partner.

    Pair number i is row `golden_rows[i]` of the golden and row `obtained_rows[i]` of the answers; its name is
    `names[pair_names[i]]`. `missing` and `extra` are rows (of the golden, of the answers) of drawings that are on both
    sides; `golden_again` and `obtained_again` are rows whose key an earlier row has. Drawings are in sorted order.
    """

    ids: list[str]
    names: list[str]
    golden_rows: Rows
    obtained_rows: Rows
    pair_names: Rows
    missing: Rows
    extra: Rows
    golden_again: Rows
    obtained_again: Rows
    drawings_compared: int
    missing_drawings: list[str]
    extra_drawings: list[str]
    not_requested: list[str]
    requested_again: list[str]
    unanswered: list[str]
    without_values: list[str]


def join(golden: Values, obtained: Values, drawings: Sequence[str], problems: Mapping[str, str]) -> Joined:
    """Pair the values of the drawings that are in the golden, were requested, and have an answer."""
    drawing_codes, name_codes = Vocabulary(), Vocabulary()
    golden_ids, golden_names = _encoded(golden.drawing_ids, drawing_codes), _encoded(golden.names, name_codes)
    obtained_ids, obtained_names = _encoded(obtained.drawing_ids, drawing_codes), _encoded(obtained.names, name_codes)
    requested_ids, problem_ids = _encoded(drawings, drawing_codes), _encoded(list(problems), drawing_codes)
    ids, names = list(drawing_codes), list(name_codes)
    requested_often = np.bincount(requested_ids, minlength=len(ids)) > 1
    in_golden, in_obtained, requested, has_problem = (
        np.bincount(codes, minlength=len(ids)) > 0 for codes in (golden_ids, obtained_ids, requested_ids, problem_ids)
    )
    comparable = in_golden & in_obtained & requested & ~has_problem

    size = len(ids) * len(names)
    golden_keys, obtained_keys, size = _dense(
        golden_ids * len(names) + golden_names, obtained_ids * len(names) + obtained_names, size
    )
    row_in_golden, golden_again = _first_rows(golden_keys, size)
    row_in_obtained, obtained_again = _first_rows(obtained_keys, size)

    partner = row_in_obtained[golden_keys]
    counted = comparable[golden_ids]
    counted[golden_again] = False
    paired = counted & (partner >= 0)
    golden_rows = np.flatnonzero(paired)
    alone = row_in_golden[obtained_keys] < 0
    alone &= comparable[obtained_ids]
    alone[obtained_again] = False

    def listed(chosen: NDArray[np.bool_]) -> list[str]:
        return sorted(ids[code] for code in np.flatnonzero(chosen).tolist())

    return Joined(
        ids=ids,
        names=names,
        golden_rows=golden_rows,
        obtained_rows=partner[golden_rows].astype(np.int64),
        pair_names=golden_names[golden_rows],
        missing=np.flatnonzero(counted & ~paired),
        extra=np.flatnonzero(alone),
        golden_again=golden_again,
        obtained_again=obtained_again,
        drawings_compared=int(np.count_nonzero(np.bincount(golden_ids[golden_rows], minlength=1))),
        missing_drawings=listed(in_golden & ~requested),
        extra_drawings=listed(requested & ~in_golden & ~has_problem),
        not_requested=listed((in_obtained | has_problem) & ~requested),
        requested_again=listed(requested_often),
        unanswered=listed(has_problem & requested),
        without_values=listed(requested & in_golden & ~in_obtained & ~has_problem),
    )


def _encoded(column: Sequence[str], codes_of: Vocabulary) -> Rows:
    """A column as codes of a vocabulary that both sides share."""
    if isinstance(column, CategoricalColumn):
        shared = np.fromiter(map(codes_of.__getitem__, column.categories), np.int64, len(column.categories))
        return shared[np.frombuffer(column.codes, np.int64)]
    return np.fromiter(map(codes_of.__getitem__, column), np.int64, len(column))


def _dense(golden_keys: Rows, obtained_keys: Rows, size: int) -> tuple[Rows, Rows, int]:
    """Keys below `size`, renumbered where a table of that size would be mostly empty."""
    rows = len(golden_keys) + len(obtained_keys)
    if size <= 4 * rows + 1024:
        return golden_keys, obtained_keys, size
    known, renumbered = np.unique(np.concatenate([golden_keys, obtained_keys]), return_inverse=True)
    return renumbered[: len(golden_keys)], renumbered[len(golden_keys) :], len(known)


def _first_rows(keys: Rows, size: int) -> tuple[NDArray[np.signedinteger[Any]], Rows]:
    """For each key the row that has it (-1 for none), the first where there are several; and the other rows."""
    # Half the memory for random access, where it is enough.
    narrow: type[np.signedinteger[Any]] = np.int32 if len(keys) < 2**31 else np.int64
    row_of = np.full(size, -1, narrow)
    rows = np.arange(len(keys), dtype=narrow)
    row_of[keys[::-1]] = rows[::-1]
    return row_of, np.flatnonzero(row_of[keys] != rows)
