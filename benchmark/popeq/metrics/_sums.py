"""Compiled sums over points: Gaussian kernels on a grid, and distances between pairs."""

from __future__ import annotations

import numpy as np

from popeq.metrics._jit import compiled
from popeq.typing import Floats


@compiled()
def kernel_sums(points: Floats, x: Floats, y: Floats, xx: float, xy: float, yy: float) -> Floats:
    """The sum over points p of ``exp(-(X - p)' Q (X - p) / 2)`` at each X of a grid, shape (I, J).

    Points (n, 2) and axes x (I,) and y (J,) are in dB; each axis has equal steps and at least two values. The
    elements of Q are xx, xy and yy, 1/dB^2. The cross term is factorised as in ``kde.summed_kernels``.
    """
    along_x, along_y = np.zeros((len(points), len(x))), np.zeros((len(points), len(y)))
    for i in range(len(points)):
        px, py = points[i]
        _gaussian(along_x[i], x, px, xx, xy * py, 0.0)
        _gaussian(along_y[i], y, py, yy, xy * px, -xy * px * py)
    total = along_x.T @ along_y
    step = y[1] - y[0]
    for i in range(len(x)):
        factor, ratio = np.exp(-xy * x[i] * y[0]), np.exp(-xy * x[i] * step)
        for j in range(len(y)):
            total[i, j] *= factor
            factor *= ratio
    return total


@compiled()
def _gaussian(row: Floats, x: Floats, centre: float, precision: float, slope: float, level: float) -> None:
    """Write ``exp(level + slope x - precision (x - centre)^2 / 2)`` to a row of zeros.

    At equal steps the ratio of neighbouring values changes by a constant factor. So each value takes two
    multiplications, starting at the value nearest to the peak; an exponential takes twenty times as long.
    """
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


@compiled()
def distance_sum(points: Floats) -> float:
    """The sum of the Euclidean distances of all pairs of different points (n, 2), dB.

    Each point has a sum of its own, so that the compiler adds many distances at once, in the same order on
    every processor.
    """
    x, y = points[:, 0].copy(), points[:, 1].copy()
    sums = np.zeros(len(points))
    for i in range(1, len(points)):
        for j in range(i):
            dx, dy = x[j] - x[i], y[j] - y[i]
            sums[j] += np.sqrt(dx * dx + dy * dy)
    return float(sums.sum())
