"""The network simplex method for dense transportation problems in the plane, from any feasible tree.

Source: Ahuja, Magnanti & Orlin 1993, Network Flows, ch. 11. Arcs are priced in single precision, and an arc
that may enter is priced again in double precision. When no row has such an arc, all arcs are priced in
double precision, so that the optimum is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from popeq.metrics._jit import compiled
from popeq.metrics.solver._basis_tree import Tree, pivot, tree_of
from popeq.metrics.solver._spanning_tree import Basis, Problem
from popeq.metrics.solver._vectors import distance, distances, least_difference, place_of, some_nearer
from popeq.typing import Floats

#: So many rows of arcs are priced before the best arc among them enters.
_ROWS = 4
#: Bound of the rounding error of a distance or a potential in single precision, as a share of the largest. It
#: is eight times the sum of the rounding errors of the five numbers of an arc.
_SINGLE = 2.0**-21


@compiled()
def improve(
    problem: Problem, start: Basis, tolerance: float, least_gain: float
) -> tuple[float, float, Floats, bool]:
    """Pivot from a feasible tree until the duality gap is at most ``tolerance``, a share of the cost (0: the
    optimum). Only an arc of reduced cost below ``-least_gain``, dB, enters. ``start.flow`` is changed.

    Returns the cost of the plan and a bound below which no plan can be, dB; a potential (S + T,), dB; and
    False if the limit of pivots was reached, which no known input does. At the optimum
    potential[s] + potential[S + t] <= distance[s, t] up to ``least_gain``, with equality on the tree.
    """
    sources, sinks, near, p, q = problem
    ns, nt = len(p), len(q)
    n = ns + nt
    tree = tree_of(ns, start, _lengths(sources, sinks, start.parent))
    numbers, exact = np.arange(near.shape[1]).astype(np.int32), np.empty(nt)
    potentials, rough = tree.potential[:nt], tree.rough[: near.shape[1]]
    doubtful = 4.0 * _SINGLE * width_of(sources, sinks)
    row, priced, until_check, exactly = 0, 0, n // 2, False
    upper = lower = 0.0
    done = False
    for _ in range(200 * n + 10_000):
        if tolerance > 0.0 and until_check == 0:
            upper, lower = _bounds(problem, tree)
            done = upper - lower <= tolerance * upper
            if done:
                break
            until_check = max(1, n // 8 if upper - lower <= 3.0 * tolerance * upper else n // 4)
        entering, sink, reduced = -1, 0, 0.0
        while entering < 0 and priced < ns and not exactly:
            best, found = -doubtful, near[0, 0]
            for _ in range(_ROWS):
                least = least_difference(near[row], rough)
                at = np.uintp(tree.parent[row]) - tree.sources
                reduced = least - (near[row, at] - rough[at])
                if reduced < best:
                    best, entering, found = reduced, row, least
                row = row + 1 if row + 1 < ns else 0
                priced += 1
            if entering >= 0:
                sink = place_of(found, near[entering], rough, numbers)
                length = distance(sources[0, entering], sources[1, entering], sinks[0, sink], sinks[1, sink])
                reduced = length - potentials[sink] - _potential(tree, sources, sinks, entering)
                if reduced >= -least_gain:
                    entering = -1
        if entering < 0 and not exactly:
            exactly, priced = True, 0
        while entering < 0 and priced < ns:
            own = _potential(tree, sources, sinks, row)
            if some_nearer(sources[0, row], sources[1, row], sinks, potentials, least_gain - own):
                distances(sources[0, row], sources[1, row], sinks, exact)
                least_exactly = least_difference(exact, potentials)
                reduced = least_exactly - own
                if reduced < -least_gain:
                    entering, sink = row, place_of(least_exactly, exact, potentials, numbers)
            row = row + 1 if row + 1 < ns else 0
            priced += 1
        if entering < 0:
            upper, _ = _bounds(problem, tree)
            lower = upper - least_gain * p.sum()
            done = True
            break
        priced = 0
        until_check -= 1
        pivot(tree, np.uintp(entering), np.uintp(ns + sink), reduced)
    potential = np.empty(n)
    potential[ns:] = potentials
    for i in range(ns):
        potential[i] = _potential(tree, sources, sinks, i)
    return upper, lower, potential, done


@compiled()
def _potential(tree: Tree, sources: Floats, sinks: Floats, i: Any) -> Any:
    """The potential of a source."""
    at = np.uintp(tree.parent[i]) - tree.sources
    return distance(sources[0, i], sources[1, i], sinks[0, at], sinks[1, at]) - tree.potential[at]


@compiled()
def _lengths(sources: Floats, sinks: Floats, parent: Any) -> Floats:
    """Length of the arc between each node and its parent, with a minus sign for sources, (S + T,).

    The root has no such arc and a flow of 0, so that its number does not matter.
    """
    ns = sources.shape[1]
    lengths = np.zeros(len(parent))
    for x in range(len(parent)):
        y = np.int64(parent[x])
        if y >= 0 and x < ns:
            lengths[x] = -distance(sources[0, x], sources[1, x], sinks[0, y - ns], sinks[1, y - ns])
        elif y >= 0:
            lengths[x] = distance(sources[0, y], sources[1, y], sinks[0, x - ns], sinks[1, x - ns])
    return lengths


@compiled()
def width_of(sources: Floats, sinks: Floats) -> float:
    """A bound of all distances: the sum of both sides of the box around the points (2, S) and (2, T)."""
    width = 0.0
    for axis in range(2):
        width += max(sources[axis].max(), sinks[axis].max()) - min(sources[axis].min(), sinks[axis].min())
    return width


@compiled()
def _bounds(problem: Problem, tree: Tree) -> tuple[float, float]:
    """The cost of the plan, and a lower bound of the optimum.

    The bound is the value of the dual solution with these potentials at the sinks, less the largest possible
    rounding error of single precision.
    """
    sources, sinks, near, p, q = problem
    rough, lengths = tree.rough[: near.shape[1]], _lengths(sources, sinks, tree.parent)
    upper = lower = largest = 0.0
    for x in range(len(lengths)):
        upper += tree.flow[x] * abs(lengths[x])
    for j in range(len(q)):
        lower += q[j] * tree.potential[j]
        largest = max(largest, abs(tree.potential[j]))
    wrong = _SINGLE * (width_of(sources, sinks) + largest)
    for i in range(len(p)):
        lower += p[i] * (float(least_difference(near[i], rough)) - wrong)
    return upper, lower
