"""Spanning trees of transportation problems, compiled by numba: a start for the network simplex.

Nodes are sources 0..S-1, then sinks S..S+T-1; ``parent[x]`` is -1 at the root, and ``flow[x]`` is on the arc
between x and its parent, always from the source to the sink.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popeq.metrics._jit import compiled
from popeq.typing import Floats

Nodes = NDArray[np.int32]


@compiled()
def spanning_tree(
    sources: Nodes,
    sinks: Nodes,
    arcs: int,
    p: Floats,
    q: Floats,
    parent: Nodes,
    flow: Floats,
    order: Nodes,
) -> float:
    """Fill ``parent``, ``flow`` and ``order`` (parents first) from a forest of arcs, joined if it is several.

    The root is a sink that about halves the tree, so that few nodes hang below any arc. Returns the least
    flow that the tree would need, which is negative if no feasible plan lies on it.
    """
    ns, n = len(p), len(p) + len(q)
    group = np.arange(n).astype(np.int32)
    kept_sources, kept_sinks = np.empty(n - 1, np.int32), np.empty(n - 1, np.int32)
    kept = 0
    for a in range(arcs):
        x, y = _group(group, sources[a]), _group(group, sinks[a])
        if x != y:
            group[x] = y
            kept_sources[kept], kept_sinks[kept] = sources[a], sinks[a]
            kept += 1
    for s in range(ns):
        if kept == n - 1:
            break
        for t in range(ns, n):
            x, y = _group(group, s), _group(group, t)
            if x != y:
                group[x] = y
                kept_sources[kept], kept_sinks[kept] = s, t
                kept += 1
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
    return least


@compiled()
def _group(group: Nodes, x: int) -> int:
    while group[x] != x:
        group[x] = group[group[x]]
        x = group[x]
    return x


@compiled()
def _breadth_first(root: int, near: Nodes, begin: Nodes, order: Nodes, parent: Nodes) -> None:
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
def northwest(p: Floats, q: Floats, sources: Nodes, sinks: Nodes) -> int:
    """The arcs of the north-west corner plan, written to ``sources`` and ``sinks``; returns how many."""
    i, j, arcs = 0, 0, 0
    left, missing = p[0], q[0]
    while True:
        sources[arcs], sinks[arcs] = i, len(p) + j
        arcs += 1
        if i == len(p) - 1 and j == len(q) - 1:
            return arcs
        moved = min(left, missing)
        left -= moved
        missing -= moved
        if j == len(q) - 1 or (left <= missing and i < len(p) - 1):
            i += 1
            left = p[i]
        else:
            j += 1
            missing = q[j]
