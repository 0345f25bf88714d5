"""The golden CSV, read strictly and written the same way every time.

One value a row, one row a line. `pred` is read by the grammar of JSON, with strings bare:

    9.0  1e-05  nan  inf  -inf    a float, written with repr
    12                            an integer
    true  false  null
    "12"  ""  "two\\nlines"        a JSON string: text that would read as one of the above, is empty, starts with a
                                  double quote, or holds control characters
    anything else                 that text

`drawing_id` and `name` are text, JSON-quoted in the same cases but the first. On top of that fields with commas or
quotes are quoted as CSV asks.
"""

import csv
import io
import json
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path

from goldmar.errors import GoldenError
from goldmar.files import write_atomically
from goldmar.golden.csv_rows import columns_of, line_of, refuse_row
from goldmar.records import CategoricalColumn, Prediction, Value, Values, Vocabulary

__all__ = ["COLUMNS", "read_values", "to_csv", "values_of", "write_values"]

COLUMNS = ("drawing_id", "name", "pred")

_WORDS: dict[str, Value] = {
    "true": True,
    "false": False,
    "null": None,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
# A run of plain floats, each with a comma behind it: one match for thousands of values instead of one each.
_FLOATS = re.compile(r"(?:-?(?:0|[1-9][0-9]*)\.[0-9]+(?:e[+-]?[0-9]+)?,)*+")
# Characters that would break a line, cannot be seen, turn the direction of a diff, or cannot be encoded.
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


def values_of(predictions: Iterable[Prediction]) -> Values:
    """The values of predictions in three columns; a prediction with a problem has none."""
    answered = [(prediction.drawing_id, prediction.values) for prediction in predictions]
    return Values.of(
        chain.from_iterable(repeat(drawing_id, len(values)) for drawing_id, values in answered),
        chain.from_iterable(values for _, values in answered),
        [value for _, values in answered for value in values.values()],
    )


# ---- writing --------------------------------------------------------------------------------------------------------


def write_values(path: Path, values: Values) -> None:
    """Write a golden CSV atomically. Raises StorageError, and GoldenError as `to_csv` does."""
    write_atomically(path, to_csv(values))


def to_csv(values: Values) -> str:
    """Values as CSV: sorted by drawing and name in code-point order, LF, every value such that reading gives it back.

    Raises GoldenError where one drawing and name are there twice.
    """
    order = sorted(range(len(values)), key=list(zip(values.drawing_ids, values.names, strict=True)).__getitem__)
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(COLUMNS)
    last = None
    for row in order:
        key = (values.drawing_ids[row], values.names[row])
        if key == last:
            msg = f"Two values for drawing {key[0]!r}, name {key[1]!r}: no golden can hold both."
            raise GoldenError(msg, fix="Ask about each drawing once")
        last = key
        writer.writerow((_text(key[0]), _text(key[1]), _pred(values.values[row])))
    return page.getvalue()


def _pred(value: Value) -> str:
    if isinstance(value, str):
        return _quoted(value) if _needs_quotes(value) or not isinstance(_parse(value), str) else value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return int.__repr__(value) if isinstance(value, int) else float.__repr__(value)


def _text(text: str) -> str:
    return _quoted(text) if _needs_quotes(text) else text


def _needs_quotes(text: str) -> bool:
    return not text or text[0] == '"' or _ODD.search(text) is not None


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return json.dumps(text) if _ODD.search(quoted) else quoted


# ---- reading --------------------------------------------------------------------------------------------------------


def read_values(path: Path, columns: Mapping[str, str] | None = None) -> Values:
    """Read a golden CSV; rows in the order of the file, columns in any order.

    Args:
        path: UTF-8, with or without a byte order mark.
        columns: drawing_id, name, pred -> header, for a CSV with other headers; the usual ones are then read as well.

    Raises GoldenError, with the line: missing or unreadable file, not UTF-8, NUL, truncated, wrong header, too few or
    too many fields, an empty field, a broken JSON string, one drawing and name twice.
    """
    ids, names = Vocabulary(), Vocabulary()
    id_codes, name_codes, floats = array("q"), array("q"), array("d")
    mixed: list[Value] = []  # all values, once there is one that is no float
    with columns_of(path) as (header, blocks):
        where = _positions(path, header, columns or {})
        for block in blocks:
            block_ids, block_names, preds = (block[position] for position in where)
            id_codes.extend(array("q", map(ids.__getitem__, block_ids)))
            name_codes.extend(array("q", map(names.__getitem__, block_names)))
            numbers = _floats(preds)
            if numbers is not None and not mixed:
                floats.extend(numbers)
                continue
            mixed = mixed or list(floats)
            mixed.extend(_values(path, preds, len(mixed)) if numbers is None else numbers)
    values = Values(
        _decoded(path, CategoricalColumn(tuple(ids), id_codes), "drawing_id"),
        _decoded(path, CategoricalColumn(tuple(names), name_codes), "name"),
        mixed or floats,
    )
    _refuse_duplicates(path, values)
    return values


def _floats(preds: Sequence[str]) -> "array[float] | None":
    """The values, where all of them are plain floats."""
    if _FLOATS.fullmatch(",".join(preds) + ","):
        with suppress(ValueError):  # a text such as "1.0,2.0"
            return array("d", map(float, preds))
    return None


def _values(path: Path, preds: Sequence[str], first_row: int) -> list[Value]:
    values: list[Value] = []
    for pred in preds:
        try:
            values.append(_parse(pred))
        except ValueError as error:
            row = first_row + len(values)
            refuse_row(path, row, str(error), 'Write nan, null or """" (an empty text) for no value')
    return values


def _parse(pred: str) -> Value:
    if _FLOAT.fullmatch(pred):
        return int(pred) if _INTEGER.fullmatch(pred) else float(pred)
    if pred in _WORDS:
        return _WORDS[pred]
    if not pred:
        msg = "has an empty pred"
        raise ValueError(msg)
    return _json_string(pred, "pred") if pred[0] == '"' else pred


def _json_string(text: str, column: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        msg = f"has a {column} that starts with a double quote and is no JSON string: {text[:80]}"
        raise ValueError(msg) from None
    return str(value)


def _decoded(path: Path, column: CategoricalColumn, title: str) -> CategoricalColumn:
    """The column with its JSON strings read; two spellings of one text become one."""
    if not any(not text or text[0] == '"' for text in column.categories):
        return column
    numbers, renumbered = Vocabulary(), []
    for code, text in enumerate(column.categories):
        if not text:
            refuse_row(path, column.codes.index(code), f"has an empty {title}", f"Fill in the {title}")
        try:
            renumbered.append(numbers[_json_string(text, title) if text[0] == '"' else text])
        except ValueError as error:
            fix = "Write it as a JSON string, or without that quote"
            refuse_row(path, column.codes.index(code), str(error), fix)
    return CategoricalColumn(tuple(numbers), array("q", map(renumbered.__getitem__, column.codes)))


def _refuse_duplicates(path: Path, values: Values) -> None:
    import numpy as np

    ids, names = values.drawing_ids, values.names
    if not isinstance(ids, CategoricalColumn) or not isinstance(names, CategoricalColumn):
        msg = "read_values makes both columns CategoricalColumn"
        raise TypeError(msg)
    keys = np.frombuffer(ids.codes, np.int64) * max(1, len(names.categories)) + np.frombuffer(names.codes, np.int64)
    order = np.argsort(keys, kind="stable")
    again = np.flatnonzero(np.diff(keys[order]) == 0)
    if again.size:
        first, second = (int(order[again[0] + step]) for step in (0, 1))
        what = f"has drawing {ids[first]!r}, name {names[first]!r} again, as line {line_of(path, first)} has"
        refuse_row(path, second, what, "Remove one of the two lines")


def _positions(path: Path, header: list[str], columns: Mapping[str, str]) -> tuple[int, int, int]:
    mapped = [columns.get(column, column) for column in COLUMNS]
    for wanted in (mapped, list(COLUMNS)):
        if sorted(header) == sorted(wanted):
            first, second, third = (header.index(column) for column in wanted)
            return first, second, third
    msg = f"{path}: the header is {','.join(header)!r}, not {','.join(mapped)!r}."
    raise GoldenError(msg, fix="Correct line 1, or name the headers in [columns] of tolerance.toml")
