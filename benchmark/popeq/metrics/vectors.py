"""Minima over arrays that numba compiles to vector instructions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.extending import intrinsic
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Columns among which the place of a minimum is looked for at once.
_BLOCK = 64


def _lesser(_typing: Any, a: Any, b: Any) -> Any:
    """The lesser of two floats, neither NaN, such that a loop over it becomes vector instructions.

    The compiler keeps ``min()`` and a comparison scalar, six times slower: they have to be right for NaN.
    """

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        x, y = arguments
        return builder.select(builder.fcmp_ordered("<", x, y, flags=("fast",)), x, y, flags=("fast",))

    return a(a, b), emit


lesser: Any = intrinsic(_lesser)


@njit(cache=True, nogil=True, fastmath=True)  # only so that the loop becomes vector instructions
def least_difference(row: Floats, potential: Floats) -> float:
    """The least of ``row - potential``, (T,) both."""
    least = np.inf
    for j in range(len(row)):
        least = lesser(row[j] - potential[j], least)
    return least


@njit(cache=True, nogil=True)
def place_of_least_difference(row: Floats, potential: Floats) -> int:
    least = least_difference(row, potential)
    first = 0
    while first + _BLOCK < len(row) and least != least_difference(
        row[first : first + _BLOCK], potential[first : first + _BLOCK]
    ):
        first += _BLOCK
    at = first
    while at + 1 < len(row) and row[at] - potential[at] > least:
        at += 1
    return at
