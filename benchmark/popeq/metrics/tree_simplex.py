"""The network simplex method for dense transportation problems, compiled by numba, from any starting tree.

Nodes are sources 0..S-1, then sinks S..S+T-1. A basis is a spanning tree: ``parent[x]``, and ``flow[x]`` on
the arc between x and its parent, always from the source to the sink (Ahuja, Magnanti & Orlin 1993, ch. 11).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from popeq.metrics.spanning_tree import Floats, Nodes
from popeq.metrics.vectors import least_difference, place_of_least_difference

#: Rows of the cost matrix that are priced before the best arc among them enters.
_ROWS = 4


@njit(cache=True, nogil=True)
def improve(
    cost: Floats,
    p: Floats,
    q: Floats,
    parent: Nodes,
    flow: Floats,
    order: Nodes,
    tolerance: float,
    least_gain: float,
) -> tuple[float, float, Floats, bool]:
    """Pivot until the plan is optimal, or proven to be within ``tolerance`` of it.

    Parameters
    ----------
    cost : (S, T)
    p, q : (S,), (T,)
        Positive, equal in sum.
    parent, flow, order : (S + T,)
        A feasible tree, as from ``spanning_tree``; changed in place.
    tolerance
        Share of the plan's cost that the duality gap may have; 0: go on to the optimum.
    least_gain
        An arc whose reduced cost is not below minus this does not enter.

    Returns
    -------
    upper, lower : float
        The plan's cost, and one that a dual solution proves no plan can beat.
    potential : (S + T,)
        cost[s, t] >= potential[s] + potential[S + t] up to ``least_gain`` at the optimum; equal on the tree.
    done : bool
        False if it was given up, which no input seen does.
    """
    ns, nt = cost.shape
    n = ns + nt
    first, after, before = np.full(n, -1, np.int32), np.full(n, -1, np.int32), np.full(n, -1, np.int32)
    depth, below, potential = np.zeros(n, np.int32), np.ones(n, np.int32), np.zeros(n)
    for i in range(n - 1, 0, -1):
        below[parent[order[i]]] += below[order[i]]
    for i in range(1, n):
        x = order[i]
        y = parent[x]
        _hang(x, y, parent, first, after, before)
        depth[x] = depth[y] + 1
        potential[x] = (cost[x, y - ns] if x < ns else cost[y, x - ns]) - potential[y]
    most = 200 * n + 10_000
    row, priced, until_check = 0, 0, n // 2
    for _ in range(most):
        if tolerance > 0.0 and until_check == 0:
            upper, lower = _bounds(cost, p, q, parent, flow, potential)
            if upper - lower <= tolerance * upper:
                return upper, lower, potential, True
            until_check = n // 8 if upper - lower <= 3.0 * tolerance * upper else n // 4
        best, entering = -least_gain, -1
        while entering < 0 and priced < ns:
            for _ in range(_ROWS):
                reduced = least_difference(cost[row], potential[ns:]) - potential[row]
                if reduced < best:
                    best, entering = reduced, row
                row = row + 1 if row + 1 < ns else 0
                priced += 1
        if entering < 0:
            upper, lower = _bounds(cost, p, q, parent, flow, potential)
            return upper, lower, potential, True
        priced = 0
        until_check -= 1
        sink = ns + place_of_least_difference(cost[entering], potential[ns:])
        _pivot(entering, sink, ns, best, parent, flow, depth, below, potential, first, after, before)
    return 0.0, 0.0, potential, False


@njit(cache=True, nogil=True)
def _pivot(
    source: int,
    sink: int,
    ns: int,
    reduced: float,
    parent: Nodes,
    flow: Floats,
    depth: Nodes,
    below: Nodes,
    potential: Floats,
    first: Nodes,
    after: Nodes,
    before: Nodes,
) -> None:
    """Let an arc enter: send what fits around its cycle, cut the arc that runs empty, and hang the smaller of
    the two trees onto the other. ``below`` counts the nodes of each node's subtree."""
    fits, empty, empty_at_source = np.inf, -1, True
    x, y = source, sink
    while x != y:
        if depth[x] >= depth[y]:
            if x < ns and flow[x] < fits:
                fits, empty, empty_at_source = flow[x], x, True
            x = parent[x]
        else:
            if y >= ns and flow[y] <= fits:
                fits, empty, empty_at_source = flow[y], y, False
            y = parent[y]
    x, y = source, sink
    while x != y:
        if depth[x] >= depth[y]:
            if x < ns:
                flow[x] -= fits
            else:
                flow[x] += fits
            x = parent[x]
        else:
            if y >= ns:
                flow[y] -= fits
            else:
                flow[y] += fits
            y = parent[y]
    cut = below[empty]
    x = parent[empty]
    while x >= 0:
        below[x] -= cut
        x = parent[x]
    _unhang(empty, parent, first, after, before)
    parent[empty] = -1
    if (2 * cut <= len(parent)) == empty_at_source:
        top, onto, up = source, sink, reduced
    else:
        top, onto, up = sink, source, -reduced
    moved = min(cut, len(parent) - cut)
    x, above, carried, inside = top, onto, fits, 0
    while True:
        was_parent, was_flow, was_below = parent[x], flow[x], below[x]
        if was_parent >= 0:
            _unhang(x, parent, first, after, before)
        _hang(x, above, parent, first, after, before)
        flow[x], below[x] = carried, moved - inside
        if was_parent < 0:
            break
        x, above, carried, inside = was_parent, x, was_flow, was_below
    x = onto
    while x >= 0:
        below[x] += moved
        x = parent[x]
    x = top
    while True:
        depth[x] = depth[parent[x]] + 1
        if x < ns:
            potential[x] += up
        else:
            potential[x] -= up
        if first[x] >= 0:
            x = first[x]
            continue
        while x != top and after[x] < 0:
            x = parent[x]
        if x == top:
            return
        x = after[x]


@njit(cache=True, nogil=True, inline="always")
def _hang(x: int, above: int, parent: Nodes, first: Nodes, after: Nodes, before: Nodes) -> None:
    parent[x] = above
    after[x], before[x] = first[above], -1
    if first[above] >= 0:
        before[first[above]] = x
    first[above] = x


@njit(cache=True, nogil=True, inline="always")
def _unhang(x: int, parent: Nodes, first: Nodes, after: Nodes, before: Nodes) -> None:
    if before[x] >= 0:
        after[before[x]] = after[x]
    else:
        first[parent[x]] = after[x]
    if after[x] >= 0:
        before[after[x]] = before[x]


@njit(cache=True, nogil=True)
def _bounds(
    cost: Floats, p: Floats, q: Floats, parent: Nodes, flow: Floats, potential: Floats
) -> tuple[float, float]:
    """The plan's cost, and the value of the dual solution that has these potentials at the sinks."""
    ns, nt = cost.shape
    upper = lower = 0.0
    for x in range(ns + nt):
        if parent[x] >= 0:
            upper += flow[x] * (cost[x, parent[x] - ns] if x < ns else cost[parent[x], x - ns])
    for j in range(nt):
        lower += q[j] * potential[ns + j]
    for i in range(ns):
        lower += p[i] * least_difference(cost[i], potential[ns:])
    return upper, lower
