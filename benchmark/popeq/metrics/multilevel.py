"""Transport of cell masses on a grid, compiled: each grid starts from the plan of one half as fine.

A plan of 2 x 2 blocks is taken apart into one of cells, a tree again, from which the network simplex needs
less than half of the pivots that it needs from nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from popeq.metrics.block_plans import Cells, block_of, take_apart
from popeq.metrics.spanning_tree import Floats, Nodes, northwest, spanning_tree
from popeq.metrics.tree_simplex import improve
from popeq.metrics.vectors import distances, least_difference

#: Grids of up to this many cells a side are solved from nothing.
_COARSEST = 3


@njit(cache=True, nogil=True)
def solve(
    difference: Floats, cells: int, step_x: float, step_y: float, tolerance: float, least_gain: float
) -> tuple[float, float, Floats, bool]:
    """Bounds (upper, lower) of the cost of moving the surplus of ``difference`` (cells^2,), which sums to 0,
    to its deficit; a 1-Lipschitz potential of the cells that proves the lower one; False if it was given up.

    ``tolerance`` and ``least_gain`` as for ``tree_simplex.improve``.
    """
    # Of the two sides the larger one is the sources: many short rows of arcs are priced in less time.
    sign = -1.0 if 2 * (difference > 0.0).sum() < (difference != 0.0).sum() else 1.0
    upper, lower, dual, sources, sinks, _, _, done = _solve(
        sign * difference, cells, step_x, step_y, tolerance, least_gain
    )
    potential = np.zeros(cells * cells)
    if len(sinks) == 0:
        return upper, lower, potential, done
    values = dual[len(sources) :]
    if tolerance > 0.0:
        rest = np.arange(cells * cells).astype(np.int32)
    else:  # at the optimum the c-transform is known where anything stands: each sink has an arc of the plan
        potential[sources] = dual[: len(sources)]
        potential[sinks] = -values
        rest = np.flatnonzero(difference == 0.0).astype(np.int32)
    _c_transform(rest, cells, step_x, step_y, sinks, values, potential)
    return upper, lower, sign * potential, done


@njit(cache=True, nogil=True)
def _solve(
    difference: Floats, cells: int, step_x: float, step_y: float, tolerance: float, least_gain: float
) -> tuple[float, float, Floats, Cells, Cells, Nodes, Floats, bool]:
    sources, sinks = _scattered(difference, cells, 1.0), _scattered(difference, cells, -1.0)
    ns, n = len(sources), len(sources) + len(sinks)
    p, q = difference[sources], -difference[sinks]
    parent, flow, order = np.full(n, -1, np.int32), np.zeros(n), np.empty(n, np.int32)
    if ns == 0 or ns == n:
        return 0.0, 0.0, np.zeros(n), sources, sinks, parent, flow, True
    q *= float(p.sum()) / float(q.sum())
    arc_sources, arc_sinks = np.empty(4 * n + 16, np.int32), np.empty(4 * n + 16, np.int32)
    if cells > _COARSEST and cells % 2 == 0:
        half = cells // 2
        blocks = np.zeros(half * half)
        for c in range(cells * cells):
            blocks[block_of(c, cells)] += difference[c]
        coarse = _solve(blocks, half, 2.0 * step_x, 2.0 * step_y, 0.0, least_gain)
        arcs = take_apart(
            p, q, sources, sinks, cells, coarse[3], coarse[4], coarse[5], coarse[6], arc_sources, arc_sinks
        )
    else:
        arcs = northwest(p, q, arc_sources, arc_sinks)
    least = spanning_tree(arc_sources, arc_sinks, arcs, p, q, parent, flow, order)
    if least < -1e-12:
        arcs = northwest(p, q, arc_sources, arc_sinks)
        spanning_tree(arc_sources, arc_sinks, arcs, p, q, parent, flow, order)
    here, there = _coordinates(sources, cells, step_x, step_y), _coordinates(sinks, cells, step_x, step_y)
    upper, lower, potential, done = improve(here, there, p, q, parent, flow, order, tolerance, least_gain)
    return upper, lower, potential, sources, sinks, parent, flow, done


@njit(cache=True, nogil=True)
def _scattered(difference: Floats, cells: int, sign: float) -> Cells:
    """Cells where the difference has a sign, ordered so that neighbours in the list are apart in the plane:
    arcs are priced row by row, and rows that sample the whole plane need fewer pivots."""
    found = np.empty(len(difference), np.int32)
    count = 0
    for start in range(4):
        for i in range(cells):
            for j in range((start - i) % 4, cells, 4):
                if sign * difference[i * cells + j] > 0.0:
                    found[count] = i * cells + j
                    count += 1
    return found[:count].copy()


@njit(cache=True, nogil=True)
def _coordinates(which: Cells, cells: int, step_x: float, step_y: float) -> Floats:
    """Of cells, from the corner of the grid: (2, n)."""
    found = np.empty((2, len(which)))
    for i in range(len(which)):
        found[0, i], found[1, i] = step_x * (which[i] // cells), step_y * (which[i] % cells)
    return found


@njit(cache=True, nogil=True)
def _c_transform(
    which: Cells, cells: int, step_x: float, step_y: float, sinks: Cells, values: Floats, potential: Floats
) -> None:
    """Write min over sinks of (distance - value) to ``potential`` (cells^2,) for some cells: 1-Lipschitz."""
    there = _coordinates(sinks, cells, step_x, step_y)
    row = np.empty(len(sinks))
    for c in which:
        distances(step_x * (c // cells), step_y * (c % cells), there, row)
        potential[c] = least_difference(row, values)
