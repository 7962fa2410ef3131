"""The spanning tree of the network simplex method, with the set of sinks below each of its nodes.

Nodes are sources 0..S-1, then sinks S..S+T-1; the root is a sink. Most sources are leaves. A set is a row of
bits, so that moving a subtree to another place takes a few operations for each node of a path. Indices are
unsigned, because numba checks the sign of a signed index at each access, which took a third of a pivot.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from popeq.metrics._jit import compiled
from popeq.metrics.solver._spanning_tree import Basis
from popeq.metrics.solver._vectors import lowest_bit
from popeq.typing import Floats

Indices = NDArray[np.uint32]
Bits = NDArray[np.uint64]


class Tree(NamedTuple):
    """A feasible basis of a problem with S = ``sources`` sources and T sinks; W is T / 64, rounded up.

    ``parent[x]`` and ``flow[x]`` (S + T,) are as in ``Basis``, but the parent of the root is undefined. Bit t
    of ``below[x]`` (S + T, W), 64 bits in a word, says whether sink t is x or below x. ``potential`` (64 W,)
    is that of the sinks, and ``rough`` the same in single precision. ``cut``, ``from_source`` and
    ``from_sink`` are memory for ``pivot``.
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
def tree_of(sources: int, start: Basis, lengths: Floats) -> Tree:
    """The tree of a basis, the ``flow`` of which is used in place.

    ``lengths[x]`` (S + T,) is the cost of the arc between x and its parent, with a minus sign for sources.
    """
    parent, flow, order = start
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
    """Let the arc from a source to a sink enter, whose reduced cost is ``reduced``; one other arc leaves.

    As much as possible is sent around the cycle that the new arc closes. An arc leaves whose flow becomes 0,
    and the subtree below it is attached to the other end of the new arc. If there are several such arcs, the
    last one leaves, in the direction of the new arc and from the node where the two paths to the root meet.
    This rule (Cunningham 1976) prevents cycling.
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
    """Subtract an amount from the flow of the first arc of a path, add it to the second, and so on."""
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
    """Move the subtree of ``path[at]``: ``path[0]`` becomes its root, with the parent ``onto``.

    The new arc has the flow ``carried``, and ``change`` is added to the potentials of the subtree. ``path``
    and ``other`` are the two paths of the cycle, which end below the node where they meet.
    """
    below, cut, words = tree.below, tree.cut, np.uintp(len(tree.cut))
    above, one = onto, np.uintp(1)
    for i in range(at + one):
        x = np.uintp(path[i])
        tree.parent[x], above = above, x
        tree.flow[x], carried = carried, tree.flow[x]
    for w in range(words):
        cut[w] = below[path[at], w]
    # In the reversed path, what is below a node is what was cut without what was below the node before it.
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
    """Set what is below x to what is either below y or cut, but not both."""
    for w in range(np.uintp(len(cut))):
        below[x, w] = below[y, w] ^ cut[w]
