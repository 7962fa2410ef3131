"""Transport by the compiled network simplex method. Problems that it gives up are solved by POT."""

from __future__ import annotations

import numpy as np

from popeq.metrics.kde import Grid
from popeq.metrics.solver import Transport, _grid, _points, _pot
from popeq.typing import Floats

#: Reduced costs below this share of the diameter of the box, or of the points, are taken for rounding.
_ROUNDING = 1e-12


def grid_transport(a: Floats, b: Floats, grid: Grid, tolerance: float, /) -> Transport:
    """``Solver.grid_transport``; it stops as soon as it has proven an error within the tolerance."""
    difference = a - b
    if np.abs(difference).sum() <= 2.0 * np.finfo(np.float64).eps:
        return Transport(0.0, np.zeros(grid.cells**2))
    # The cost is the middle of the bounds: half of their gap is the error.
    gap = 2.0 * tolerance / (1.0 + tolerance)
    rounding = _ROUNDING * float(np.linalg.norm(grid.space.size))
    step_x, step_y = grid.step.tolist()
    upper, lower, potential, done = _grid.solve(difference, grid.cells, step_x, step_y, gap, rounding)
    if not done:
        return _pot.grid_transport(a, b, grid, tolerance)
    if tolerance == 0.0:
        return Transport(upper, potential)
    return Transport((upper + lower) / 2.0, potential, (upper - lower) / 2.0)


def point_wasserstein(x: Floats, y: Floats, /) -> float:
    """``Solver.point_wasserstein``."""
    # Copies of one type of array, so that one signature is compiled.
    here, there = (np.array(points, np.float64, order="C") for points in (x, y))
    cost, done = _points.solve(here, there, _ROUNDING)
    return float(cost) if done else _pot.point_wasserstein(x, y)
