"""A plan of transport to start from, made from a guess of the potentials."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popeq.metrics._jit import compiled
from popeq.metrics.solver._spanning_tree import Arcs, Problem
from popeq.metrics.solver._vectors import FAR, least_difference, place_of

#: Number of steps of reduced cost; with 20 times fewer the simplex method needs a tenth more pivots.
_STEPS = 512


@compiled()
def greedy(
    problem: Problem, at_sources: NDArray[np.float32], at_sinks: NDArray[np.float32], most: float
) -> Arcs:
    """Arcs in the order of their reduced costs, least first; each uses up its source or its sink.

    They are a forest, the flow of which is feasible. ``at_sources`` (S,) and ``at_sinks``, as wide as
    ``problem.near``, are the guess: their sum is about the distance where mass is moved, and less elsewhere.
    ``at_sinks`` is changed. Reduced costs above ``most`` are taken as equal.
    """
    near, p, q = problem.near, problem.p, problem.q
    ns, n = len(p), len(p) + len(q)
    left, missing, numbers = p.copy(), q.copy(), np.arange(near.shape[1]).astype(np.int32)
    per_cost = np.float32(_STEPS / most)
    # Sources are in one list for each step, linked by ``after``, by their least reduced cost when it was
    # computed last. Later it can only be larger, because sinks are used up.
    first, after, nearest = np.full(_STEPS + 1, -1), np.empty(ns, np.int64), np.empty(ns, np.int64)
    for i in range(ns):
        least = least_difference(near[i], at_sinks)
        nearest[i] = place_of(least, near[i], at_sinks, numbers)
        b = _step((least - at_sources[i]) * per_cost)
        after[i], first[b] = first[b], i
    sources, sinks, arcs = np.empty(n, np.int32), np.empty(n, np.int32), 0
    for b in range(_STEPS + 1):
        while first[b] >= 0:
            i = first[b]
            j = nearest[i]
            if at_sinks[j] == -FAR:  # used up
                least = least_difference(near[i], at_sinks)
                j = nearest[i] = place_of(least, near[i], at_sinks, numbers)
                now = _step((least - at_sources[i]) * per_cost)
                if now > b or at_sinks[j] == -FAR:
                    first[b] = after[i]
                    if now > b:
                        after[i], first[now] = first[now], i
                    continue
            sources[arcs], sinks[arcs] = i, ns + j
            arcs += 1
            if left[i] <= missing[j]:
                missing[j] -= left[i]
                first[b] = after[i]
            else:
                left[i] -= missing[j]
                at_sinks[j] = -FAR
    return sources[:arcs], sinks[:arcs]


@compiled(inline="always")
def _step(cost: float) -> int:
    return int(min(max(cost, 0.0), float(_STEPS)))
