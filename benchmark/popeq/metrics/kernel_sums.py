"""Sums of Gaussian kernels on a grid, compiled by numba.

Along an axis of equal steps a Gaussian's values have ratios that have one ratio: from the value nearest to
its peak outwards each takes two multiplications, where an exponential takes twenty times as long.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from popeq.typing import Floats


@njit(cache=True, nogil=True)
def summed(points: Floats, x: Floats, y: Floats, xx: float, xy: float, yy: float) -> Floats:
    """The sum over points p (n, 2) of ``exp(-(X - p)' Q (X - p) / 2)`` at each X of the axes x (I,) and y
    (J,), both of equal steps and at least two values: (I, J). Q has the elements ``xx``, ``xy`` and ``yy``.

    The cross term is taken apart as in ``popeq.metrics.kde.summed_kernels``, and must not be larger than
    there.
    """
    along_x, along_y = np.zeros((len(points), len(x))), np.zeros((len(points), len(y)))
    for i in range(len(points)):
        px, py = points[i]
        _bell(along_x[i], x, px, xx, xy * py, 0.0)
        _bell(along_y[i], y, py, yy, xy * px, -xy * px * py)
    total = along_x.T @ along_y
    step = y[1] - y[0]
    for i in range(len(x)):
        factor, ratio = np.exp(-xy * x[i] * y[0]), np.exp(-xy * x[i] * step)
        for j in range(len(y)):
            total[i, j] *= factor
            factor *= ratio
    return total


@njit(cache=True, nogil=True)
def _bell(row: Floats, x: Floats, centre: float, precision: float, slope: float, level: float) -> None:
    """Write ``exp(level + slope x - precision (x - centre)^2 / 2)`` to a row of zeros."""
    step = x[1] - x[0]
    peak = centre + slope / precision
    k = min(max(int(np.rint((peak - x[0]) / step)), 0), len(x) - 1)
    off = x[k] - centre
    top = np.exp(level + slope * x[k] - 0.5 * precision * off * off)
    change = np.exp(-precision * step * step)
    row[k] = value = top
    ratio = np.exp(step * (slope - precision * (off + 0.5 * step)))
    for j in range(k + 1, len(x)):
        value *= ratio
        ratio *= change
        row[j] = value
    value, ratio = top, np.exp(-step * (slope - precision * (off - 0.5 * step)))
    for j in range(k - 1, -1, -1):
        value *= ratio
        ratio *= change
        row[j] = value
