"""Feasible spanning trees of transportation problems: where the network simplex method starts.

Nodes are sources 0..S-1, then sinks S..S+T-1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from popeq.metrics._jit import compiled
from popeq.typing import Floats

Nodes = NDArray[np.int32]
#: The sources and the sinks of arcs, (A,) each.
Arcs = tuple[Nodes, Nodes]


class Problem(NamedTuple):
    """Masses to be moved in the plane, at the Euclidean distance as cost.

    ``sources`` (2, S) and ``sinks`` (2, T) are coordinates, dB; ``near`` (S, at least T) their
    ``padded_distances``; ``p`` (S,) and ``q`` (T,) the masses, positive and equal in sum.
    """

    sources: Floats
    sinks: Floats
    near: NDArray[np.float32]
    p: Floats
    q: Floats


class Basis(NamedTuple):
    """A spanning tree and its flow, (S + T,) each.

    ``parent[x]`` is -1 at the root. ``flow[x]`` is on the arc between x and its parent, from the source to
    the sink. ``order`` has parents before their children.
    """

    parent: Nodes
    flow: Floats
    order: Nodes


@compiled()
def spanning_tree(arcs: Arcs, p: Floats, q: Floats) -> tuple[Basis, float]:
    """The tree of some arcs between p (S,) and q (T,), completed if they do not connect all nodes.

    The root is a sink near the middle of the tree, so that few nodes are below any arc. The second result is
    the least flow that the tree would need; it is negative if the tree is not feasible.
    """
    sources, sinks = arcs
    ns, n = len(p), len(p) + len(q)
    group = np.arange(n).astype(np.int32)
    kept_sources, kept_sinks = np.empty(n - 1, np.int32), np.empty(n - 1, np.int32)
    kept = 0
    for a in range(len(sources)):
        if _join(group, sources[a], sinks[a]):
            kept_sources[kept], kept_sinks[kept] = sources[a], sinks[a]
            kept += 1
    for s in range(ns):
        if kept == n - 1:
            break
        for t in range(ns, n):
            if _join(group, s, t):
                kept_sources[kept], kept_sinks[kept] = s, t
                kept += 1
    # The neighbours of x are near[begin[x] : begin[x + 1]].
    begin = np.zeros(n + 1, np.int32)
    for a in range(kept):
        begin[kept_sources[a] + 1] += 1
        begin[kept_sinks[a] + 1] += 1
    begin = np.cumsum(begin).astype(np.int32)
    free = begin[:n].copy()
    near = np.empty(2 * kept, np.int32)
    for a in range(kept):
        s, t = kept_sources[a], kept_sinks[a]
        near[free[s]], near[free[t]] = t, s
        free[s] += 1
        free[t] += 1
    parent, flow, order = np.empty(n, np.int32), np.empty(n), np.empty(n, np.int32)
    _breadth_first(0, near, begin, order, parent)
    below = np.ones(n, np.int32)
    for i in range(n - 1, 0, -1):
        below[parent[order[i]]] += below[order[i]]
    root = 0
    i = begin[root]
    while i < begin[root + 1]:
        y = near[i]
        i += 1
        if y != parent[root] and 2 * below[y] > n:
            root = y
            i = begin[root]
    if root < ns:
        root = near[begin[root]]
    _breadth_first(root, near, begin, order, parent)
    rest = np.concatenate((p, q))
    least = 0.0
    for i in range(n - 1, 0, -1):
        x = order[i]
        least = min(least, rest[x])
        flow[x] = max(rest[x], 0.0)
        rest[parent[x]] -= rest[x]
    flow[root] = 0.0
    return Basis(parent, flow, order), least


@compiled()
def _join(group: Nodes, x: int, y: int) -> bool:
    """Unite the groups of two nodes (disjoint sets, by path halving); False if it is the same group."""
    while group[x] != x:
        group[x] = group[group[x]]
        x = group[x]
    while group[y] != y:
        group[y] = group[group[y]]
        y = group[y]
    group[x] = y
    return x != y


@compiled()
def _breadth_first(root: int, near: Nodes, begin: Nodes, order: Nodes, parent: Nodes) -> None:
    """Write the order in which nodes are reached from the root, and the parent of each."""
    order[0] = root
    parent[root] = -1
    found = 1
    for i in range(len(order)):
        x = order[i]
        for k in range(begin[x], begin[x + 1]):
            if near[k] != parent[x]:
                parent[near[k]] = x
                order[found] = near[k]
                found += 1


@compiled()
def northwest(p: Floats, q: Floats) -> Arcs:
    """The arcs of the north-west corner rule between p (S,) and q (T,); they are a feasible tree."""
    arcs = len(p) + len(q) - 1
    sources, sinks = np.empty(arcs, np.int32), np.empty(arcs, np.int32)
    i, j = 0, 0
    left, missing = p[0], q[0]
    for a in range(arcs):
        sources[a], sinks[a] = i, len(p) + j
        moved = min(left, missing)
        left -= moved
        missing -= moved
        if i < len(p) - 1 and (j == len(q) - 1 or left <= missing):
            i += 1
            left = p[i]
        elif j < len(q) - 1:
            j += 1
            missing = q[j]
    return sources, sinks
