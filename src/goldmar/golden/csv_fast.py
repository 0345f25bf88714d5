"""A golden CSV read with numpy: as strict as `csv_strict`, and faster than pandas.read_csv, which checks nothing.

It finds all commas, dots and line ends of some megabytes at once, and then takes eight bytes as one integer wherever it
looks. Texts are grouped by a hash of such integers and compared whole, so nothing rests on a hash being unique. A
number is all its digits as one integer, times a power of ten, rounded as float() rounds. What is not plain is left to
`csv_strict`, which has the words for errors.
"""

import csv
from array import array
from collections.abc import Mapping, Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from goldmar.golden.csv_strict import places_of
from goldmar.golden.decimals import FIRST_BYTES, Flags, Floats, Rows, Words, decimals
from goldmar.golden.grammar import parse_pred, parse_text
from goldmar.records import CategoricalColumn, Value, Values

_BLOCK = 8 << 20
_PAD = 32
_NEWLINE, _COMMA, _DOT, _QUOTE, _RETURN = b'\n,."\r'
_BESIDE_QUOTES = (_NEWLINE, _COMMA, _QUOTE, _RETURN)
_LONGEST = 512  # bytes of a text
# Odd factors without pattern, one for each try.
_ODD = [np.uint64(number) for number in np.random.default_rng(7).integers(1 << 62, 1 << 63, 8) | 1]


class _NotPlainError(Exception):
    """Something that `csv_strict` has to look at."""


def read_fast(content: bytes, columns: Mapping[str, str]) -> Values | None:
    """The values in the content of a golden CSV; None where it has to be read by `read_strict`.

    That is where anything is wrong, and for a few files in which nothing is: quotes in the middle of a field that is
    not quoted, a carriage return that ends no line, texts of more than 512 bytes.
    """
    ids, names = _Column("drawing_id"), _Column("name")
    floats = array("d")
    mixed: list[Value] = []  # all values, once there is one that is no float
    try:
        end = content.index(b"\n") + 1
        header = content[:end].decode("utf-8-sig")
        places = places_of(next(csv.reader([header], strict=True), []), columns)
        if places is None or b"\0" in content or not content.endswith(b"\n"):
            return None
        while end < len(content):
            start, end = end, content.find(b"\n", end + _BLOCK) + 1 or len(content)
            block = _Block(content[start:end])
            ids.extend(block, places[0])
            names.extend(block, places[1])
            values = block.values(places[2])
            if isinstance(values, np.ndarray) and not mixed:
                floats.frombytes(values.tobytes())
            else:
                mixed = mixed or list(floats)
                mixed.extend(values if isinstance(values, list) else values.tolist())
    except (_NotPlainError, ValueError, csv.Error):  # a field that is wrong or bytes that are not UTF-8: ValueErrors
        return None
    columns_read = ids.whole(), names.whole()
    return None if _repeated(*columns_read) else Values(*columns_read, mixed or floats)


class _Column:
    """A column of texts that grows block by block."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._numbers: dict[str, int] = {}  # a number for each text, with gaps between them
        self._next = 0
        self._rows: list[Rows] = [np.empty(0, np.int64)]

    def extend(self, block: "_Block", place: int) -> None:
        rows, texts = block.texts(block.starts[place], block.ends[place])
        # Only what was quoted can begin with a double quote.
        if block.has_quotes or "" in texts:
            texts = [parse_text(text, self._title) for text in texts]
        numbers = map(self._numbers.setdefault, texts, count(self._next))
        self._rows.append(np.fromiter(numbers, np.int64, len(texts))[rows])
        self._next += len(texts)

    def whole(self) -> CategoricalColumn:
        known = np.fromiter(self._numbers.values(), np.int64, len(self._numbers))
        dense = np.empty(self._next, np.int64)
        dense[known] = np.arange(len(known))
        return CategoricalColumn(tuple(self._numbers), array("q", dense[np.concatenate(self._rows)].tobytes()))


def _repeated(ids: CategoricalColumn, names: CategoricalColumn) -> bool:
    """Whether two rows have the same drawing and name."""
    size = len(ids.categories) * len(names.categories)
    keys = np.frombuffer(ids.codes, np.int64) * len(names.categories) + np.frombuffer(names.codes, np.int64)
    if size <= 4 * len(keys) + 1024:
        return bool((np.bincount(keys, minlength=1) > 1).any())
    keys.sort()
    return bool((keys[1:] == keys[:-1]).any())


class _Block:
    """Whole lines of three fields; field number i of each line is from `starts[i]` to before `ends[i]`."""

    def __init__(self, lines: bytes) -> None:
        # A line end before the first line, and bytes that may be read with the first and the last field.
        self._data = b"\0" * (_PAD - 1) + b"\n" + lines + b"\0" * _PAD
        self._ascii = self._data.decode("ascii") if lines.isascii() else ""
        octets = np.frombuffer(self._data, np.uint8)
        self._words: Words = np.ndarray(len(self._data) - 7, "<u8", buffer=self._data, strides=(1,))

        marked = (octets == _COMMA) | (octets == _NEWLINE) | (octets == _DOT)
        self.has_quotes = b'"' in lines
        if self.has_quotes:
            marked |= octets == _QUOTE
        self._marks = np.flatnonzero(marked)
        kinds = octets[self._marks]
        between = kinds != _DOT
        if self.has_quotes:
            between &= _outside_quotes(octets, self._marks, kinds)
        self._bounds = np.flatnonzero(between)
        kinds = kinds[self._bounds[1:]]
        if len(kinds) % 3 or not (kinds.reshape(-1, 3) == (_COMMA, _COMMA, _NEWLINE)).all():
            raise _NotPlainError
        at = self._marks[self._bounds]
        self.starts, self.ends = [at[i:-1:3] + 1 for i in range(3)], [at[i + 1 :: 3] for i in range(3)]
        if b"\r" in lines:
            returns = octets[self.ends[2] - 1] == _RETURN
            if np.count_nonzero(returns) != lines.count(b"\r"):
                raise _NotPlainError
            self.ends[2] = self.ends[2] - returns

    def texts(self, starts: Rows, ends: Rows) -> tuple[Rows, list[str]]:
        """For each field the number of its text, and the texts; two of them are the same where one was quoted."""
        first = _first_of_equals(self._packed(starts, ends))
        different = np.flatnonzero(first == np.arange(len(first)))
        numbers = np.empty(len(first), np.int64)
        numbers[different] = np.arange(len(different))
        places = map(slice, starts[different].tolist(), ends[different].tolist())
        if self._ascii:
            texts = list(map(self._ascii.__getitem__, places))
        else:
            texts = [self._data[place].decode() for place in places]
        if self.has_quotes:
            texts = [text[1:-1].replace('""', '"') if text[:1] == '"' else text for text in texts]
        return numbers[first], texts

    def _packed(self, starts: Rows, ends: Rows) -> list[Words]:
        """The fields as words, one after the other, with NUL behind their end: no field holds one."""
        length = ends - starts
        longest, shortest = int(length.max(initial=1)), int(length.min(initial=_LONGEST))
        if longest > _LONGEST:
            raise _NotPlainError
        packed = []
        for offset in range(0, longest, 8):
            if offset + 8 <= shortest:
                packed.append(self._words[starts + offset])
            else:
                at = np.minimum(starts + offset, len(self._words) - 1)
                packed.append(self._words[at] & FIRST_BYTES.take(length - offset, mode="clip"))
        return packed

    def values(self, place: int) -> Floats | list[Value]:
        """The values of a column; an array where all of them are floats. Raises FieldError."""
        starts, ends = self.starts[place], self.ends[place]
        found = decimals(self._words, starts, ends, self._marks[self._bounds[place + 1 :: 3] - 1])
        others = np.flatnonzero(~(found.is_float | found.is_integer))
        numbers, texts = self.texts(starts[others], ends[others])
        parsed = [parse_pred(text) for text in texts]
        if not found.is_integer.any() and all(type(value) is float for value in parsed):
            found.floats[others] = np.array(parsed, np.float64)[numbers] if parsed else ()
            return found.floats
        values: list[Value] = found.floats.tolist()
        for rows, some in (
            (np.flatnonzero(found.is_integer), found.integers[found.is_integer].tolist()),
            (others, map(parsed.__getitem__, numbers.tolist())),
        ):
            for row, value in zip(rows.tolist(), some, strict=True):
                values[row] = value
        return values


def _outside_quotes(octets: NDArray[np.uint8], marks: Rows, kinds: NDArray[np.uint8]) -> Flags:
    """Which marks are between fields. Each double quote must begin a field, end one, or be doubled inside of one."""
    quotes = kinds == _QUOTE
    inside = np.cumsum(quotes) % 2 == 1
    opening, closing = marks[quotes & inside], marks[quotes & ~inside]
    for neighbours in (octets[opening - 1], octets[closing + 1]):
        if not np.isin(neighbours, _BESIDE_QUOTES).all():
            raise _NotPlainError
    if len(opening) != len(closing):
        raise _NotPlainError
    between: Flags = ~(inside | quotes)
    return between


def _first_of_equals(packed: Sequence[Words]) -> Rows:
    """For each row the first row that has the same words."""
    hashed = packed[0] * _ODD[0]
    for words in packed[1:]:
        hashed = ((hashed ^ (hashed >> np.uint64(32))) + words) * _ODD[0]
    first = np.empty(len(hashed), np.int64)
    bits = max(10, (2 * len(hashed)).bit_length())
    table = np.empty(1 << bits, np.int64)
    left = np.arange(len(hashed))
    for odd in _ODD:
        slot = (hashed[left] * odd) >> np.uint64(64 - bits)
        table[slot[::-1]] = left[::-1]  # of several rows the last that is written stays: the first of them
        candidate = table[slot]
        same = np.full(len(left), True)
        for words in packed:
            same &= words[candidate] == words[left]
        first[left[same]] = candidate[same]
        left = left[~same]  # all rows of a text, or none
        if not left.size:
            return first
    raise _NotPlainError
