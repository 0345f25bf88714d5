"""From the text of a CSV to the table that the model takes; needs no TorchServe to be tested."""

import csv
import io
from collections.abc import Sequence

import numpy as np
from items import BadRequest


def read_table(text: str, columns: Sequence[str]) -> np.ndarray:
    """float64 [rows, len(columns)]: the columns by their names, in this order; others are left. Raises BadRequest."""
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise BadRequest(f"The table is no CSV: {error}.") from None
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise BadRequest(f"The table has no column {missing[0]}; it wants {', '.join(columns)}.")
    if not rows:
        raise BadRequest("The table has a header and no rows.")
    return np.array([[_number(row[name], name, line) for name in columns] for line, row in enumerate(rows, 1)])


def _number(text: str | None, name: str, line: int) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise BadRequest(f"{name} in row {line} is {text!r}, which is no number.")
    return number
