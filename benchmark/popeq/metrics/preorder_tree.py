"""A spanning tree of a transportation problem as a list of its nodes, each followed by those below it,
compiled by numba: a subtree is a stretch of the list.

Nodes are sources 0..S-1, then sinks S..S+T-1. Indices are unsigned, because numba would look at the sign of
others each time that they index an array, which took a third of the time of a pivot.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from popeq.metrics.spanning_tree import Floats, Nodes

Indices = NDArray[np.uint32]


class Tree(NamedTuple):
    """A feasible basis of the network simplex method; all (S + T,).

    ``flow[x]`` is on the arc between x and its parent, from the source to the sink. ``potential`` is of
    sources with the other sign: so all of a subtree moves the same way. ``rough`` is the same in single
    precision. ``below`` counts the nodes of a subtree, its root included; x is at ``place[x]`` of ``listed``.
    The rest is room to work in.
    """

    parent: Indices
    flow: Floats
    potential: Floats
    rough: NDArray[np.float32]
    below: Indices
    listed: Indices
    place: Indices
    spare: Indices
    from_source: Indices
    from_sink: Indices


@njit(cache=True, nogil=True)
def tree_of(parent: Nodes, flow: Floats, order: Nodes, lengths: Floats) -> Tree:
    """The tree that ``spanning_tree`` gives (``flow`` is used in place), where the arc between x and its
    parent costs ``lengths[x]``; x is a source if that is below 0."""
    n = len(parent)
    above, below = np.zeros(n, np.uint32), np.ones(n, np.uint32)
    potential, rough = np.zeros(n), np.zeros(n, np.float32)
    listed, place, spare = np.zeros(n, np.uint32), np.zeros(n, np.uint32), np.zeros(n, np.uint32)
    for i in range(n - 1, 0, -1):
        below[parent[order[i]]] += below[order[i]]
    spare[order[0]] = 1  # where a node's next child goes
    for i in range(1, n):
        x = order[i]
        y = parent[x]
        above[x], potential[x] = y, potential[y] + lengths[x]
        place[x] = spare[y]
        spare[y] += below[x]
        spare[x] = place[x] + 1
    for x in range(n):
        listed[place[x]], rough[x] = x, potential[x]
    up, down = np.zeros(n, np.uint32), np.zeros(n, np.uint32)
    return Tree(above, flow, potential, rough, below, listed, place, spare, up, down)


@njit(cache=True, nogil=True)
def pivot(tree: Tree, source: Any, sink: Any, reduced: float) -> None:
    """Let an arc enter: send what fits around its cycle, cut the arc that runs empty, and hang what stood
    below it onto the other end of the new arc.

    Of several arcs that run empty the last is cut, going around the cycle from where its ends meet and along
    the new arc (Cunningham 1976), so that ties don't go round in circles.
    """
    flow, parent, up, down = tree.flow, tree.parent, tree.from_source, tree.from_sink
    one, two = np.uintp(1), np.uintp(2)
    at: Any
    ups = downs = np.uintp(0)
    x, sought = source, np.uintp(tree.place[sink])
    while sought - np.uintp(tree.place[x]) >= np.uintp(tree.below[x]):  # unsigned: huge if it stands before x
        up[ups] = x
        ups += one
        x = np.uintp(parent[x])
    meeting, x = x, sink
    while x != meeting:
        down[downs] = x
        downs += one
        x = np.uintp(parent[x])
    fits, at, at_source = np.inf, np.uintp(0), True
    for i in range(np.uintp(0), ups, two):
        if flow[up[i]] < fits:
            fits, at = flow[up[i]], i
    for i in range(np.uintp(0), downs, two):
        if flow[down[i]] <= fits:
            fits, at, at_source = flow[down[i]], i, False
    _send(flow, up, ups, fits)
    _send(flow, down, downs, fits)
    onto, change = sink, -reduced
    if not at_source:
        up, ups, down, downs, onto, change = down, downs, up, ups, source, reduced
    _rehang(tree, up, at, ups, down, downs, onto, fits, change)


@njit(cache=True, nogil=True, inline="always")
def _send(flow: Floats, path: Indices, length: Any, amount: float) -> None:
    """Less on the first of a path's arcs, more on the second, and so on."""
    for i in range(np.uintp(0), length, np.uintp(2)):
        flow[path[i]] -= amount
    for i in range(np.uintp(1), length, np.uintp(2)):
        flow[path[i]] += amount


@njit(cache=True, nogil=True)
def _rehang(
    tree: Tree,
    path: Indices,
    at: Any,
    length: Any,
    other: Indices,
    other_length: Any,
    onto: Any,
    carried: float,
    change: float,
) -> None:
    """Cut the subtree of ``path[at]`` off, hang it by ``path[0]`` onto a node, with an arc that carries as
    much, and change its potentials. Both paths end below the node where they meet."""
    below, listed, place, spare = tree.below, tree.listed, tree.place, tree.spare
    one = np.uintp(1)
    begin, moved = np.uintp(place[path[at]]), np.uintp(below[path[at]])
    for i in range(at + one, length):
        below[path[i]] -= np.uint32(moved)
    # Each node of the path is followed by what stood below it, less what stands before it now.
    filled = np.uintp(0)
    hole_begin = hole_end = np.uintp(place[path[0]])
    above, inside = onto, np.uintp(0)
    for i in range(at + one):
        x = np.uintp(path[i])
        first = np.uintp(place[x])
        last = first + np.uintp(below[x])
        for k in range(first, hole_begin):
            spare[filled + (k - first)] = listed[k]
        filled += hole_begin - first
        for k in range(hole_end, last):
            spare[filled + (k - hole_end)] = listed[k]
        filled += last - hole_end
        hole_begin, hole_end = first, last
        tree.parent[x], above = above, x
        tree.flow[x], carried = carried, tree.flow[x]
        below[x], inside = moved - inside, last - first
    start = _make_room(tree, begin, moved, onto)
    for k in range(moved):
        x = np.uintp(spare[k])
        listed[start + k], place[x] = x, start + k
        tree.potential[x] += change
        tree.rough[x] = tree.potential[x]
    for i in range(other_length):
        below[other[i]] += np.uint32(moved)


@njit(cache=True, nogil=True, inline="always")
def _make_room(tree: Tree, begin: Any, moved: Any, onto: Any) -> Any:
    """Close the gap of ``moved`` places from ``begin`` and open one as wide below a node, before or behind
    what stands there, whichever is nearer; where that one begins."""
    listed, place = tree.listed, tree.place
    one, end = np.uintp(1), begin + moved
    start = np.uintp(place[onto]) + one
    behind = start - one + np.uintp(tree.below[onto])
    if start <= begin and (behind <= begin or (behind >= end and behind - end < begin - start)):
        start = behind
    if start > begin:
        for k in range(end, start):
            x = np.uintp(listed[k])
            listed[k - moved], place[x] = x, k - moved
        return start - moved
    for j in range(begin - start):
        k = begin - one - j
        x = np.uintp(listed[k])
        listed[k + moved], place[x] = x, k + moved
    return start
