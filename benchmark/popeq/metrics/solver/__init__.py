"""Wasserstein-1 distances between cell masses on a grid and between point sets: exact, or of proven error."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from popeq.metrics._backend import uses_numba
from popeq.metrics.kde import Grid
from popeq.typing import Floats


class Transport(NamedTuple):
    """A transport on a grid: ``cost`` (dB), ``potential`` (cells^2,) in dB, ``error`` (dB).

    The potential f is 1-Lipschitz, so that sum(f * (a - b)) is a lower bound of the distance; a plan gives an
    upper bound. The distance is proven to be within ``error`` of the cost. An error of 0 means that both
    bounds are the cost up to rounding, which is then exact.
    """

    cost: float
    potential: Floats
    error: float = 0.0


class Solver(Protocol):
    """Computes what the functions of the same names below return; there are points on both sides."""

    def grid_transport(self, a: Floats, b: Floats, grid: Grid, tolerance: float, /) -> Transport: ...

    def point_wasserstein(self, x: Floats, y: Floats, /) -> float: ...


def load_solver(name: Literal["compiled", "pot"] | None = None) -> Solver:
    """The solver of this installation; both solvers return the same values up to rounding.

    Parameters
    ----------
    name
        ``compiled``: the network simplex method of the extra ``popeq[fast]``; its first call takes 20 to 40 s
        where no compiled code is kept. ``pot``: the library POT, which is always exact. None: the compiled
        solver if numba is installed and the environment variable POPEQ_SOLVER is not ``pot``, otherwise POT.

    Raises
    ------
    ImportError
        If the compiled solver is asked for by name and numba is not installed.
    """
    if name == "compiled" or (name is None and uses_numba()):
        from popeq.metrics.solver import _compiled

        return _compiled
    from popeq.metrics.solver import _pot

    return _pot


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
