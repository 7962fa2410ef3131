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
    own_sources, begin_sources = _by_block(sources, cells)
    own_sinks, begin_sinks = _by_block(sinks, cells)
    arcs = 0
    for b in range((cells // 2) ** 2):
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
    for a in range(len(amounts)):
        _across(
            from_cells, from_amounts, from_begin[a], from_begin[a + 1], sources, tails[a], heads[a], cells
        )
        _across(to_cells, to_amounts, to_begin[a], to_begin[a + 1], sinks, tails[a], heads[a], cells)
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
def _by_block(which: Cells, cells: int) -> tuple[Nodes, Nodes]:
    """Positions of cells in ``which`` sorted by block, and where each block begins."""
    blocks = (cells // 2) ** 2
    begin = np.zeros(blocks + 1, np.int32)
    for cell in which:
        begin[block_of(cell, cells) + 1] += 1
    begin = np.cumsum(begin).astype(np.int32)
    free = begin.copy()
    own = np.empty(len(which), np.int32)
    for i in range(len(which)):
        b = block_of(which[i], cells)
        own[free[b]] = i
        free[b] += 1
    return own, begin


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
    arcs = np.argsort(here, kind="mergesort")
    share_cells, share_amounts = np.empty(len(which) + many, np.int32), np.empty(len(which) + many)
    first, last = np.zeros(many, np.int32), np.zeros(many, np.int32)
    count = 0
    k = 0
    while k < many:
        b = here[arcs[k]]
        end = k
        x = y = 0.0
        while end < many and here[arcs[end]] == b:
            a = arcs[end]
            dx, dy = float(there[a] // half - b // half), float(there[a] % half - b % half)
            length = np.sqrt(dx * dx + dy * dy) + 1e-300
            x += amounts[a] * dx / length
            y += amounts[a] * dy / length
            end += 1
        keys = np.empty(end - k)
        for e in range(k, end):
            a = arcs[e]
            dx, dy = float(there[a] // half - b // half), float(there[a] % half - b % half)
            keys[e - k] = (x * dy - y * dx) / (np.sqrt(dx * dx + dy * dy) + 1e-300)
        sorted_arcs = arcs[k:end][np.argsort(keys, kind="mergesort")]
        mine = own[begin[b] : begin[b + 1]]
        across = np.empty(len(mine))
        for i in range(len(mine)):
            cell = which[mine[i]]
            across[i] = x * (cell % cells) - y * (cell // cells)
        mine = mine[np.argsort(across, kind="mergesort")]
        i = 0
        for a in sorted_arcs:
            first[a] = count
            need = amounts[a]
            while i < len(mine):
                c = mine[i]
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
        k = end
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
def _across(
    own: Nodes, amounts: Floats, begin: int, end: int, which: Cells, tail: int, head: int, cells: int
) -> None:
    """Sort an arc's few cells, with their amounts, across its direction."""
    half = cells // 2
    dx, dy = float(head // half - tail // half), float(head % half - tail % half)
    for i in range(begin + 1, end):
        c, amount = own[i], amounts[i]
        key = dx * (which[c] % cells) - dy * (which[c] // cells)
        j = i
        while j > begin and dx * (which[own[j - 1]] % cells) - dy * (which[own[j - 1]] // cells) > key:
            own[j], amounts[j] = own[j - 1], amounts[j - 1]
            j -= 1
        own[j], amounts[j] = c, amount


@njit(cache=True, nogil=True)
def block_of(cell: int, cells: int) -> int:
    return (cell // cells // 2) * (cells // 2) + cell % cells // 2
