"""Transport of cell masses on a grid, compiled: each grid starts from the plan of one half as fine.

A plan of 2 x 2 blocks is taken apart into one of cells, a tree again, from which the network simplex needs
less than half of the pivots that it needs from nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from popeq.metrics.tree_simplex import Floats, Nodes, improve, northwest, spanning_tree

#: Grids of up to this many cells a side are solved from nothing.
_COARSEST = 3
_Cells = NDArray[np.int32]


@njit(cache=True, nogil=True)
def solve(
    difference: Floats, cells: int, step_x: float, step_y: float, tolerance: float, least_gain: float
) -> tuple[float, float, _Cells, Floats, bool]:
    """Bounds (upper, lower) of the cost of moving the surplus of ``difference`` (cells^2,), which sums to 0,
    to its deficit; the cells of the deficit and their potentials; False if it was given up.

    ``tolerance`` and ``least_gain`` as for ``tree_simplex.improve``.
    """
    upper, lower, potential, sources, sinks, _, _, done = _solve(
        difference, cells, step_x, step_y, tolerance, least_gain
    )
    return upper, lower, sinks, potential[len(sources) :], done


@njit(cache=True, nogil=True)
def _solve(
    difference: Floats, cells: int, step_x: float, step_y: float, tolerance: float, least_gain: float
) -> tuple[float, float, Floats, _Cells, _Cells, Nodes, Floats, bool]:
    sources, sinks = _scattered(difference, cells, 1.0), _scattered(difference, cells, -1.0)
    ns, n = len(sources), len(sources) + len(sinks)
    p, q = difference[sources], -difference[sinks]
    parent, flow, order = np.full(n, -1, np.int32), np.zeros(n), np.empty(n, np.int32)
    if ns == 0 or ns == n:
        return 0.0, 0.0, np.zeros(n), sources, sinks, parent, flow, True
    q *= float(p.sum()) / float(q.sum())
    cost = np.empty((ns, n - ns))
    x, y = _coordinates(sinks, cells, step_x, step_y)
    for i in range(ns):
        _distances(step_x * (sources[i] // cells), step_y * (sources[i] % cells), x, y, cost[i])
    arc_sources, arc_sinks = np.empty(4 * n + 16, np.int32), np.empty(4 * n + 16, np.int32)
    if cells > _COARSEST and cells % 2 == 0:
        half = cells // 2
        blocks = np.zeros(half * half)
        for c in range(cells * cells):
            blocks[_block(c, cells)] += difference[c]
        coarse = _solve(blocks, half, 2.0 * step_x, 2.0 * step_y, 0.0, least_gain)
        arcs = _take_apart(
            p, q, sources, sinks, cells, coarse[3], coarse[4], coarse[5], coarse[6], arc_sources, arc_sinks
        )
    else:
        arcs = northwest(p, q, arc_sources, arc_sinks)
    least = spanning_tree(arc_sources, arc_sinks, arcs, p, q, parent, flow, order)
    if least < -1e-12:
        arcs = northwest(p, q, arc_sources, arc_sinks)
        spanning_tree(arc_sources, arc_sinks, arcs, p, q, parent, flow, order)
    upper, lower, potential, done = improve(cost, p, q, parent, flow, order, tolerance, least_gain)
    return upper, lower, potential, sources, sinks, parent, flow, done


@njit(cache=True, nogil=True)
def _scattered(difference: Floats, cells: int, sign: float) -> _Cells:
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
def _coordinates(which: _Cells, cells: int, step_x: float, step_y: float) -> tuple[Floats, Floats]:
    return (step_x * (which // cells)).astype(np.float64), (step_y * (which % cells)).astype(np.float64)


@njit(cache=True, nogil=True, fastmath=True)  # only so that the loop becomes vector instructions
def _distances(x: float, y: float, xs: Floats, ys: Floats, row: Floats) -> None:
    for j in range(len(row)):
        row[j] = np.sqrt((x - xs[j]) ** 2 + (y - ys[j]) ** 2)


@njit(cache=True, nogil=True)
def _block(cell: int, cells: int) -> int:
    return (cell // cells // 2) * (cells // 2) + cell % cells // 2


@njit(cache=True, nogil=True)
def _take_apart(
    p: Floats,
    q: Floats,
    sources: _Cells,
    sinks: _Cells,
    cells: int,
    coarse_sources: _Cells,
    coarse_sinks: _Cells,
    coarse_parent: Nodes,
    coarse_flow: Floats,
    arc_sources: Nodes,
    arc_sinks: Nodes,
) -> int:
    """Arcs between cells that carry the flows between blocks; returns how many.

    First what a block can settle within itself, then along each arc of the coarse tree; in each block one
    source after the other is used up, and one sink, so that no cycle can arise.
    """
    ns, blocks = len(p), (cells // 2) ** 2
    own_sources, own_sinks = np.empty((blocks, 4), np.int32), np.empty((blocks, 4), np.int32)
    count_sources, count_sinks = np.zeros(blocks, np.int32), np.zeros(blocks, np.int32)
    for i in range(ns):
        b = _block(sources[i], cells)
        own_sources[b, count_sources[b]] = i
        count_sources[b] += 1
    for j in range(len(q)):
        b = _block(sinks[j], cells)
        own_sinks[b, count_sinks[b]] = j
        count_sinks[b] += 1
    at_source, at_sink = np.zeros(blocks, np.int32), np.zeros(blocks, np.int32)
    left, missing = p.copy(), q.copy()
    arcs = 0
    for step in range(blocks + len(coarse_parent)):
        if step < blocks:
            here, there, amount = step, step, np.inf
        else:
            x = step - blocks
            y = coarse_parent[x]
            if y < 0:
                continue
            if x >= len(coarse_sources):
                x, y = y, x
            here, there = coarse_sources[x], coarse_sinks[y - len(coarse_sources)]
            amount = coarse_flow[step - blocks]
        while at_source[here] < count_sources[here] and at_sink[there] < count_sinks[there]:
            s, t = own_sources[here, at_source[here]], own_sinks[there, at_sink[there]]
            arc_sources[arcs], arc_sinks[arcs] = s, ns + t
            arcs += 1
            moved = min(left[s], missing[t], amount)
            left[s] -= moved
            missing[t] -= moved
            amount -= moved
            if amount <= 0.0:
                break
            if left[s] <= missing[t]:
                at_source[here] += 1
            else:
                at_sink[there] += 1
    return arcs


@njit(cache=True, nogil=True, fastmath=True)  # only so that the loop becomes vector instructions
def c_transform(
    cells: int, step_x: float, step_y: float, sinks: _Cells, values: Floats, potential: Floats
) -> None:
    """Write min over sinks of (distance - value) for every cell to ``potential`` (cells^2,): 1-Lipschitz."""
    x, y = _coordinates(sinks, cells, step_x, step_y)
    for c in range(cells * cells):
        cx, cy = step_x * (c // cells), step_y * (c % cells)
        least = np.inf
        for j in range(len(sinks)):
            value = np.sqrt((cx - x[j]) ** 2 + (cy - y[j]) ** 2) - values[j]
            if value < least:  # not min(), which does not become vector instructions
                least = value
        potential[c] = least
