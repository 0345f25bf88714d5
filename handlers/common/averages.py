"""An image made smaller as pdfium does it, to the same gray levels (CStretchEngine of pdfium): each pixel is the mean
of the area under it, across first, then down, in fixed point and rounded down both times.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sheet import Gray

ONE = 1 << 16  # weights are fractions of it
BAND = 16  # pixels made by one matrix product; with STRIP small enough for BLAS to keep to one thread
STRIP = 128  # rows, or columns, worked on at once: they stay in the cache

Weights = NDArray[np.float32]


def averaged(gray: Gray, columns: int, rows: int) -> Gray:
    """uint8 [H, W] -> [rows, columns], neither larger than before."""
    height, width = gray.shape
    if (height, width) == (rows, columns):
        return gray
    if (height, width) == (4 * rows, 4 * columns):
        return _four_down(_four_across(gray))
    return _down(_across(gray, columns), rows)


# --- means of four, for which integers do


def _four_across(gray: Gray) -> Gray:
    """Mean of each four neighbours in a row, rounded down: uint8 [H, 4 W] -> [H, W]."""
    means = np.empty((gray.shape[0], gray.shape[1] // 4), np.uint8)
    for top in range(0, len(gray), STRIP):
        fours = np.ascontiguousarray(gray[top : top + STRIP]).view("<u4")
        pairs = fours & np.uint32(0x00FF00FF)
        pairs += (fours >> np.uint32(8)) & np.uint32(0x00FF00FF)
        pairs *= np.uint32(0x00010001)  # both pairs added, in the upper half
        pairs >>= np.uint32(18)
        means[top : top + STRIP] = pairs
    return means


def _four_down(gray: Gray) -> Gray:
    """Mean of each four neighbours in a column, rounded down: uint8 [4 H, W] -> [H, W]."""
    total = np.add(gray[::4], gray[1::4], dtype=np.uint16)
    total += gray[2::4]
    total += gray[3::4]
    total >>= 2
    return total.astype(np.uint8)


# --- any other size


def _across(gray: Gray, columns: int) -> Gray:
    """uint8 [H, W] -> [H, columns]. float32 holds every sum exactly: a multiple of 1 / ONE below 256."""
    bands = list(_bands(gray.shape[1], columns))
    means = np.empty((len(gray), columns), np.uint8)
    for top in range(0, len(gray), STRIP):
        strip = gray[top : top + STRIP].astype(np.float32)
        sums = np.empty((len(strip), columns), np.float32)
        for start, first, weights in bands:
            np.matmul(strip[:, first : first + len(weights)], weights, out=sums[:, start : start + weights.shape[1]])
        means[top : top + STRIP] = sums
    return means


def _down(gray: Gray, rows: int) -> Gray:
    """uint8 [H, W] -> [rows, W]."""
    means = np.empty((rows, gray.shape[1]), np.uint8)
    for start, first, weights in _bands(len(gray), rows):
        under = gray[first : first + len(weights)].astype(np.float32)
        for left in range(0, gray.shape[1], STRIP):
            means[start : start + weights.shape[1], left : left + STRIP] = weights.T @ under[:, left : left + STRIP]
    return means


def _bands(source: int, target: int) -> Iterator[tuple[int, int, Weights]]:
    """For each band of target pixels its start, the first source pixel under it, and weights [source, target]."""
    starts, shares = _shares(source, target)
    for start in range(0, target, BAND):
        firsts, part = starts[start : start + BAND], shares[start : start + BAND]
        weights = np.zeros((firsts[-1] - firsts[0] + part.shape[1], len(part)), np.float32)
        taps = np.arange(part.shape[1])
        weights[firsts[:, None] - firsts[0] + taps, np.arange(len(part))[:, None]] = part / ONE
        yield start, int(firsts[0]), weights[: source - firsts[0]]


def _shares(source: int, target: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The first source pixel under each target pixel [target], and how much each counts [target, taps], out of ONE.

    What rounding takes from one goes to the next, and the last gets the rest (WeightTable::CalculateWeights).
    """
    scale = source / target
    pixel = np.arange(target)
    first = np.floor(pixel * scale).astype(np.int64)
    last = np.minimum(np.floor(pixel * scale + scale).astype(np.int64), source - 1)
    shares = np.zeros((target, int((last - first).max()) + 1))
    rest, error = np.full(target, float(ONE)), np.zeros(target)
    for tap in range(shares.shape[1]):
        at = first + tap
        share = np.maximum(0.0, np.minimum((at + 1) / scale, pixel + 1) - np.maximum(at / scale, pixel))
        weight = np.floor((share + error) * ONE + 0.5)
        shares[:, tap] = np.where(at < last, weight, np.where(at == last, np.maximum(rest, 0.0), 0.0))
        shares[:, tap - 1] += np.where((at == last) & (rest < 0), rest, 0.0)
        rest -= weight
        error = share - weight / ONE
    return first, shares
