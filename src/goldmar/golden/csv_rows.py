"""A CSV file as blocks of three columns of text, with the line of whatever is wrong in it.

A file without quotes and carriage returns is cut at its commas and line ends, a megabyte at once; any other goes
through the csv module. Both read the same from a file that both can read.
"""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NoReturn

from goldmar.errors import GoldenError
from goldmar.files import open_ordinary

__all__ = ["Block", "columns_of", "line_of", "refuse_row"]

Block = Sequence[Sequence[str]]
"""Some rows, turned: as many texts for the first column as for the second and the third."""

_BLOCK = 1 << 20
_ROWS_AT_ONCE = 8192
_END = "\n"


@contextmanager
def columns_of(path: Path) -> Iterator[tuple[list[str], Iterator[Block]]]:
    """The header, and then the rows below it block by block.

    Raises GoldenError, with the line: missing or unreadable file, NUL, not UTF-8, truncated, rows that have not three
    fields, broken quotes.
    """
    plain = _scan(path)
    limit = csv.field_size_limit(2**31 - 1)  # an answer may hold a long text
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, strict=True)
            header = next(rows, [])
            try:
                yield header, _cut(path) if plain else _parsed(path, rows)
            except csv.Error as error:
                msg = f"{path}, line {rows.line_num}: no CSV ({error})."
                raise GoldenError(msg, fix="Look at the quotes of that line; the file may be truncated") from error
    except UnicodeDecodeError as error:
        msg = f"{path}, line {_line_of_bad_byte(path)}: not UTF-8 ({error.reason})."
        raise GoldenError(msg, fix=f"Convert it: iconv -f cp932 -t utf-8 '{path}'") from error
    finally:
        csv.field_size_limit(limit)


def refuse_row(path: Path, row: int, what: str, fix: str) -> NoReturn:
    """Raise GoldenError about a row, counted from 0 below the header, with the line that it ends on."""
    msg = f"{path}, line {line_of(path, row)}: {what}."
    raise GoldenError(msg, fix=fix)


def line_of(path: Path, row: int) -> int:
    """The line that a row below the header ends on; more than rows where a field holds line ends."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.reader(stream, strict=True)
        for _ in islice(rows, row + 2):
            pass
        return rows.line_num


def _scan(path: Path) -> bool:
    """What can be told from the bytes alone: there at all, whole, no NUL. Returns whether commas and LF say it all."""
    line, last, plain = 1, b"", True
    try:
        with open_ordinary(path) as stream:
            while block := stream.read(_BLOCK):
                at = block.find(b"\0")
                if at >= 0:
                    line += block.count(b"\n", 0, at)
                    msg = f"{path}, line {line}: a NUL character, so this is no UTF-8 text."
                    raise GoldenError(msg, fix="Save it as UTF-8 (a spreadsheet's 'Unicode text' is UTF-16)")
                line += block.count(b"\n")
                plain = plain and b'"' not in block and b"\r" not in block
                last = block[-1:]
    except FileNotFoundError:
        msg = f"{path} does not exist."
        raise GoldenError(msg, fix=f"Look for it: ls '{path.parent}'") from None
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}."
        raise GoldenError(msg, fix=f"ls -l '{path}'") from error
    if not last:
        msg = f"{path} is empty: it has not even a header."
        raise GoldenError(msg, fix="Take it from git again, or write drawing_id,name,pred as its first line")
    if last != b"\n":
        msg = f"{path}, line {line}: truncated, the last line has no end."
        raise GoldenError(msg, fix="Take it from git again; or end the last line if it is whole")
    return plain


def _cut(path: Path) -> Iterator[Block]:
    """A plain file. With a field of its own for each line end, every fourth field is one if all rows have three."""
    row = 0
    with path.open("rb") as stream:
        stream.readline()
        while block := stream.read(_BLOCK):
            text = (block + stream.readline()).decode()
            fields = text.replace(_END, ",\n,").split(",")
            count = len(fields) // 4
            if len(fields) != 4 * count + 1 or fields[3::4] != [_END] * count:
                lines = text.split(_END)
                wrong = next(i for i, line in enumerate(lines) if line.count(",") != 2)
                _refuse_ragged(path, row + wrong, lines[wrong].count(",") + 1 if lines[wrong] else 0)
            yield fields[0:-1:4], fields[1::4], fields[2::4]
            row += count


def _parsed(path: Path, rows: Iterator[list[str]]) -> Iterator[Block]:
    row = 0
    while block := list(islice(rows, _ROWS_AT_ONCE)):
        if set(map(len, block)) != {3}:
            wrong = next(i for i, fields in enumerate(block) if len(fields) != 3)
            _refuse_ragged(path, row + wrong, len(block[wrong]))
        yield list(zip(*block, strict=True))
        row += len(block)


def _refuse_ragged(path: Path, row: int, fields: int) -> NoReturn:
    what = f"has {fields} field{'' if fields == 1 else 's'}, not 3" if fields else "is empty"
    refuse_row(path, row, what, 'Write each row as drawing_id,name,pred; quote fields that hold commas: "a,b"')


def _line_of_bad_byte(path: Path) -> int:
    content = path.read_bytes()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return content.count(b"\n", 0, error.start) + 1
    return 0
