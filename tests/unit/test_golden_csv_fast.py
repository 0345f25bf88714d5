"""The fast reader of golden CSVs reads what the strict one reads, and nothing that it refuses."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from goldmar.errors import GoldenError
from goldmar.golden import csv_fast, csv_file
from goldmar.golden.csv_file import read_values, to_csv
from goldmar.golden.csv_strict import read_strict
from goldmar.records import Values

HEADER = "drawing_id,name,pred\n"
PIECES = [
    *("a", "b", "boxes[0].x0", "図", "e", "nan", "true", "-inf", "x" * 8, "x" * 600, "\ufeff", "\u2028", "\x1c", " "),
    *("0", "12", "007", "-0", "1.5", "-0.0", "1e-05", "2.5e+16", "1.25e-07", ".", "-", "e-05", "1.", "_", "+1", "１"),
    *('"', '""', '"x"', '"""x"""', '"a, b"', ",", ",,", "\n", "\r\n", "\r", "\0"),
]
WORDS = st.sampled_from(PIECES)
NUMBERS = st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{0,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
FIELDS = st.one_of(WORDS, st.lists(WORDS, max_size=3).map("".join), NUMBERS, st.text(max_size=20))


def said(read):
    """What a reader makes of a file: its rows with their types, or None for one that is refused."""
    try:
        values = read()
    except GoldenError:
        return None
    return values and list(zip(values.drawing_ids, values.names, map(repr, values.values), strict=True))


def both(content, columns=None):
    fast = said(lambda: csv_fast.read_fast(content, columns or {}))
    strict = said(lambda: read_strict(Path("a.csv"), content, columns or {}))
    assert fast is None or fast == strict, content
    return fast, strict


@pytest.fixture(params=[50, 8 << 20])
def block(request, monkeypatch):
    """A file is read in pieces of so many bytes."""
    monkeypatch.setattr(csv_fast, "_BLOCK", request.param)


@st.composite
def files(draw):
    rows = draw(st.lists(st.lists(FIELDS, min_size=3, max_size=3), max_size=8))
    page, quoting = io.StringIO(), draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    csv.writer(page, quoting=quoting, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))).writerows(rows)
    return (draw(st.sampled_from([HEADER, "\ufeff" + HEADER])) + page.getvalue()).encode("utf-8", "surrogatepass")


@pytest.mark.usefixtures("block")
@given(content=files())
def test_rows_are_read_alike(content):
    both(content)


@pytest.mark.usefixtures("block")
@given(raw=st.lists(st.one_of(WORDS, st.sampled_from([",", "\n"])), max_size=40).map("".join))
@example(raw='a,"x\n"",1\nb,""y",2\n')
@example(raw='a,x,"1\r\n2"\r\n')
@example(raw='"",x,1\n')
@example(raw='a,x,1\n"b\n",x,2\n' * 3)
@example(raw='"a\r\nb",x,1\r\n')
@example(raw="a,x,1\r2\n")
@example(raw="a,x,1\r\r\n")
def test_whatever_it_is_nothing_that_is_wrong_is_accepted(raw):
    both((HEADER + raw).encode())
    both((HEADER + raw + "\n").encode())


@pytest.mark.usefixtures("block")
@given(
    table=st.dictionaries(
        st.tuples(st.text(max_size=9), st.text(max_size=9)),
        st.one_of(st.floats(), st.integers(-(2**70), 2**70), st.booleans(), st.none(), st.text(max_size=20)),
        max_size=20,
    ),
    crlf=st.booleans(),
)
def test_what_goldmar_wrote_is_read_fast(table, crlf):
    text = to_csv(Values([key[0] for key in table], [key[1] for key in table], list(table.values())))
    fast, strict = both(text.replace("\n", "\r\n" if crlf else "\n").encode())
    assert fast == strict is not None


PLAIN = b"drawing_id,name,pred\na,x,1.5\nb,y,2.5\nb,x,flange\n"
WRONG = {
    "a NUL": PLAIN.replace(b"flange", b"fl\0nge"),
    "no end": PLAIN.removesuffix(b"\n"),
    "not UTF-8": PLAIN.replace(b"flange", b"fl\xffnge"),
    "not UTF-8 in quotes": PLAIN.replace(b"flange", b'"fl\xffnge"'),
    "too few fields": PLAIN.replace(b"y,2.5", b"y"),
    "too many fields": PLAIN.replace(b"2.5", b"2.5,3"),
    "two wrongs": PLAIN.replace(b"x,1.5", b"x").replace(b"y,2.5", b"y,2.5,3"),
    "an empty line": PLAIN.replace(b"b,y", b"\nb,y"),
    "an empty drawing_id": PLAIN.replace(b"a,x", b",x"),
    "an empty name": PLAIN.replace(b"a,x", b"a,"),
    "an empty pred": PLAIN.replace(b"1.5", b""),
    "an empty pred before CRLF": PLAIN.replace(b"1.5", b"").replace(b"\n", b"\r\n"),
    "an empty text in quotes": PLAIN.replace(b"a,x", b'"",x'),
    "one key twice": PLAIN.replace(b"b,y", b"a,x"),
    "one key in two spellings": PLAIN.replace(b"b,y", b'"""a""",x'),
    "one key, once in quotes": PLAIN.replace(b"b,y", b'"a",x'),
    "half a JSON string": PLAIN.replace(b"flange", b'"""flange"'),
    "a quote that does not end": PLAIN.replace(b"flange", b'"flange'),
    "a quote that does not end, in a line of its own": PLAIN + b'"b\n',
    "text behind a quote": PLAIN.replace(b"flange", b'"fl"ange'),
    "another header": PLAIN.replace(b"pred", b"value"),
    "nothing": b"",
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_refused_by_both(what):
    assert both(PLAIN)[0] is not None
    assert both(PLAIN.replace(b"flange", b'"a, ""b"""'))[0] is not None
    assert both(WRONG[what]) == (None, None)


def test_a_duplicate_is_found_where_few_of_the_possible_keys_are_there():
    rows = [f"{number},{number}" for number in range(3000)]
    assert both((HEADER + "".join(f"{row},1.5\n" for row in rows)).encode())[0] is not None
    assert both((HEADER + "".join(f"{row},1.5\n" for row in [*rows, rows[7]])).encode()) == (None, None)


@pytest.mark.parametrize(
    "order", [("pred", "図面_id", "name"), ("name", "pred", "図面_id"), ("図面_id", "name", "pred")]
)
def test_columns_in_any_order_under_any_name(order):
    row = {"図面_id": "a.b", "name": "x.0", "pred": "-1.5e-07"}
    content = f"{','.join(order)}\n{','.join(map(row.__getitem__, order))}\n".encode()
    assert both(content, {"drawing_id": "図面_id"})[0] == [("a.b", "x.0", "-1.5e-07")]
    assert both(content) == (None, None)


@pytest.mark.parametrize("texts", [5, 50])
def test_texts_of_one_hash_are_told_apart(monkeypatch, texts):
    """The hash only says where to look: texts are compared whole, and where too many have one, nothing is guessed."""
    monkeypatch.setattr(csv_fast, "_ODD", [np.uint64(0)] * 8)
    rows = "".join(f"drawing number {number % texts},{number},1.5\n" for number in range(texts))
    fast, strict = both((HEADER + rows).encode())
    assert (fast is not None) is (texts == 5)
    assert strict is not None


def test_a_large_file_is_read_fast_and_a_small_one_without_numpy(tmp_path, monkeypatch):
    calls = []
    fast = csv_fast.read_fast
    monkeypatch.setattr(csv_fast, "read_fast", lambda *args: calls.append(1) or fast(*args))
    rows = "".join(f"d{number},x,{number}.5\n" for number in range(10_000))
    (tmp_path / "a.csv").write_text(HEADER + rows)
    assert len(read_values(tmp_path / "a.csv")) == 10_000
    assert calls == [1]
    (tmp_path / "a.csv").write_text(HEADER + rows[: csv_file._SMALL // 2].rpartition("\n")[0] + "\n")
    assert len(read_values(tmp_path / "a.csv")) > 1000
    assert calls == [1]
    (tmp_path / "a.csv").write_text(HEADER + rows + "d5,x,7.5\n")
    with pytest.raises(GoldenError, match="line 10002: has drawing 'd5', name 'x' again, as line 7 has"):
        read_values(tmp_path / "a.csv")


def test_an_array_of_floats_stays_one():
    read = csv_fast.read_fast((HEADER + "a,x,1.5\nb,x,nan\nc,x,1e-300\nd,x,-0.0\n").encode(), {})
    assert read.values.typecode == "d"
    assert list(map(repr, read.values)) == ["1.5", "nan", "1e-300", "-0.0"]
    assert math.copysign(1, read.values[3]) == -1
