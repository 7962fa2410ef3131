"""Optimal transport in the plane: Wasserstein-1 distances between masses on a grid and between point sets.

``load_solver`` is the only door. The method is explained in docs/solver.md.
"""

from __future__ import annotations

from typing import Literal

from popeq.metrics._backend import uses_numba
from popeq.metrics.solver._interface import Solver, Transport

__all__ = ["Solver", "Transport", "load_solver"]


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
