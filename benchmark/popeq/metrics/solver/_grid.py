"""Transport of cell masses on a grid, compiled: each grid starts from the potentials of one half as fine.

Between the blocks' centres they are a good guess of the cells'; the arcs that it takes to be cheapest make a
plan, from which the network simplex needs less than half of the pivots that it needs from nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popeq.metrics._jit import compiled
from popeq.metrics.solver._greedy_start import greedy
from popeq.metrics.solver._simplex import improve, width_of
from popeq.metrics.solver._spanning_tree import northwest, spanning_tree
from popeq.metrics.solver._vectors import WIDEST, distances, least_difference, padded_distances
from popeq.typing import Floats

#: Flat indices of cells, or of blocks.
Cells = NDArray[np.int32]

#: Grids of up to this many cells a side are solved from nothing.
_COARSEST = 3


@compiled()
def solve(
    difference: Floats, cells: int, step_x: float, step_y: float, tolerance: float, least_gain: float
) -> tuple[float, float, Floats, bool]:
    """Bounds (upper, lower) of the cost of moving the surplus of ``difference`` (cells^2,), which sums to 0,
    to its deficit; a 1-Lipschitz potential of the cells that proves the lower one; False if it was given up.

    ``tolerance`` and ``least_gain`` as for ``tree_simplex.improve``.
    """
    # Of the two sides the larger one is the sources: many short rows of arcs are priced in less time.
    sign = -1.0 if 2 * (difference > 0.0).sum() < (difference != 0.0).sum() else 1.0
    sources, sinks = _scattered(difference, cells, sign), _scattered(difference, cells, -sign)
    ns, n = len(sources), len(sources) + len(sinks)
    potential = np.zeros(cells * cells)
    if ns == 0 or ns == n:
        return 0.0, 0.0, potential, True
    p, q = sign * difference[sources], -sign * difference[sinks]
    q *= float(p.sum()) / float(q.sum())
    here, there = _coordinates(sources, cells, step_x, step_y), _coordinates(sinks, cells, step_x, step_y)
    if width_of(here, there) > WIDEST:
        return 0.0, 0.0, potential, False
    near = padded_distances(here, there)
    arc_sources, arc_sinks = np.empty(n, np.int32), np.empty(n, np.int32)
    if cells > _COARSEST and cells % 2 == 0:
        half = cells // 2
        guess = solve(_blocks(difference, cells), half, 2.0 * step_x, 2.0 * step_y, 0.0, least_gain)[2]
        at_sinks = np.zeros(near.shape[1], np.float32)
        at_sinks[: n - ns] = _between(guess, sinks, half, -sign)
        most = 2.0 * min(step_x, step_y)
        arcs = greedy(
            near, _between(guess, sources, half, sign), at_sinks, p, q, most, arc_sources, arc_sinks
        )
    else:
        arcs = northwest(p, q, arc_sources, arc_sinks)
    parent, flow, order = np.empty(n, np.int32), np.empty(n), np.empty(n, np.int32)
    least = spanning_tree(arc_sources, arc_sinks, arcs, p, q, parent, flow, order)
    if least < -1e-12:
        arcs = northwest(p, q, arc_sources, arc_sinks)
        spanning_tree(arc_sources, arc_sinks, arcs, p, q, parent, flow, order)
    upper, lower, dual, done = improve(here, there, near, p, q, parent, flow, order, tolerance, least_gain)
    values = dual[ns:]
    if tolerance > 0.0:
        rest = np.arange(cells * cells).astype(np.int32)
    else:  # at the optimum the c-transform is known where anything stands: each sink has an arc of the plan
        potential[sources] = dual[:ns]
        potential[sinks] = -values
        rest = np.flatnonzero(difference == 0.0).astype(np.int32)
    _c_transform(rest, cells, step_x, step_y, sinks, values, potential)
    return upper, lower, sign * potential, done


@compiled()
def _blocks(difference: Floats, cells: int) -> Floats:
    """Sums over blocks of 2 x 2 cells."""
    half = cells // 2
    sums = np.zeros(half * half)
    for c in range(cells * cells):
        sums[(c // cells // 2) * half + c % cells // 2] += difference[c]
    return sums


@compiled()
def _between(potential: Floats, which: Cells, half: int, sign: float) -> NDArray[np.float32]:
    """At some cells, linearly between the potentials of blocks of 2 x 2 cells (half^2,)."""
    found = np.empty(len(which), np.float32)
    for k in range(len(which)):
        i, j = which[k] // (2 * half), which[k] % (2 * half)
        row, other_row = (i // 2) * half, min(max(i // 2 + 2 * (i % 2) - 1, 0), half - 1) * half
        column, other = j // 2, min(max(j // 2 + 2 * (j % 2) - 1, 0), half - 1)
        along = 0.75 * potential[row + column] + 0.25 * potential[row + other]
        beside = 0.75 * potential[other_row + column] + 0.25 * potential[other_row + other]
        found[k] = sign * (0.75 * along + 0.25 * beside)
    return found


@compiled()
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


@compiled()
def _coordinates(which: Cells, cells: int, step_x: float, step_y: float) -> Floats:
    """Of cells, from the corner of the grid: (2, n)."""
    found = np.empty((2, len(which)))
    for i in range(len(which)):
        found[0, i], found[1, i] = step_x * (which[i] // cells), step_y * (which[i] % cells)
    return found


@compiled()
def _c_transform(
    which: Cells, cells: int, step_x: float, step_y: float, sinks: Cells, values: Floats, potential: Floats
) -> None:
    """Write min over sinks of (distance - value) to ``potential`` (cells^2,) for some cells: 1-Lipschitz."""
    there = _coordinates(sinks, cells, step_x, step_y)
    row = np.empty(len(sinks))
    for c in which:
        distances(step_x * (c // cells), step_y * (c % cells), there, row)
        potential[c] = least_difference(row, values)
