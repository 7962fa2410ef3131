"""Sums of distances between the points of one set, compiled by numba."""

from __future__ import annotations

import numpy as np
from numba import njit

from popeq.typing import Floats


@njit(cache=True, nogil=True)
def summed(points: Floats) -> float:
    """The sum of the Euclidean distances of all pairs of different points (n, 2).

    Each point has a sum of its own, so that a row of distances is added at once, in the same order on every
    processor.
    """
    x, y = points[:, 0].copy(), points[:, 1].copy()
    sums = np.zeros(len(points))
    for i in range(1, len(points)):
        for j in range(i):
            dx, dy = x[j] - x[i], y[j] - y[i]
            sums[j] += np.sqrt(dx * dx + dy * dy)
    total: float = sums.sum()
    return total
