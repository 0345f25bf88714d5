"""Values as a pandas DataFrame: the way between a golden and the notebook in which its model was made."""

from collections.abc import Hashable
from numbers import Integral, Real
from typing import Any

from goldmar.config import COLUMNS
from goldmar.errors import GoldenError, MissingExtraError
from goldmar.records import Value, Values


def to_frame(values: Values) -> Any:
    """A pandas.DataFrame of columns drawing_id, name, pred in long format, one row a value; pred keeps its types.

    Raises MissingExtraError without pandas.
    """
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise MissingExtraError("pandas", "pandas", "A data frame") from None

    columns = {"drawing_id": values.drawing_ids, "name": values.names, "pred": values.values}
    return pd.DataFrame(columns, columns=list(COLUMNS), dtype="object")


def from_frame(frame: Any) -> Values:
    """Values of a pandas.DataFrame in long format: columns drawing_id, name and pred, in any order.

    numpy's numbers become Python's, so that `write_values` writes them as every other golden is written. Raises
    GoldenError where a column is missing, or where a pred is neither number, string, bool nor None.
    """
    missing = [column for column in COLUMNS if column not in frame.columns]
    if missing:
        msg = f"The DataFrame has no column {missing[0]!r}; it has {', '.join(map(str, frame.columns))}."
        raise GoldenError(msg, fix="frame.rename(columns=...), or frame.melt(...) if it is in wide format")
    return Values(
        [str(drawing_id) for drawing_id in frame["drawing_id"]],
        [str(name) for name in frame["name"]],
        [_value(pred, row) for row, pred in zip(frame.index, frame["pred"], strict=True)],
    )


def _value(pred: object, row: Hashable) -> Value:
    if pred is None or isinstance(pred, (bool, str)):
        return pred
    if type(pred).__module__ == "numpy" and type(pred).__name__ == "bool":
        return bool(pred)
    if isinstance(pred, Integral):
        return int(pred)
    if isinstance(pred, Real):
        return float(pred)
    msg = f"Row {row!r} of the DataFrame: {pred!r} is neither a number, a string, a bool nor None."
    raise GoldenError(msg, fix="one value a row: explode lists, and name their parts as in boxes[0].x0")
