"""Optimal transport in the plane: Wasserstein-1 distances between masses on a grid and between point sets.

``load_solver`` is the only function for other packages. The method is explained in docs/solver.md.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from popeq.metrics._backend import uses_numba
from popeq.metrics.kde import Grid
from popeq.typing import Floats

__all__ = ["Solver", "Transport", "load_solver"]


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
    """Computes Wasserstein-1 distances, with the Euclidean distance as cost."""

    def grid_transport(self, a: Floats, b: Floats, grid: Grid, tolerance: float, /) -> Transport:
        """The transport between two mass vectors (cells^2,) on a grid, each non-negative with sum 1.

        ``tolerance`` is the error that is allowed, as a share of the cost. Raises RuntimeError if the solver
        does not converge.
        """

    def point_wasserstein(self, x: Floats, y: Floats, /) -> float:
        """The exact distance (dB) between equally weighted points (n, 2) and (m, 2), n and m at least 1.

        Raises RuntimeError if the solver does not converge.
        """


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
