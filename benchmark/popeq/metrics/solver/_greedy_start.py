"""A plan of transport to start from, given a guess of the potentials, compiled by numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popeq.metrics._jit import compiled
from popeq.metrics.solver._spanning_tree import Nodes
from popeq.metrics.solver._vectors import FAR, least_difference, place_of
from popeq.typing import Floats

#: Steps of reduced cost that are told apart: with 20 times fewer the simplex needs a tenth more pivots.
_BUCKETS = 512


@compiled()
def greedy(
    near: NDArray[np.float32],
    at_sources: NDArray[np.float32],
    at_sinks: NDArray[np.float32],
    p: Floats,
    q: Floats,
    most: float,
    arc_sources: Nodes,
    arc_sinks: Nodes,
) -> int:
    """Write arcs to ``arc_sources`` and ``arc_sinks``, those of least reduced cost first, each of which uses
    up its source or its sink; returns how many. They are a forest.

    Parameters
    ----------
    near : (S, at least T)
        Distances, padded.
    at_sources, at_sinks : (S,), as wide as ``near``
        The guess: potentials with differences (source less sink) of about the distance where something is
        sent, and less elsewhere. The second is changed.
    p, q : (S,), (T,)
        Positive, equal in sum.
    most
        Reduced costs above this are not told apart.
    """
    ns = len(p)
    left, missing, numbers = p.copy(), q.copy(), np.arange(near.shape[1]).astype(np.int32)
    per_cost = np.float32(_BUCKETS / most)
    # Sources wait in lists, by their least reduced cost as it was when last looked at: it only rises.
    first, after, nearest = np.full(_BUCKETS + 1, -1), np.empty(ns, np.int64), np.empty(ns, np.int64)
    for i in range(ns):
        least = least_difference(near[i], at_sinks)
        nearest[i] = place_of(least, near[i], at_sinks, numbers)
        b = _bucket((least - at_sources[i]) * per_cost)
        after[i], first[b] = first[b], i
    arcs = 0
    for b in range(_BUCKETS + 1):
        while first[b] >= 0:
            i = first[b]
            j = nearest[i]
            if at_sinks[j] == -FAR:
                least = least_difference(near[i], at_sinks)
                j = nearest[i] = place_of(least, near[i], at_sinks, numbers)
                now = _bucket((least - at_sources[i]) * per_cost)
                if now > b or at_sinks[j] == -FAR:
                    first[b] = after[i]
                    if now > b:
                        after[i], first[now] = first[now], i
                    continue
            arc_sources[arcs], arc_sinks[arcs] = i, ns + j
            arcs += 1
            if left[i] <= missing[j]:
                missing[j] -= left[i]
                first[b] = after[i]
            else:
                left[i] -= missing[j]
                at_sinks[j] = -FAR
    return arcs


@compiled(inline="always")
def _bucket(cost: float) -> int:
    return int(min(max(cost, 0.0), float(_BUCKETS)))
