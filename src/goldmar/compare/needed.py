"""The smallest tolerance that would pass: not an estimate, but the smallest float for which the rule itself says yes.

The rule, in float64 as `apply_tolerance` computes it: difference <= atol + rtol * size. Both sums round, so solving for
atol or rtol on paper misses by a few units in the last place, on either side. Each step is monotonic though, and
positive floats are ordered as their bits are, so a binary search over the bits finds the exact one.
"""

import math
import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from goldmar.compare.apply_tolerance import Floats


def atol_needed(difference: Floats, size: Floats, rtol: float) -> float:
    """The smallest atol with `difference <= atol + rtol * size` for all; `size` is |want|. Infinite where none is."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        granted = rtol * size
        return _smallest(
            lambda atol: ~(difference <= atol + granted) | ~np.isfinite(difference),
            lambda row: (float(difference[row]), float(granted[row])),
            lambda atol, pair: pair[0] <= atol + pair[1],
            difference - granted,
        )


def rtol_needed(difference: Floats, size: Floats, atol: float) -> float:
    """The smallest rtol with `difference <= atol + rtol * size` for all; `size` is |want|. Infinite where none is."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
        return _smallest(
            lambda rtol: ~(difference <= atol + rtol * size) | ~np.isfinite(difference),
            lambda row: (float(difference[row]), float(size[row])),
            lambda rtol, pair: pair[0] <= atol + rtol * pair[1],
            (difference - atol) / size,
        )


def _smallest(
    failing: Callable[[float], NDArray[np.bool_]],
    pair_of: Callable[[int], tuple[float, float]],
    passes: Callable[[float, tuple[float, float]], bool],
    estimate: Floats,
) -> float:
    """Raise the answer to what the worst failing row needs, until none fails. Mostly one round: others need less."""
    answer = 0.0
    while (rows := np.flatnonzero(failing(answer))).size:
        pair = pair_of(int(rows[np.argmax(estimate[rows])]))
        if not math.isfinite(pair[0]) or not passes(_float(_LARGEST), pair):
            return math.inf
        low, high = _bits(answer), _LARGEST  # low fails, high passes
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if passes(_float(middle), pair) else (middle, high)
        answer = _float(high)
    return answer


def _bits(number: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", number))[0])


def _float(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<q", bits))[0])


_LARGEST = _bits(float(np.finfo(np.float64).max))
