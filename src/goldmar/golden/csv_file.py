"""The golden CSV: one value a row, read strictly and written the same way every time. See `grammar` for its fields."""

import csv
import io
from collections.abc import Iterable, Mapping
from itertools import chain, repeat
from pathlib import Path

from goldmar.config import COLUMNS
from goldmar.errors import GoldenError
from goldmar.files import read_whole, write_atomically
from goldmar.golden.csv_strict import read_strict
from goldmar.golden.grammar import spell_pred, spell_text
from goldmar.records import Prediction, Values

_SMALL = 64 * 1024
"""Bytes up to which the csv module has read a file before numpy is even imported (0.1 s)."""


def values_of(predictions: Iterable[Prediction]) -> Values:
    """The values of predictions in three columns; a prediction with a problem has none."""
    answered = [(prediction.drawing_id, prediction.values) for prediction in predictions]
    return Values.of(
        chain.from_iterable(repeat(drawing_id, len(values)) for drawing_id, values in answered),
        chain.from_iterable(values for _, values in answered),
        [value for _, values in answered for value in values.values()],
    )


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
        writer.writerow((spell_text(key[0]), spell_text(key[1]), spell_pred(values.values[row])))
    return page.getvalue()


def read_values(path: Path, columns: Mapping[str, str] | None = None) -> Values:
    """Read a golden CSV; rows in the order of the file, columns in any order.

    Args:
        path: UTF-8, with or without a byte order mark.
        columns: drawing_id, name, pred -> header, for a CSV with other headers; the usual ones are then read as well.

    Raises GoldenError, with the line: missing or unreadable file, not UTF-8, NUL, truncated, wrong header, too few or
    too many fields, an empty field, a broken JSON string, one drawing and name twice.
    """
    return parse_values(path, read_content(path), columns)


def read_content(path: Path) -> bytes:
    """The bytes of a golden CSV. Raises GoldenError where it is missing or cannot be read."""
    try:
        return read_whole(path)
    except FileNotFoundError:
        msg = f"{path} does not exist."
        raise GoldenError(msg, fix=f"Look for it: ls '{path.parent}'") from None
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}."
        raise GoldenError(msg, fix=f"ls -l '{path}'") from error


def parse_values(path: Path, content: bytes, columns: Mapping[str, str] | None = None) -> Values:
    """The values in the content of a golden CSV; raises GoldenError, naming `path`, as `read_values` does."""
    values = None
    if len(content) > _SMALL:
        from goldmar.golden.csv_fast import read_fast

        values = read_fast(content, columns or {})
    return read_strict(path, content, columns or {}) if values is None else values
