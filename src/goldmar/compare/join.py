"""Pair the values of two long tables by drawing and name, whatever the order of their rows.

Texts become integers through dictionaries, which compare the texts themselves; the two integers of a row become one
key; and a table over the keys says in which row of the other side a value is. No sort, and nothing rests on a hash
being unique.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldmar.records import Cells

__all__ = ["Joined", "join"]

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
    never_asked: list[str]
    asked_again: list[str]
    unanswered: list[str]
    without_values: list[str]


def join(golden: Cells, obtained: Cells, asked: Sequence[str], problems: Mapping[str, str]) -> Joined:
    """Pair the values of the drawings that are in the golden, were asked, and have an answer."""
    in_golden, in_obtained = dict.fromkeys(golden.drawing_ids), dict.fromkeys(obtained.drawing_ids)
    asked_once = dict.fromkeys(asked)
    ids = list({**in_golden, **in_obtained, **asked_once, **dict.fromkeys(problems)})
    names = list({**dict.fromkeys(golden.names), **dict.fromkeys(obtained.names)})
    comparable = np.fromiter(
        (i in in_golden and i in in_obtained and i in asked_once and i not in problems for i in ids), np.bool_, len(ids)
    )

    id_codes = {text: code for code, text in enumerate(ids)}
    name_codes = {text: code for code, text in enumerate(names)}
    golden_ids, golden_names = _codes(golden.drawing_ids, id_codes), _codes(golden.names, name_codes)
    obtained_ids, obtained_names = _codes(obtained.drawing_ids, id_codes), _codes(obtained.names, name_codes)
    golden_keys, obtained_keys, size = _dense(
        golden_ids * len(names) + golden_names, obtained_ids * len(names) + obtained_names, len(ids) * len(names)
    )
    del obtained_names
    row_in_golden, golden_again = _first_rows(golden_keys, size)
    row_in_obtained, obtained_again = _first_rows(obtained_keys, size)

    partner = row_in_obtained[golden_keys]
    counted = comparable[golden_ids]
    counted[golden_again] = False
    golden_rows = np.flatnonzero(counted & (partner >= 0))
    alone = comparable[obtained_ids] & (row_in_golden[obtained_keys] < 0)
    alone[obtained_again] = False
    return Joined(
        ids=ids,
        names=names,
        golden_rows=golden_rows,
        obtained_rows=partner[golden_rows],
        pair_names=golden_names[golden_rows],
        missing=np.flatnonzero(counted & (partner < 0)),
        extra=np.flatnonzero(alone),
        golden_again=golden_again,
        obtained_again=obtained_again,
        drawings_compared=int(np.count_nonzero(np.bincount(golden_ids[golden_rows], minlength=1))),
        missing_drawings=sorted(i for i in in_golden if i not in asked_once),
        extra_drawings=sorted(i for i in asked_once if i not in in_golden and i not in problems),
        never_asked=sorted(i for i in {**in_obtained, **dict.fromkeys(problems)} if i not in asked_once),
        asked_again=_again(asked),
        unanswered=sorted(i for i in problems if i in asked_once),
        without_values=sorted(i for i in asked_once if i in in_golden and i not in in_obtained and i not in problems),
    )


def _codes(texts: list[str], codes: dict[str, int]) -> Rows:
    return np.fromiter(map(codes.__getitem__, texts), np.int64, len(texts))


def _dense(golden_keys: Rows, obtained_keys: Rows, size: int) -> tuple[Rows, Rows, int]:
    """Keys below `size`, renumbered where a table of that size would be mostly holes."""
    rows = len(golden_keys) + len(obtained_keys)
    if size <= 4 * rows + 1024:
        return golden_keys, obtained_keys, size
    known, renumbered = np.unique(np.concatenate([golden_keys, obtained_keys]), return_inverse=True)
    return renumbered[: len(golden_keys)], renumbered[len(golden_keys) :], len(known)


def _first_rows(keys: Rows, size: int) -> tuple[Rows, Rows]:
    """For each key the row that has it (-1 for none), the first where there are several; and the other rows."""
    row_of = np.full(size, -1, np.int64)
    rows = np.arange(len(keys))
    row_of[keys[::-1]] = rows[::-1]
    return row_of, np.flatnonzero(row_of[keys] != rows)


def _again(texts: Sequence[str]) -> list[str]:
    return sorted(text for text, count in Counter(texts).items() if count > 1)
