"""Transport between two sets of equally weighted points."""

from __future__ import annotations

import numpy as np

from popeq.metrics._jit import compiled
from popeq.metrics.solver._simplex import improve, width_of
from popeq.metrics.solver._spanning_tree import Problem, northwest, spanning_tree
from popeq.metrics.solver._vectors import WIDEST, padded_distances
from popeq.typing import Floats

#: Up to this many points the larger set is the sinks.
_WIDE = 2000


@compiled()
def solve(x: Floats, y: Floats, rounding: float) -> tuple[float, bool]:
    """The least mean distance by which x (n, 2) has to be moved to become y (m, 2), and whether it was found.

    The method starts from the plan that would be optimal if all points were on the x axis. Reduced costs
    below ``rounding``, a share of the width of all points, are taken for 0.
    """
    # Few long rows of arcs are priced faster than many short ones, but the sets of sinks below each node
    # take memory.
    if (len(x) > len(y)) == (max(len(x), len(y)) <= _WIDE):
        x, y = y, x
    sources = np.ascontiguousarray(x[np.argsort(x[:, 0], kind="mergesort")].T)
    sinks = np.ascontiguousarray(y[np.argsort(y[:, 0], kind="mergesort")].T)
    width = width_of(sources, sinks)
    if width > WIDEST:
        return 0.0, False
    p, q = np.full(len(x), 1.0 / len(x)), np.full(len(y), 1.0 / len(y))
    start, _ = spanning_tree(northwest(p, q), p, q)
    problem = Problem(sources, sinks, padded_distances(sources, sinks), p, q)
    upper, _, _, done = improve(problem, start, 0.0, rounding * width)
    return upper, done
