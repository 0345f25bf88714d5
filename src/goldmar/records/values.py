"""Long-format values: the golden's and the answers'."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self, overload

__all__ = ["CategoricalColumn", "Value", "Values", "Vocabulary", "compact"]

Value = float | int | str | bool | None
"""One leaf of a JSON answer."""


class CategoricalColumn(Sequence[str]):
    """A column of texts that repeat: each different text once, and for each row the code of its text.

    Reads like a list of strings and does not change. A million rows take eight megabytes, and two such columns are
    joined by numbers.
    """

    __slots__ = ("categories", "codes")

    def __init__(self, texts: Sequence[str], codes: "array[int]") -> None:
        self.categories = tuple(texts)  # no text twice
        self.codes = codes  # of type "q"

    @classmethod
    def of(cls, column: Iterable[str]) -> Self:
        """Give each text a code, in the order in which they first appear."""
        codes_of = Vocabulary()
        codes = array("q", map(codes_of.__getitem__, column))
        return cls(tuple(codes_of), codes)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> list[str]: ...

    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self.categories[code] for code in self.codes[row]]
        return self.categories[self.codes[row]]

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[str]:
        return map(self.categories.__getitem__, self.codes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"CategoricalColumn({len(self)} rows, {len(self.categories)} different)"


class Vocabulary(dict[str, int]):
    """Text -> its code. A text gets the next code when it is first looked up."""

    def __missing__(self, text: str) -> int:
        self[text] = code = len(self)
        return code


@dataclass(frozen=True, slots=True)
class Values:
    """Long-format values as three columns of equal length; one row a value.

    Lists will do. `Values.of` makes columns that take less memory and compare faster, which counts from a hundred
    thousand rows on.
    """

    drawing_ids: Sequence[str]
    names: Sequence[str]
    values: Sequence[Value]

    @classmethod
    def of(cls, drawing_ids: Iterable[str], names: Iterable[str], values: Sequence[Value]) -> Self:
        """Columns in their compact form: texts numbered, and floats, where there is nothing else, as an array."""
        return cls(CategoricalColumn.of(drawing_ids), CategoricalColumn.of(names), compact(values))

    def __len__(self) -> int:
        return len(self.values)


def compact(values: Sequence[Value]) -> Sequence[Value]:
    """The same values as an array of doubles, where each of them is a float; otherwise as they are."""
    try:
        # conjugate gives a float back as it is, and refuses what is none: an integer or a boolean stays what it is.
        return array("d", map(float.conjugate, values))  # type: ignore[arg-type]
    except TypeError:
        return values
