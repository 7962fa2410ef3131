"""Exact transport by the library POT: the path without numba, and the oracle of the tests."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from popeq.metrics.kde import Grid
from popeq.metrics.solver import Transport
from popeq.typing import Floats

_MAX_PIVOTS = 10_000_000
_OTHER_BACKENDS = ("PYTORCH", "JAX", "CUPY", "TENSORFLOW")


def grid_transport(a: Floats, b: Floats, grid: Grid, _tolerance: float, /) -> Transport:
    """``Solver.grid_transport``; the error is always 0."""
    order = _scattered_order(grid.cells)
    difference = (a - b)[order]
    above, below = order[difference > 0], order[difference < 0]
    # The method needs fewer pivots if the larger side comes first.
    flipped = len(above) < len(below)
    sources, sinks = (below, above) if flipped else (above, below)
    p, q = np.abs(a - b)[sources], np.abs(a - b)[sinks]
    if len(sinks) == 0 or p.sum() <= np.finfo(np.float64).eps:
        return Transport(0.0, np.zeros(grid.cells**2))
    cost, v = _emd(p, q * (p.sum() / q.sum()), grid.distances[np.ix_(sources, sinks)])
    # The c-transform of v is 1-Lipschitz by construction and optimal by complementary slackness.
    potential = (grid.distances[:, sinks] - v).min(axis=1)
    return Transport(cost, -potential if flipped else potential)


def point_wasserstein(x: Floats, y: Floats, /) -> float:
    """``Solver.point_wasserstein``."""
    return _emd(np.full(len(x), 1.0 / len(x)), np.full(len(y), 1.0 / len(y)), cdist(x, y))[0]


def _emd(p: Floats, q: Floats, cost: Floats) -> tuple[float, Floats]:
    """The cost of the best plan from p (S,) to q (T,) for the costs (S, T), and the potentials of q."""
    value, log = _pot().emd2(
        p, q, cost, numItermax=_MAX_PIVOTS, log=True, center_dual=False, check_marginals=False
    )
    if log["warning"] is not None:
        raise RuntimeError(f"optimal transport did not converge: {log['warning']}")
    return float(value), np.asarray(log["v"])


@lru_cache(maxsize=8)
def _scattered_order(cells: int) -> NDArray[np.intp]:
    """Cells in an order in which neighbours in the list are far apart in the plane.

    POT prices arcs in blocks of consecutive ones. Blocks that sample the whole plane need a third fewer
    pivots than blocks of rows.
    """
    i, j = np.indices((cells, cells))
    return np.lexsort((j.ravel(), i.ravel(), ((i + j) % 4).ravel()))


@lru_cache(maxsize=1)
def _pot() -> Any:
    """POT, imported late and without its optional array backends, because importing torch takes seconds.

    geomloss is hidden too, where it is installed: POT would import it, and torch with it. If torch is loaded
    already, nothing is saved, and POT may use it.
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
