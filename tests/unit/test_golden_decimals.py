"""Decimals read many at once: to the bit what float() makes of them, or left alone."""

import random
import re
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from goldmar.golden.decimals import decimals

FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:e[+-][0-9]{2})?|e[+-][0-9]{2})")
INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")


def read(fields):
    """Each field as a float, an integer or None."""
    data = b"\0" * 32 + "".join(f",{field}" for field in fields).encode() + b"\n" + b"\0" * 32
    words = np.ndarray(len(data) - 7, "<u8", buffer=data, strides=(1,))
    lengths = np.array([len(field.encode()) for field in fields])
    starts = 33 + np.concatenate([[0], np.cumsum(lengths + 1)[:-1]])
    dots = np.array([data.rfind(b".", 0, end) for end in (starts + lengths).tolist()])
    found = decimals(words, starts, starts + lengths, dots)
    assert not (found.is_float & found.is_integer).any()
    kinds = zip(found.floats.tolist(), found.integers.tolist(), found.is_float, found.is_integer, strict=True)
    return [number if is_float else integer if is_integer else None for number, integer, is_float, is_integer in kinds]


def check(fields):
    """Whatever is read is right; returns how many were read."""
    found = read(fields)
    for field, number in zip(fields, found, strict=True):
        if isinstance(number, float):
            assert FLOAT.fullmatch(field)
            assert struct.pack("<d", number) == struct.pack("<d", float(field)), field
        elif number is not None:
            assert INTEGER.fullmatch(field)
            assert number == int(field)
    return sum(number is not None for number in found)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False).map(repr), min_size=1, max_size=30))
@example(["0.5", "-0.0", "1e-05", "123456789012345.6", "9007199254740993.0", "5e-324", "1.7976931348623157e+308"])
def test_floats_as_python_writes_them(fields):
    ordinary = [field for field in fields if 1e-99 < abs(float(field)) < 1e99 or float(field) == 0]
    assert check(fields) >= len(ordinary) - sum(abs(float(field)) >= 2**53 for field in ordinary)


def test_many_floats_of_many_sizes_are_all_read():
    draw = random.Random(20220616)
    sizes = (1e-30, 1e-9, 1e-4, 1.0, 640.0, 1e12, 1e40)
    fields = [repr(draw.uniform(-1, 1) * size) for size in sizes for _ in range(3000)]
    fields += [repr(float(np.float32(draw.random()))) for _ in range(3000)]
    assert check(fields) == len(fields)


@given(
    st.lists(
        st.from_regex(r"-?[0-9]{1,25}(\.[0-9]{0,30})?([eE][+-]?[0-9]{0,4})?|[-.e0-9+x,]{0,12}", fullmatch=True).map(
            lambda field: field.replace(",", "")
        ),
        min_size=1,
        max_size=30,
    )
)
@example(["1.", ".5", "-", "", "e-05", "-e-05", "1e-0", "00.5", "-01", "1:5", "1/5", "1.5.5", "1e5", "1E-05", "+1.5"])
@example(["0." + "0" * 24 + "1", "0.00000000000000000000001", "0.922337203685477580799999", "9" * 18, "9" * 19])
@example(["0.5" + "0" * 26, "1" + "0" * 24, "1" + "0" * 24 + ".5", "5.5" + "0" * 24, "1.5e99", "9" * 18 + "e-99"])
def test_whatever_it_is_nothing_is_misread(fields):
    check(fields)


@pytest.mark.parametrize("places", range(1, 18))
def test_numbers_halfway_between_two_floats(places):
    """And their neighbours in the last digit, where one unit decides which way they are rounded."""
    draw = random.Random(places)
    fields = []
    for _ in range(40):
        number = draw.uniform(2**53, 2**56) / 2**places if places < 10 else draw.random()
        low, high = number, np.nextafter(number, np.inf)
        (a, b), (c, d) = low.as_integer_ratio(), float(high).as_integer_ratio()
        middle = (a * d + c * b) * 10**17 // (2 * b * d)
        for units in (middle - 1, middle, middle + 1):
            digits = str(units).rjust(18, "0")
            fields.append(f"{digits[:-17]}.{digits[-17:]}"[:20])
    check(fields)


def test_signs_and_kinds():
    assert read(["-0.0", "-0", "12", "-12", "1.5e-07", "2e+16", "nan"]) == [0.0, 0, 12, -12, 1.5e-07, 2e16, None]
