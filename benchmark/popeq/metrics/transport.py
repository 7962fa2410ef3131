"""Wasserstein-1 distances between cell masses on a grid and between point sets: exact, or of proven error.

They are solved by POT, or by the compiled solvers of the extra ``popeq[fast]`` if that is installed: the same
value up to rounding (docs/performance.md).
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from popeq.metrics.compiled import Compiled, compiled
from popeq.metrics.kde import Grid, densities
from popeq.space import PLANE
from popeq.typing import Floats

_MAX_PIVOTS = 10_000_000
#: Reduced costs (in diameters of the box, or of the points) that the compiled solvers take for rounding.
_ROUNDING = 1e-12
_OTHER_BACKENDS = ("PYTORCH", "JAX", "CUPY", "TENSORFLOW")


@lru_cache(maxsize=1)
def _pot() -> Any:
    """POT, imported late and without its optional array backends: importing torch costs seconds.

    geomloss, where it is installed, is hidden too: POT would import it, and torch with it. If torch is loaded
    already, nothing is saved and POT is left to use it.
    """
    hidden = {f"POT_BACKEND_DISABLE_{name}": "1" for name in _OTHER_BACKENDS}
    loaded = "torch" in sys.modules
    added = [] if loaded else [key for key in hidden if key not in os.environ]
    os.environ.update({key: hidden[key] for key in added})
    absent = {} if loaded or "geomloss" in sys.modules else {"geomloss": None}
    sys.modules.update(absent)  # type: ignore[arg-type]
    try:
        import ot
    finally:
        for key in added:
            del os.environ[key]
        for name in absent:
            del sys.modules[name]
    return ot


class Transport(NamedTuple):
    """A transport on a grid: ``cost`` (dB), ``potential`` (cells^2,) in dB, ``error`` (dB).

    The potential f is 1-Lipschitz, so that sum(f * (a - b)) is a lower bound of the distance; a plan gives
    the upper one. The distance is proven to be within ``error`` of the cost; 0: both bounds are the cost (up
    to rounding), which is exact.
    """

    cost: float
    potential: Floats
    error: float = 0.0


@lru_cache(maxsize=8)
def _scattered_order(cells: int) -> NDArray[np.intp]:
    """Cells ordered so that neighbours in the list are far apart in the plane.

    The network simplex prices arcs in blocks of consecutive ones; blocks that sample the whole plane need
    a third fewer pivots than row order.
    """
    i, j = np.indices((cells, cells))
    return np.lexsort((j.ravel(), i.ravel(), ((i + j) % 4).ravel()))


def _solve(p: Floats, q: Floats, cost: Floats) -> tuple[float, Floats]:
    value, log = _pot().emd2(
        p, q, cost, numItermax=_MAX_PIVOTS, log=True, center_dual=False, check_marginals=False
    )
    if log["warning"] is not None:
        raise RuntimeError(f"optimal transport did not converge: {log['warning']}")
    return float(value), np.asarray(log["v"])


class _Surplus(NamedTuple):
    """What has to move: from ``sources`` (cells) amounts ``p`` to ``sinks`` amounts ``q``, equal in sum.

    ``flipped`` if the sources are cells where b has more.
    """

    sources: NDArray[np.intp]
    sinks: NDArray[np.intp]
    p: Floats
    q: Floats
    flipped: bool


def _surplus(a: Floats, b: Floats, grid: Grid) -> _Surplus:
    """Cancel common mass; the larger side comes first, which needs fewer pivots."""
    order = _scattered_order(grid.cells)
    difference = (a - b)[order]
    above, below = order[difference > 0], order[difference < 0]
    flipped = len(above) < len(below)
    sources, sinks = (below, above) if flipped else (above, below)
    p, q = np.abs(a - b)[sources], np.abs(a - b)[sinks]
    if len(sinks) == 0 or p.sum() <= np.finfo(np.float64).eps:
        return _Surplus(sources[:0], sinks[:0], p[:0], q[:0], flipped)
    return _Surplus(sources, sinks, p, q * (p.sum() / q.sum()), flipped)


def compile_solver() -> None:
    """Compile what ``popeq[fast]`` compiles and keep it beside its source, as the first use would; without
    the extra there is nothing to do."""
    grid = Grid(PLANE, 4)
    a, b = (densities(np.full((2, 2), at), grid, 0.3).standard for at in (-1.0, 1.0))
    grid_transport(a, b, grid)
    point_wasserstein(np.zeros((2, 2)), np.ones((3, 2)))


def _solve_compiled(
    ready: Compiled, a: Floats, b: Floats, grid: Grid, tolerance: float
) -> tuple[float, float, Floats] | None:
    """Upper and lower bound of the distance, and the potential of the cells; None if it was given up."""
    difference = a - b
    if np.abs(difference).sum() <= 2.0 * np.finfo(np.float64).eps:
        return 0.0, 0.0, np.zeros(grid.cells**2)
    gap = 2.0 * tolerance / (1.0 + tolerance)
    rounding = _ROUNDING * float(np.linalg.norm(grid.space.size))
    upper, lower, potential, done = ready.grid(difference, grid.cells, *grid.step.tolist(), gap, rounding)
    return (upper, lower, potential) if done else None


def grid_transport(a: Floats, b: Floats, grid: Grid, tolerance: float = 0.0) -> Transport:
    """Wasserstein-1 (dB, Euclidean) between two mass vectors on one grid, and its dual potential.

    Because the cost is a metric, mass that both have in a cell stays there; only the surplus of ``a`` has to
    reach the deficit (Kantorovich-Rubinstein), which shrinks the problem without changing its value.

    Parameters
    ----------
    a, b : (cells^2,)
        Non-negative, each summing to 1.
    tolerance
        Error that is allowed, as a share of the cost. The compiled solver stops when it has proven that much;
        POT is always exact.
    """
    found = _solve_compiled(ready, a, b, grid, tolerance) if (ready := compiled()) else None
    if found is not None:
        upper, lower, potential = found
        if tolerance == 0.0:
            return Transport(upper, potential)
        return Transport((upper + lower) / 2.0, potential, (upper - lower) / 2.0)
    moved = _surplus(a, b, grid)
    if not len(moved.sinks):
        return Transport(0.0, np.zeros(grid.cells**2))
    cost, v = _solve(moved.p, moved.q, grid.distances[np.ix_(moved.sources, moved.sinks)])
    # The c-transform of v: 1-Lipschitz by construction and optimal by complementary slackness.
    potential = (grid.distances[:, moved.sinks] - v).min(axis=1)
    return Transport(cost, -potential if moved.flipped else potential)


def grid_wasserstein(a: Floats, b: Floats, grid: Grid) -> float:
    """Wasserstein-1 distance (dB) between two mass vectors (cells^2,) on one grid, as ``grid_transport``."""
    found = _solve_compiled(ready, a, b, grid, 0.0) if (ready := compiled()) else None
    if found is not None:
        return found[0]
    moved = _surplus(a, b, grid)
    if not len(moved.sinks):
        return 0.0
    return _solve(moved.p, moved.q, grid.distances[np.ix_(moved.sources, moved.sinks)])[0]


def point_wasserstein(x: Floats, y: Floats) -> float:
    """Exact Wasserstein-1 distance (dB, Euclidean) between equally weighted points (n, 2) and (m, 2).

    Raises ValueError if there are none on a side.
    """
    if not len(x) or not len(y):
        raise ValueError(f"there must be points on both sides, not {len(x)} and {len(y)}")
    if ready := compiled():
        # Copies of one type of array, which is what the solver is compiled for.
        cost, done = ready.points(*(np.array(points, np.float64, order="C") for points in (x, y)), _ROUNDING)
        if done:
            return float(cost)
    p, q = np.full(len(x), 1.0 / len(x)), np.full(len(y), 1.0 / len(y))
    return _solve(p, q, cdist(x, y))[0]
