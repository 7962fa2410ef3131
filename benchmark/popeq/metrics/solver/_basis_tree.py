"""A spanning tree of a transportation problem with the set of sinks below each of its nodes, compiled by
numba.

Nodes are sources 0..S-1, then sinks S..S+T-1; the root is a sink. Most sources are leaves. A set is a row of
bits, so that a tree is cut, turned around and hung elsewhere by a few operations for each node of a path.
Indices are unsigned, because numba would look at the sign of others each time that they index an array, which
took a third of the time of a pivot.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from popeq.metrics._jit import compiled
from popeq.metrics.solver._spanning_tree import Nodes
from popeq.metrics.solver._vectors import lowest_bit
from popeq.typing import Floats

Indices = NDArray[np.uint32]
Bits = NDArray[np.uint64]


class Tree(NamedTuple):
    """A feasible basis of the network simplex method; nodes are numbered by all, ``sources`` of them first.

    ``flow[x]`` (S + T,) is on the arc between x and its parent, from the source to the sink. Bit t of
    ``below[x]`` (S + T, W), 64 to a word, says whether sink t is x or stands below it. ``potential`` (64 W,)
    is of the sinks; ``rough`` is the same in single precision. The rest is room to work in.
    """

    sources: Any
    parent: Indices
    flow: Floats
    potential: Floats
    rough: NDArray[np.float32]
    below: Bits
    cut: Bits
    from_source: Indices
    from_sink: Indices


@compiled()
def tree_of(sources: int, parent: Nodes, flow: Floats, order: Nodes, lengths: Floats) -> Tree:
    """The tree that ``spanning_tree`` gives (``flow`` is used in place), where the arc between x and its
    parent costs ``lengths[x]``, with a minus if x is a source."""
    n = len(parent)
    words = (n - sources + 63) // 64
    below, above = np.zeros((n, words), np.uint64), np.zeros(n, np.uint32)
    potentials = np.zeros(n)  # of sources with the other sign
    for t in range(n - sources):
        below[sources + t, t // 64] = np.uint64(1) << np.uint64(t % 64)
    for i in range(n - 1, 0, -1):
        for w in range(words):
            below[parent[order[i]], w] |= below[order[i], w]
    for i in range(1, n):
        x = order[i]
        above[x], potentials[x] = parent[x], potentials[parent[x]] + lengths[x]
    potential = np.zeros(64 * words)
    potential[: n - sources] = potentials[sources:]
    return Tree(
        np.uintp(sources),
        above,
        flow,
        potential,
        potential.astype(np.float32),
        below,
        np.zeros(words, np.uint64),
        np.zeros(n, np.uint32),
        np.zeros(n, np.uint32),
    )


@compiled()
def pivot(tree: Tree, source: Any, sink: Any, reduced: float) -> None:
    """Let an arc enter: send what fits around its cycle, cut the arc that runs empty, and hang what stood
    below it onto the other end of the new arc.

    Of several arcs that run empty the last is cut, going around the cycle from where its ends meet and along
    the new arc (Cunningham 1976), so that ties don't go round in circles.
    """
    flow, parent, below, up, down = tree.flow, tree.parent, tree.below, tree.from_source, tree.from_sink
    one, two = np.uintp(1), np.uintp(2)
    at: Any
    ups = downs = np.uintp(0)
    number = sink - tree.sources
    word, bit = number >> np.uintp(6), np.uint64(1) << np.uint64(number & np.uintp(63))
    x = source
    while not below[x, word] & bit:
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


@compiled(inline="always")
def _send(flow: Floats, path: Indices, length: Any, amount: float) -> None:
    """Less on the first of a path's arcs, more on the second, and so on."""
    for i in range(np.uintp(0), length, np.uintp(2)):
        flow[path[i]] -= amount
    for i in range(np.uintp(1), length, np.uintp(2)):
        flow[path[i]] += amount


@compiled()
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
    below, cut, words = tree.below, tree.cut, np.uintp(len(tree.cut))
    above, one = onto, np.uintp(1)
    for i in range(at + one):
        x = np.uintp(path[i])
        tree.parent[x], above = above, x
        tree.flow[x], carried = carried, tree.flow[x]
    for w in range(words):
        cut[w] = below[path[at], w]
    # Turned around, a node of the path has below it what is cut and was not below the one before it.
    for i in range(at, np.uintp(0), -1):
        _change(below, np.uintp(path[i]), np.uintp(path[np.uintp(i) - one]), cut)
    for w in range(words):
        below[path[0], w] = cut[w]
    for i in range(at + one, length):
        _change(below, np.uintp(path[i]), np.uintp(path[i]), cut)
    for i in range(other_length):
        _change(below, np.uintp(other[i]), np.uintp(other[i]), cut)
    for w in range(words):
        rest = cut[w]
        while rest:
            t = (w << np.uintp(6)) + np.uintp(lowest_bit(rest))
            rest &= rest - np.uint64(1)
            tree.potential[t] += change
            tree.rough[t] = tree.potential[t]


@compiled(inline="always")
def _change(below: Bits, x: Any, y: Any, cut: Bits) -> None:
    """Below x shall be what is either below y or cut, not both."""
    for w in range(np.uintp(len(cut))):
        below[x, w] = below[y, w] ^ cut[w]
