"""Transport of cell masses on a grid, by levels: each grid starts from the potentials of one half as fine.

Interpolated between the centres of its blocks, they are a good guess of the potentials of the cells. From the
plan that follows from the guess, the network simplex method needs less than half of the pivots.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from popeq.metrics._jit import compiled
from popeq.metrics.solver._greedy_start import greedy
from popeq.metrics.solver._simplex import improve, width_of
from popeq.metrics.solver._spanning_tree import Problem, northwest, spanning_tree
from popeq.metrics.solver._vectors import WIDEST, distances, least_difference, padded_distances
from popeq.typing import Floats

#: Flat indices of cells, or of blocks.
Cells = NDArray[np.int32]

#: Grids of up to this many cells a side, and those of an odd number, start from the north-west corner rule.
_COARSEST = 3


@compiled()
def solve(
    difference: Floats, cells: int, step_x: float, step_y: float, tolerance: float, least_gain: float
) -> tuple[float, float, Floats, bool]:
    """The least cost of moving the surplus of ``difference`` (cells^2,), which sums to 0, to its deficit.

    Returns an upper and a lower bound of the cost, a 1-Lipschitz potential (cells^2,) that proves the lower
    bound, and whether they were found. ``tolerance`` and ``least_gain`` are those of ``_simplex.improve``.
    """
    # The larger side is the sources, because many short rows of arcs are priced in less time.
    sign = -1.0 if 2 * (difference > 0.0).sum() < (difference != 0.0).sum() else 1.0
    sources, sinks = _scattered(difference, cells, sign), _scattered(difference, cells, -sign)
    ns, n = len(sources), len(sources) + len(sinks)
    potential = np.zeros(cells * cells)
    if ns == 0 or ns == n:
        return 0.0, 0.0, potential, True
    p, q = sign * difference[sources], -sign * difference[sinks]
    q *= float(p.sum()) / float(q.sum())
    here, there = _coordinates(sources, cells, step_x, step_y), _coordinates(sinks, cells, step_x, step_y)
    if width_of(here, there) > WIDEST:
        return 0.0, 0.0, potential, False
    problem = Problem(here, there, padded_distances(here, there), p, q)
    if cells > _COARSEST and cells % 2 == 0:
        half = cells // 2
        guess = solve(_blocks(difference, cells), half, 2.0 * step_x, 2.0 * step_y, 0.0, least_gain)[2]
        at_sinks = np.zeros(problem.near.shape[1], np.float32)
        at_sinks[: n - ns] = _between(guess, sinks, half, -sign)
        at_sources = _between(guess, sources, half, sign)
        arcs = greedy(problem, at_sources, at_sinks, 2.0 * min(step_x, step_y))
    else:
        arcs = northwest(p, q)
    start, least_flow = spanning_tree(arcs, p, q)
    if least_flow < -1e-12:
        start, _ = spanning_tree(northwest(p, q), p, q)
    upper, lower, dual, done = improve(problem, start, tolerance, least_gain)
    values = dual[ns:]
    if tolerance > 0.0:
        rest = np.arange(cells * cells).astype(np.int32)
    else:  # at the optimum the c-transform of a source or a sink is its potential
        potential[sources] = dual[:ns]
        potential[sinks] = -values
        rest = np.flatnonzero(difference == 0.0).astype(np.int32)
    _c_transform(rest, cells, step_x, step_y, sinks, values, potential)
    return upper, lower, sign * potential, done


@compiled()
def _blocks(difference: Floats, cells: int) -> Floats:
    """Sums over blocks of 2 x 2 cells."""
    half = cells // 2
    sums = np.zeros(half * half)
    for c in range(cells * cells):
        sums[(c // cells // 2) * half + c % cells // 2] += difference[c]
    return sums


@compiled()
def _between(potential: Floats, which: Cells, half: int, sign: float) -> NDArray[np.float32]:
    """Potentials at some cells, interpolated linearly between those of blocks of 2 x 2 cells (half^2,)."""
    found = np.empty(len(which), np.float32)
    for k in range(len(which)):
        i, j = which[k] // (2 * half), which[k] % (2 * half)
        row, other_row = (i // 2) * half, min(max(i // 2 + 2 * (i % 2) - 1, 0), half - 1) * half
        column, other = j // 2, min(max(j // 2 + 2 * (j % 2) - 1, 0), half - 1)
        along = 0.75 * potential[row + column] + 0.25 * potential[row + other]
        beside = 0.75 * potential[other_row + column] + 0.25 * potential[other_row + other]
        found[k] = sign * (0.75 * along + 0.25 * beside)
    return found


@compiled()
def _scattered(difference: Floats, cells: int, sign: float) -> Cells:
    """Cells where the difference has a sign, in an order in which neighbours are far apart in the plane.

    Arcs are priced row by row, and rows that sample the whole plane need fewer pivots.
    """
    found = np.empty(len(difference), np.int32)
    count = 0
    for start in range(4):
        for i in range(cells):
            for j in range((start - i) % 4, cells, 4):
                if sign * difference[i * cells + j] > 0.0:
                    found[count] = i * cells + j
                    count += 1
    return found[:count].copy()


@compiled()
def _coordinates(which: Cells, cells: int, step_x: float, step_y: float) -> Floats:
    """The centres of n cells, (2, n), dB from the centre of the first cell."""
    found = np.empty((2, len(which)))
    for i in range(len(which)):
        found[0, i], found[1, i] = step_x * (which[i] // cells), step_y * (which[i] % cells)
    return found


@compiled()
def _c_transform(
    which: Cells, cells: int, step_x: float, step_y: float, sinks: Cells, values: Floats, potential: Floats
) -> None:
    """Write the minimum over sinks of (distance - value), which is 1-Lipschitz, to some of the potentials."""
    there = _coordinates(sinks, cells, step_x, step_y)
    row = np.empty(len(sinks))
    for c in which:
        distances(step_x * (c // cells), step_y * (c % cells), there, row)
        potential[c] = least_difference(row, values)
