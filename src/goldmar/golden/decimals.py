"""Decimal numbers read from bytes, many at once, rounded exactly as float() rounds them.

All digits of a number make one integer, its mantissa, and the float wanted is that integer times a power of ten. The
product is computed in pairs of doubles (Dekker 1971), some 100 bits wide, with a bound on its error: where both ends of
that bound round to the same double, so does the true product. Other numbers are left to the caller.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def _u64(*numbers: int) -> Words:
    return np.array(numbers, np.uint64)


# A word holds its first byte in its lowest bits. Its first n bytes and its last n bytes, by n:
FIRST_BYTES = _u64(*((1 << 8 * n) - 1 for n in range(9)))
_LAST_BYTES = _u64(*((1 << 64) - (1 << 8 * (8 - n)) for n in range(9)))
_POWERS = _u64(*(10**n for n in range(19)))
_ZEROS, _HIGH, _SIX, _LOW = (np.uint64(byte * 0x0101010101010101) for byte in (0x30, 0xF0, 0x06, 0x0F))
_MINUS, _ZERO = np.uint64(ord("-")), np.uint64(ord("0"))
_SPLIT = 2.0**27 + 1.0
_ERROR = 2.0**-100  # relative, and more than the eight roundings of 2**-106 each that there are
_E_MINUS, _E_PLUS = (np.uint64(int.from_bytes(start, "little")) for start in (b"e-", b"e+"))
_LEAST = -24 - 99  # the least power of ten: 24 digits behind the dot, and an exponent of -99
_DIGITS = 18  # so many fit a signed integer of 64 bits


@dataclass(frozen=True, slots=True)
class Decimals:
    """What fields are: `floats` counts where `is_float`, and `integers` where `is_integer`; a field may be neither."""

    floats: Floats
    integers: Rows
    is_float: Flags
    is_integer: Flags


def decimals(words: Words, starts: Rows, ends: Rows, dots: Rows) -> Decimals:
    """Read fields as -?(0|[1-9][0-9]*)(\\.[0-9]+)?(e[+-][0-9]{2})?, an integer where only the first part is there.

    Args:
        words: the eight bytes from each offset on, as one little-endian integer. Fields are 24 bytes or more from 0.
        starts: offset of each field's first byte, [n].
        ends: offset behind its last byte, [n].
        dots: offset of its last dot, [n]; before the start where it has none.
    """
    negative = (words[starts] & np.uint64(0xFF)) == _MINUS
    firsts = starts + negative
    shift, exponential = _exponents(words, ends)
    ends = np.where(exponential, ends - 4, ends)
    dotted = dots >= firsts
    dots = np.where(dotted, dots, ends)
    whole_length, part_length = dots - firsts, np.where(dotted, ends - dots - 1, 0)

    whole, good = _digits(words, dots, whole_length)
    good &= (whole_length == 1) | ((whole_length > 1) & ((words[firsts] & np.uint64(0xFF)) != _ZERO))
    part, part_good = _digits(words, ends, part_length)
    good &= part_good & (dotted == (part_length > 0))
    good &= (whole == 0) | (whole_length + part_length <= _DIGITS)
    mantissa = np.where(good, whole * _POWERS.take(part_length, mode="clip") + part, 0)
    floats, certain = _scaled(mantissa, np.where(good, shift - part_length, 0))
    integers = mantissa.astype(np.int64)
    is_integer = good & ~dotted & ~exponential
    return Decimals(
        floats=np.where(negative, -floats, floats),
        integers=np.where(negative, -integers, integers),
        is_float=good & certain & ~is_integer,
        is_integer=is_integer,
    )


def _exponents(words: Words, ends: Rows) -> tuple[Rows, Flags]:
    """The power of ten that the last four bytes of each field name, as in e-07, and where they name one."""
    powers, there = np.zeros(len(ends), np.int64), np.full(len(ends), False)
    sign = words[ends - 4] & np.uint64(0xFFFF)
    rows = np.flatnonzero((sign == _E_MINUS) | (sign == _E_PLUS))
    if rows.size:
        digits, there[rows] = _eight_digits(words, ends[rows], np.full(len(rows), 2))
        powers[rows] = np.where(there[rows], digits.astype(np.int64), 0) * np.where(sign[rows] == _E_MINUS, -1, 1)
    return powers, there


def _digits(words: Words, ends: Rows, lengths: Rows) -> tuple[Words, Flags]:
    """The number that the last `lengths` bytes before `ends` spell, and where they are digits and below 2**63."""
    number, good = _eight_digits(words, ends, lengths)
    good &= lengths <= 24
    for offset in (8, 16):
        rows = np.flatnonzero(lengths > offset)
        if not rows.size:
            break
        higher, higher_good = _eight_digits(words, ends[rows] - offset, lengths[rows] - offset)
        number[rows] += higher * _POWERS[offset]
        good[rows] &= higher_good & (higher < np.uint64(10**8 if offset == 8 else 922))
    return number, good


def _eight_digits(words: Words, ends: Rows, lengths: Rows) -> tuple[Words, Flags]:
    kept = _LAST_BYTES.take(lengths, mode="clip")
    word = (words[ends - 8] & kept) | (_ZEROS & ~kept)
    good = (word & (word + _SIX) & _HIGH) == _ZEROS
    # Neighbours are put together: digits to pairs, pairs to fours, fours to eight.
    word &= _LOW
    word = (word * np.uint64(1 + (10 << 8)) >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    word = (word * np.uint64(1 + (100 << 16)) >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    return word * np.uint64(1 + (10_000 << 32)) >> np.uint64(32), good


@cache
def _powers_of_ten() -> tuple[Floats, Floats, Floats, Floats]:
    """10**n from n = _LEAST on as the sum of two doubles, and the first of them as a sum of two with 26 bits each."""
    exact = [Fraction(10) ** n for n in range(_LEAST, 100)]
    high = np.array([float(power) for power in exact])
    low = np.array([float(power - Fraction(float(first))) for power, first in zip(exact, high, strict=True)])
    return high, low, *_halves(high)


def _halves(numbers: Floats) -> tuple[Floats, Floats]:
    shifted = numbers * _SPLIT
    high = shifted - (shifted - numbers)
    return high, numbers - high


def _scaled(mantissa: Words, power: Rows) -> tuple[Floats, Flags]:
    """mantissa * 10**power, and where it is certainly the nearest double."""
    ten, ten_rest, ten_high, ten_low = (column[power - _LEAST] for column in _powers_of_ten())
    factor = mantissa.astype(np.float64)
    factor_rest = (mantissa - factor.astype(np.uint64)).astype(np.int64).astype(np.float64)
    high, low = _halves(factor)
    product = factor * ten
    rest = ((high * ten_high - product) + high * ten_low + low * ten_high) + low * ten_low
    rest += factor * ten_rest + factor_rest * ten
    error = product * _ERROR
    rounded = product + (rest + error)
    return rounded, rounded == product + (rest - error)
