"""Goldens to and from pandas, types kept."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from goldmar.errors import GoldenError, MissingExtraError
from goldmar.golden import from_frame, read_values, to_frame, write_values
from goldmar.records import Values

CELLS = Values(["a", "a", "b", "b", "c"], ["x", "n", "label", "ok", "none"], [9.607873916625977, 3, "9.6", True, None])


def test_there_and_back() -> None:
    again = from_frame(to_frame(CELLS))
    assert again == CELLS
    assert [type(value) for value in again.values] == [float, int, str, bool, type(None)]


def test_an_experiment_becomes_a_golden(tmp_path: Path) -> None:
    """What a notebook holds is in wide format and in numpy's types."""
    wide = pd.DataFrame({"drawing_id": ["a", "b"], "thickness": np.array([9.5, 0.1], dtype=np.float32)})
    frame = wide.melt(id_vars="drawing_id", var_name="name", value_name="pred")
    write_values(tmp_path / "expected.csv", from_frame(frame))
    read = read_values(tmp_path / "expected.csv")
    assert dict(zip(read.drawing_ids, read.values, strict=True)) == {"a": 9.5, "b": float(np.float32(0.1))}


@pytest.mark.parametrize(
    ("value", "kind"), [(np.bool_(True), bool), (np.int64(3), int), (np.float32(0.5), float), (np.str_("x"), str)]
)
def test_numpy_becomes_python(value: object, kind: type) -> None:
    frame = pd.DataFrame({"drawing_id": ["a"], "name": ["x"], "pred": pd.Series([value], dtype="object")})
    assert isinstance(from_frame(frame).values[0], kind)


def test_wide_format_is_refused_with_the_way_out() -> None:
    with pytest.raises(GoldenError, match="no column 'name'") as refused:
        from_frame(pd.DataFrame({"drawing_id": ["a"], "thickness": [1.0]}))
    assert "melt" in str(refused.value.fix)


def test_a_list_in_a_cell_is_refused() -> None:
    frame = pd.DataFrame({"drawing_id": ["a"], "name": ["x"], "pred": [[1.0, 2.0]]})
    with pytest.raises(GoldenError, match="Row 0"):
        from_frame(frame)


def test_without_pandas_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="needs the package 'pandas'") as missing:
        to_frame(CELLS)
    assert missing.value.fix == "pip install 'goldmar[pandas]'"
