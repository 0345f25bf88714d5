"""How numbers are written in the reports."""

import pytest

from goldmar.records import Comparison, DifferenceKind
from goldmar.report.words import difference_and_allowed


@pytest.mark.parametrize(
    ("difference", "allowed", "written"),
    [
        (0.0281, 0.01, ("0.0281", "0.01")),
        (0.01002714, 0.01, ("0.01003", "0.01")),  # both would be 0.01 in three digits
        (0.1 + 0.2, 0.3, ("0.30000000000000004", "0.29999999999999999")),
        (0.5, 0.5, ("0.5", "0.5")),
        (None, None, ("–", "–")),
    ],
)
def test_a_difference_is_seen_to_be_more_than_is_allowed(
    difference: float | None, allowed: float | None, written: tuple[str, str]
) -> None:
    failure = Comparison(DifferenceKind.DIFFERENT, "a", "x", 1.0, 1.5, difference, allowed)
    assert difference_and_allowed(failure) == written
