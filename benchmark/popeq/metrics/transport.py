"""Wasserstein-1 distances between cell masses on a grid and between point sets: exact, or of proven error."""

from __future__ import annotations

from popeq.metrics.kde import Grid
from popeq.metrics.solver import Transport, load_solver
from popeq.typing import Floats


def grid_transport(a: Floats, b: Floats, grid: Grid, tolerance: float = 0.0) -> Transport:
    """Wasserstein-1 (dB, Euclidean) between two mass vectors on one grid, and its dual potential.

    Parameters
    ----------
    a, b : (cells^2,)
        Non-negative, each summing to 1.
    tolerance
        Error that is allowed, as a share of the cost. The compiled solver stops when it has proven that much;
        POT is always exact.

    Raises
    ------
    RuntimeError
        If the solver does not converge.

    Notes
    -----
    The method and its sources are in docs/solver.md.
    """
    return load_solver().grid_transport(a, b, grid, tolerance)


def grid_wasserstein(a: Floats, b: Floats, grid: Grid) -> float:
    """Exact Wasserstein-1 distance (dB) between two mass vectors (cells^2,), as by ``grid_transport``."""
    return grid_transport(a, b, grid).cost


def point_wasserstein(x: Floats, y: Floats) -> float:
    """Exact Wasserstein-1 distance (dB, Euclidean) between equally weighted points (n, 2) and (m, 2).

    Raises ValueError if there are no points on one side.
    """
    if not len(x) or not len(y):
        raise ValueError(f"there must be points on both sides, not {len(x)} and {len(y)}")
    return load_solver().point_wasserstein(x, y)
