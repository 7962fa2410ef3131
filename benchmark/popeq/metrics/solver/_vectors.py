"""Loops over arrays that numba compiles to vector instructions, in single or double precision."""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba.extending import intrinsic
from numpy.typing import NDArray

from popeq.metrics._jit import compiled
from popeq.typing import Floats

#: Larger than any distance; its square is still finite in single precision.
FAR = np.float32(1e18)
#: Problems that are wider than this are left to POT.
WIDEST = 1e12
#: Rows of distances are padded to a multiple of this.
_WIDTH = 32


def _lesser(_typing: Any, a: Any, b: Any) -> Any:
    """The lesser of two floats, neither NaN, such that a loop over it becomes vector instructions.

    The compiler does not vectorise ``min()`` or a comparison, because they must be right for NaN; that is six
    times slower.
    """

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        x, y = arguments
        return builder.select(builder.fcmp_ordered("<", x, y, flags=("fast",)), x, y, flags=("fast",))

    return a(a, b), emit


lesser: Any = intrinsic(_lesser)


@compiled(fastmath=True)  # only so that the loops become vector instructions
def least_difference(row: Any, potential: Any) -> Any:
    """The least of ``row - potential``, (T,) both, T > 0."""
    least = row[0] - potential[0]
    for j in range(len(row)):
        least = lesser(row[j] - potential[j], least)
    return least


@compiled(fastmath=True)
def place_of(least: Any, row: Any, potential: Any, numbers: NDArray[np.int32]) -> int:
    """The index at which ``least_difference`` found its result, the last one of equals.

    ``numbers`` are 0..T-1; the loop is vectorised only if they are read from memory.
    """
    place = np.int32(0)
    for j in range(len(row)):
        place = max(place, numbers[j] if row[j] - potential[j] <= least else np.int32(0))
    return int(place)


@compiled(fastmath=True)
def some_nearer(x: float, y: float, points: Floats, limits: Floats, more: float) -> bool:
    """Whether the distance from a point to any of some others (2, T) is below its limit (T,) less ``more``.

    Squares are compared, because square roots would take most of the time.
    """
    xs, ys = points[0], points[1]
    worst = np.inf
    for j in range(len(limits)):
        limit = limits[j] - more
        off = (x - xs[j]) * (x - xs[j]) + (y - ys[j]) * (y - ys[j]) - limit * abs(limit)
        worst = lesser(worst, off)
    return worst < 0.0


@compiled(fastmath=True)
def distances(x: Any, y: Any, points: Any, row: Any) -> None:
    """Write the Euclidean distances from a point to others (2, T) to ``row`` (T,)."""
    xs, ys = points[0], points[1]
    for j in range(len(row)):
        row[j] = np.sqrt((x - xs[j]) * (x - xs[j]) + (y - ys[j]) * (y - ys[j]))


@compiled()
def distance(x: float, y: float, other_x: float, other_y: float) -> float:
    """Euclidean distance of two points."""
    return float(np.sqrt((x - other_x) * (x - other_x) + (y - other_y) * (y - other_y)))


@compiled()
def padded_distances(points: Floats, others: Floats) -> NDArray[np.float32]:
    """Distances from points (2, S) to others (2, T) in single precision, (S, T or more).

    Rows are padded with FAR to a whole number of vector instructions.
    """
    wide = np.full((2, -(-others.shape[1] // _WIDTH) * _WIDTH), FAR)
    for axis in range(2):  # from the first point, so that rounded numbers are no larger than a distance
        wide[axis, : others.shape[1]] = others[axis] - points[axis, 0]
    near = np.empty((points.shape[1], wide.shape[1]), np.float32)
    for i in range(len(near)):
        x, y = points[0, i] - points[0, 0], points[1, i] - points[1, 0]
        distances(np.float32(x), np.float32(y), wide, near[i])
    return near


def _lowest_bit(_typing: Any, bits: Any) -> Any:
    """The number of the lowest bit that is set in an unsigned integer, which is not 0."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return bits(bits), emit


lowest_bit: Any = intrinsic(_lowest_bit)
