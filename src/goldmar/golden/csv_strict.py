"""A golden CSV read row by row with the csv module, with the line of whatever is wrong in it.

This says what a golden CSV is: `csv_fast` reads no file that this refuses, and the same from all others.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from goldmar.config import COLUMNS
from goldmar.errors import GoldenError
from goldmar.golden.grammar import FieldError, parse_pred, parse_text
from goldmar.records import Value, Values


def read_strict(path: Path, content: bytes, columns: Mapping[str, str]) -> Values:
    """The values in the content of a golden CSV; `path` is for errors. See `goldmar.golden.read_values`."""
    text = _text(path, content)
    line_of: dict[tuple[str, str], int] = {}
    values: list[Value] = []
    limit = csv.field_size_limit(2**31 - 1)  # an answer may hold a long text
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(rows, [])
        places = places_of(header, columns)
        if places is None:
            wanted = ",".join(columns.get(column, column) for column in COLUMNS)
            msg = f"{path}: the header is {','.join(header)!r}, not {wanted!r}."
            raise GoldenError(msg, fix="Correct line 1, or name the headers in [columns] of tolerance.toml")
        for row in rows:
            if len(row) != 3:
                what = f"has {len(row)} field{'' if len(row) == 1 else 's'}, not 3" if row else "is empty"
                fix = 'Write each row as drawing_id,name,pred; quote fields that hold commas: "a,b"'
                raise FieldError(what, fix)
            drawing_id, name, pred = (row[place] for place in places)
            key = parse_text(drawing_id, "drawing_id"), parse_text(name, "name")
            values.append(parse_pred(pred))
            if line_of.setdefault(key, rows.line_num) != rows.line_num:
                what = f"has drawing {key[0]!r}, name {key[1]!r} again, as line {line_of[key]} has"
                raise FieldError(what, "Remove one of the two lines")
    except FieldError as error:
        msg = f"{path}, line {rows.line_num}: {error}."
        raise GoldenError(msg, fix=error.fix) from None
    except csv.Error as error:
        msg = f"{path}, line {rows.line_num}: no CSV ({error})."
        raise GoldenError(msg, fix="Look at the quotes of that line; the file may be truncated") from error
    finally:
        csv.field_size_limit(limit)
    return Values.of((drawing_id for drawing_id, _ in line_of), (name for _, name in line_of), values)


def places_of(header: Sequence[str], columns: Mapping[str, str]) -> tuple[int, int, int] | None:
    """Where drawing_id, name and pred are in a header, by the names in `columns` or the usual ones; None if not."""
    for wanted in ([columns.get(column, column) for column in COLUMNS], list(COLUMNS)):
        if sorted(header) == sorted(wanted):
            first, second, third = map(header.index, wanted)
            return first, second, third
    return None


def _text(path: Path, content: bytes) -> str:
    """Check the bytes (complete, no NUL, UTF-8) and decode them."""
    if not content:
        msg = f"{path} is empty: it has not even a header."
        raise GoldenError(msg, fix="Take it from git again, or write drawing_id,name,pred as its first line")
    if b"\0" in content:
        fix = "Save it as UTF-8 (a spreadsheet's 'Unicode text' is UTF-16)"
        _refuse(path, content, content.index(b"\0"), "a NUL character, so this is no UTF-8 text", fix)
    if not content.endswith(b"\n"):
        fix = "Take it from git again; or end the last line if it is whole"
        _refuse(path, content, len(content), "truncated, the last line has no end", fix)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fix = f"Convert it: iconv -f cp932 -t utf-8 '{path}'"
        _refuse(path, content, error.start, f"not UTF-8 ({error.reason})", fix)


def _refuse(path: Path, content: bytes, place: int, what: str, fix: str) -> NoReturn:
    line = content.count(b"\n", 0, place) + 1
    msg = f"{path}, line {line}: {what}."
    raise GoldenError(msg, fix=fix)
