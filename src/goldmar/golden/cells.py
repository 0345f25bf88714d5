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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, repeat
from pathlib import Path
from typing import NoReturn

from goldmar.errors import GoldenError
from goldmar.files import write_atomically
from goldmar.records import Cells, Prediction, Value

__all__ = ["COLUMNS", "cells_of", "read_cells", "to_csv", "write_cells"]

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
# Characters that would break a line, cannot be seen, or cannot be encoded.
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff]")
_ROWS_AT_ONCE = 8192


def cells_of(predictions: Iterable[Prediction]) -> Cells:
    """The values of predictions in three columns; a prediction with a problem has none."""
    cells = Cells([], [], [])
    for prediction in predictions:
        cells.drawing_ids.extend(repeat(prediction.drawing_id, len(prediction.values)))
        cells.names.extend(prediction.values.keys())
        cells.values.extend(prediction.values.values())
    return cells


# ---- writing --------------------------------------------------------------------------------------------------------


def write_cells(path: Path, cells: Cells) -> None:
    """Write a golden CSV atomically. Raises StorageError, and GoldenError as `to_csv` does."""
    write_atomically(path, to_csv(cells))


def to_csv(cells: Cells) -> str:
    """Cells as CSV: sorted by drawing and name in code-point order, LF, every value such that reading gives it back.

    Raises GoldenError where one drawing and name are there twice.
    """
    order = sorted(range(len(cells)), key=list(zip(cells.drawing_ids, cells.names, strict=True)).__getitem__)
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(COLUMNS)
    last = None
    for row in order:
        key = (cells.drawing_ids[row], cells.names[row])
        if key == last:
            msg = f"Two values for drawing {key[0]!r}, name {key[1]!r}: no golden can hold both."
            raise GoldenError(msg, fix="Ask about each drawing once")
        last = key
        writer.writerow((_text(key[0]), _text(key[1]), _pred(cells.values[row])))
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


def read_cells(path: Path, columns: Mapping[str, str] | None = None) -> Cells:
    """Read a golden CSV; rows in the order of the file, columns in any order.

    Args:
        path: UTF-8, with or without a byte order mark.
        columns: drawing_id, name, pred -> header, for a CSV with other headers; the usual ones are then read as well.

    Raises GoldenError, with the line: missing or unreadable file, not UTF-8, NUL, truncated, wrong header, too few or
    too many fields, an empty field, a broken JSON string, one drawing and name twice.
    """
    _scan(path)
    cells = Cells([], [], [])
    shared: dict[str, str] = {}  # one object for each different text: a million rows have few
    with _open(path) as rows:
        header = next(rows, [])
        where = _positions(path, header, columns or {})
        while block := list(islice(rows, _ROWS_AT_ONCE)):
            if set(map(len, block)) != {3}:
                index, row = next((i, row) for i, row in enumerate(block) if len(row) != 3)
                _refuse(path, len(cells) + index, f"has {len(row)} fields, not 3", "Quote fields that hold commas")
            turned = list(zip(*block, strict=True))
            ids, names, preds = (turned[position] for position in where)
            cells.drawing_ids.extend(map(shared.setdefault, ids, ids))
            cells.names.extend(map(shared.setdefault, names, names))
            cells.values.extend(_values(path, preds, len(cells)))
    _unquote(path, cells.drawing_ids, shared, "drawing_id")
    _unquote(path, cells.names, shared, "name")
    _refuse_duplicates(path, cells)
    return cells


def _values(path: Path, preds: Sequence[str], first_row: int) -> Iterable[Value]:
    if _FLOATS.fullmatch(",".join(preds) + ","):
        try:
            return list(map(float, preds))
        except ValueError:  # a text such as "1.0,2.0"
            pass
    values: list[Value] = []
    for pred in preds:
        try:
            values.append(_parse(pred))
        except ValueError as error:
            _refuse(path, first_row + len(values), str(error), 'Write nan, null or "" (an empty text) for no value')
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


def _unquote(path: Path, column: list[str], shared: dict[str, str], title: str) -> None:
    if not any(not text or text[0] == '"' for text in shared):
        return
    for row, text in enumerate(column):
        if not text:
            _refuse(path, row, f"has an empty {title}", f"Fill in the {title}")
        if text[0] == '"':
            try:
                column[row] = _json_string(text, title)
            except ValueError as error:
                _refuse(path, row, str(error), "Write it as a JSON string, or without that quote")


def _refuse_duplicates(path: Path, cells: Cells) -> None:
    import numpy as np

    ids = {text: code for code, text in enumerate(dict.fromkeys(cells.drawing_ids))}
    names = {text: code for code, text in enumerate(dict.fromkeys(cells.names))}
    count = len(cells)
    keys = np.fromiter(map(ids.__getitem__, cells.drawing_ids), np.int64, count) * len(names)
    keys += np.fromiter(map(names.__getitem__, cells.names), np.int64, count)
    order = np.argsort(keys, kind="stable")
    again = np.flatnonzero(np.diff(keys[order]) == 0)
    if again.size:
        first, second = sorted(int(order[again[0] + step]) for step in (0, 1))
        _refuse(
            path,
            second,
            f"has drawing {cells.drawing_ids[first]!r}, name {cells.names[first]!r} again, "
            f"as line {_line_of(path, first)} has",
            "Remove one of the two lines",
        )


def _positions(path: Path, header: list[str], columns: Mapping[str, str]) -> tuple[int, int, int]:
    mapped = [columns.get(column, column) for column in COLUMNS]
    for wanted in (mapped, list(COLUMNS)):
        if sorted(header) == sorted(wanted):
            first, second, third = (header.index(column) for column in wanted)
            return first, second, third
    msg = f"{path}: the header is {','.join(header)!r}, not {','.join(mapped)!r}."
    raise GoldenError(msg, fix="Correct line 1, or name the headers in [columns] of tolerance.toml")


def _scan(path: Path) -> None:
    """What can be told from the bytes alone: there at all, whole, no NUL."""
    line, last = 1, b""
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                at = block.find(b"\0")
                if at >= 0:
                    line += block.count(b"\n", 0, at)
                    msg = f"{path}, line {line}: a NUL character, so this is no UTF-8 text."
                    raise GoldenError(msg, fix="Save it as UTF-8 (a spreadsheet's 'Unicode text' is UTF-16)")
                line += block.count(b"\n")
                last = block[-1:]
    except FileNotFoundError:
        msg = f"{path} does not exist."
        raise GoldenError(msg, fix=f"Look for it: ls '{path.parent}'") from None
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}."
        raise GoldenError(msg, fix=f"ls -l '{path}'") from error
    if not last:
        msg = f"{path} is empty: it has not even a header."
        raise GoldenError(msg, fix=f"Take it from git again, or write {','.join(COLUMNS)} as its first line")
    if last != b"\n":
        msg = f"{path}, line {line}: truncated, the last line has no end."
        raise GoldenError(msg, fix="Take it from git again; or end the last line if it is whole")


@contextmanager
def _open(path: Path) -> Iterator[Iterator[list[str]]]:
    """The rows of a CSV, header first; what goes wrong while they are read becomes a GoldenError with its line."""
    limit = csv.field_size_limit(2**31 - 1)  # an answer may hold a long text
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, strict=True)
            try:
                yield rows
            except csv.Error as error:
                msg = f"{path}, line {rows.line_num}: no CSV ({error})."
                raise GoldenError(msg, fix="Look at the quotes of that line; the file may be truncated") from error
            except UnicodeDecodeError as error:
                line = _line_of_bad_byte(path)
                msg = f"{path}, line {line}: not UTF-8 ({error.reason})."
                raise GoldenError(msg, fix=f"Convert it: iconv -f cp932 -t utf-8 '{path}'") from error
    finally:
        csv.field_size_limit(limit)


def _line_of_bad_byte(path: Path) -> int:
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return content.count(b"\n", 0, error.start) + 1
    return 0


def _line_of(path: Path, row: int) -> int:
    """The line that a row after the header ends on; the two differ where a field holds line ends."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.reader(stream, strict=True)
        for _ in islice(rows, row + 2):
            pass
        return rows.line_num


def _refuse(path: Path, row: int, what: str, fix: str) -> NoReturn:
    msg = f"{path}, line {_line_of(path, row)}: {what}."
    raise GoldenError(msg, fix=fix)
