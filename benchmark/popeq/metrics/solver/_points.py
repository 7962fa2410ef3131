"""Transport between two sets of equally weighted points, compiled by numba."""

from __future__ import annotations

import numpy as np

from popeq.metrics._jit import compiled
from popeq.metrics.solver._simplex import improve, width_of
from popeq.metrics.solver._spanning_tree import northwest, spanning_tree
from popeq.metrics.solver._vectors import WIDEST, padded_distances
from popeq.typing import Floats

#: Up to so many points the larger set is the sinks.
_WIDE = 2000


@compiled()
def solve(x: Floats, y: Floats, rounding: float) -> tuple[float, bool]:
    """The least mean distance that x (n, 2) has to be moved to become y (m, 2); False if it was given up.

    It starts from the plan that would be optimal if all points lay on the x axis. Reduced costs below
    ``rounding`` as a share of the largest distance are taken for 0.
    """
    # Few long rows are priced faster than many short ones, but sets of sinks take memory.
    if (len(x) > len(y)) == (max(len(x), len(y)) <= _WIDE):
        x, y = y, x
    n, m = len(x), len(y)
    sources = np.ascontiguousarray(x[np.argsort(x[:, 0], kind="mergesort")].T)
    sinks = np.ascontiguousarray(y[np.argsort(y[:, 0], kind="mergesort")].T)
    width = width_of(sources, sinks)
    if width > WIDEST:
        return 0.0, False
    p, q = np.full(n, 1.0 / n), np.full(m, 1.0 / m)
    starts, ends = np.empty(n + m, np.int32), np.empty(n + m, np.int32)
    parent, flow, order = np.empty(n + m, np.int32), np.empty(n + m), np.empty(n + m, np.int32)
    arcs = northwest(p, q, starts, ends)
    spanning_tree(starts, ends, arcs, p, q, parent, flow, order)
    near, least_gain = padded_distances(sources, sinks), rounding * width
    upper, _, _, done = improve(sources, sinks, near, p, q, parent, flow, order, 0.0, least_gain)
    return upper, done
