"""From a plan between blocks of 2 x 2 cells to one between the cells, compiled by numba."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from popeq.metrics.spanning_tree import Floats, Nodes

#: Flat indices of cells, or of blocks.
Cells = NDArray[np.int32]


@njit(cache=True, nogil=True)
def take_apart(
    p: Floats,
    q: Floats,
    sources: Cells,
    sinks: Cells,
    cells: int,
    coarse_sources: Cells,
    coarse_sinks: Cells,
    coarse_parent: Nodes,
    coarse_flow: Floats,
    arc_sources: Nodes,
    arc_sinks: Nodes,
) -> int:
    """Arcs between cells that carry the flows between blocks; returns how many.

    First what a block can settle within itself. Then a block shares out what its cells have left over, or
    lack, among the arcs of the coarse tree, both sorted across the direction of its whole flow, and along
    each arc sources meet sinks in that order too: paths that cross are longer. Every step uses up a cell or
    an arc, so that no cycle can arise.
    """
    ns = len(p)
    left, missing = p.copy(), q.copy()
    blocks = (cells // 2) ** 2
    begin_sources, own_sources = _grouped(_blocks_of(sources, cells), blocks)
    begin_sinks, own_sinks = _grouped(_blocks_of(sinks, cells), blocks)
    arcs = 0
    for b in range(blocks):
        i, j = begin_sources[b], begin_sinks[b]
        while i < begin_sources[b + 1] and j < begin_sinks[b + 1]:
            s, t = own_sources[i], own_sinks[j]
            arc_sources[arcs], arc_sinks[arcs] = s, ns + t
            arcs += 1
            moved = min(left[s], missing[t])
            left[s] -= moved
            missing[t] -= moved
            if left[s] <= missing[t]:
                i += 1
            else:
                j += 1
    tails, heads, amounts = _flows(coarse_sources, coarse_sinks, coarse_parent, coarse_flow)
    from_cells, from_amounts, from_begin = _shares(
        left, sources, own_sources, begin_sources, tails, heads, amounts, cells
    )
    to_cells, to_amounts, to_begin = _shares(
        missing, sinks, own_sinks, begin_sinks, heads, tails, amounts, cells
    )
    keys = np.empty(max(len(from_cells), len(to_cells)))
    for a in range(len(amounts)):
        tail, head, begin, end = tails[a], heads[a], from_begin[a], from_begin[a + 1]
        _across(from_cells, from_amounts, keys, begin, end, sources, tail, head, cells)
        begin, end = to_begin[a], to_begin[a + 1]
        _across(to_cells, to_amounts, keys, begin, end, sinks, tail, head, cells)
        i, j = from_begin[a], to_begin[a]
        while i < from_begin[a + 1] and j < to_begin[a + 1]:
            arc_sources[arcs], arc_sinks[arcs] = from_cells[i], ns + to_cells[j]
            arcs += 1
            moved = min(from_amounts[i], to_amounts[j])
            from_amounts[i] -= moved
            to_amounts[j] -= moved
            if from_amounts[i] <= to_amounts[j]:
                i += 1
            else:
                j += 1
    return arcs


@njit(cache=True, nogil=True)
def _flows(sources: Cells, sinks: Cells, parent: Nodes, flow: Floats) -> tuple[Cells, Cells, Floats]:
    """The arcs of a tree that carry something: from block, to block, amount."""
    tails, heads, amounts = (
        np.empty(len(parent), np.int32),
        np.empty(len(parent), np.int32),
        np.empty(len(parent)),
    )
    count = 0
    for x in range(len(parent)):
        y = parent[x]
        if y >= 0 and flow[x] > 0.0:
            s, t = (x, y) if x < len(sources) else (y, x)
            tails[count], heads[count], amounts[count] = sources[s], sinks[t - len(sources)], flow[x]
            count += 1
    return tails[:count], heads[:count], amounts[:count]


@njit(cache=True, nogil=True)
def _shares(
    rest: Floats,
    which: Cells,
    own: Nodes,
    begin: Nodes,
    here: Cells,
    there: Cells,
    amounts: Floats,
    cells: int,
) -> tuple[Nodes, Floats, Nodes]:
    """How the cells of each block share out their ``rest`` among the arcs that leave (or reach) it: cells and
    amounts by arc, and where each arc begins."""
    half, many = cells // 2, len(amounts)
    begin_arcs, arcs = _grouped(here, half * half)
    keys, nothing = np.empty(max(many, len(which))), np.zeros(max(many, len(which)))
    share_cells, share_amounts = np.empty(len(which) + many, np.int32), np.empty(len(which) + many)
    first, last = np.zeros(many, np.int32), np.zeros(many, np.int32)
    count = 0
    for b in range(half * half):
        k, end = begin_arcs[b], begin_arcs[b + 1]
        x = y = 0.0
        for e in range(k, end):
            dx, dy = _direction(b, there[arcs[e]], half)
            x += amounts[arcs[e]] * dx
            y += amounts[arcs[e]] * dy
        for e in range(k, end):
            dx, dy = _direction(b, there[arcs[e]], half)
            keys[e] = x * dy - y * dx
        _sort(keys, arcs, nothing, k, end)
        i, stop = begin[b], begin[b + 1]
        for c in range(i, stop if k < end else i):
            keys[c] = x * (which[own[c]] % cells) - y * (which[own[c]] // cells)
        _sort(keys, own, nothing, i, stop if k < end else i)
        for e in range(k, end):
            a = arcs[e]
            first[a] = count
            need = amounts[a]
            while i < stop:
                c = own[i]
                if rest[c] <= 0.0:
                    i += 1
                    continue
                moved = min(need, rest[c])
                share_cells[count], share_amounts[count] = c, moved
                count += 1
                rest[c] -= moved
                need -= moved
                if need <= 0.0:
                    break
                i += 1
            last[a] = count
    out_cells, out_amounts = np.empty(count, np.int32), np.empty(count)
    out_begin = np.zeros(many + 1, np.int32)
    at = 0
    for a in range(many):
        for e in range(first[a], last[a]):
            out_cells[at], out_amounts[at] = share_cells[e], share_amounts[e]
            at += 1
        out_begin[a + 1] = at
    return out_cells, out_amounts, out_begin


@njit(cache=True, nogil=True)
def _direction(block: int, other: int, half: int) -> tuple[float, float]:
    """From a block to another, of length 1."""
    dx, dy = float(other // half - block // half), float(other % half - block % half)
    length = np.sqrt(dx * dx + dy * dy) + 1e-300
    return dx / length, dy / length


@njit(cache=True, nogil=True)
def _grouped(blocks: Cells, many: int) -> tuple[Nodes, Nodes]:
    """Where each of ``many`` blocks begins among positions in ``blocks`` sorted by block, and these."""
    begin = np.zeros(many + 1, np.int32)
    for b in blocks:
        begin[b + 1] += 1
    begin = np.cumsum(begin).astype(np.int32)
    free, positions = begin.copy(), np.empty(len(blocks), np.int32)
    for i in range(len(blocks)):
        positions[free[blocks[i]]] = i
        free[blocks[i]] += 1
    return begin, positions


@njit(cache=True, nogil=True)
def _sort(keys: Floats, items: Nodes, amounts: Floats, begin: int, end: int) -> None:
    """Sort a few items from ``begin`` to ``end``, with their keys and amounts, by key."""
    for i in range(begin + 1, end):
        key, item, amount = keys[i], items[i], amounts[i]
        j = i
        while j > begin and keys[j - 1] > key:
            keys[j], items[j], amounts[j] = keys[j - 1], items[j - 1], amounts[j - 1]
            j -= 1
        keys[j], items[j], amounts[j] = key, item, amount


@njit(cache=True, nogil=True)
def _across(
    own: Nodes,
    amounts: Floats,
    keys: Floats,
    begin: int,
    end: int,
    which: Cells,
    tail: int,
    head: int,
    cells: int,
) -> None:
    """Sort an arc's few cells, with their amounts, across its direction."""
    half = cells // 2
    dx, dy = float(head // half - tail // half), float(head % half - tail % half)
    for i in range(begin, end):
        keys[i] = dx * (which[own[i]] % cells) - dy * (which[own[i]] // cells)
    _sort(keys, own, amounts, begin, end)


@njit(cache=True, nogil=True)
def _blocks_of(which: Cells, cells: int) -> Cells:
    blocks = np.empty(len(which), np.int32)
    for i in range(len(which)):
        blocks[i] = block_of(which[i], cells)
    return blocks


@njit(cache=True, nogil=True)
def block_of(cell: int, cells: int) -> int:
    return (cell // cells // 2) * (cells // 2) + cell % cells // 2
