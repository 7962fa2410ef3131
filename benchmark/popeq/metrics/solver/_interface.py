"""What every solver offers and returns."""

from __future__ import annotations

from typing import NamedTuple, Protocol

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
    """Computes Wasserstein-1 distances for the Euclidean distance as cost."""

    def grid_transport(self, a: Floats, b: Floats, grid: Grid, tolerance: float, /) -> Transport:
        """The transport between two mass vectors (cells^2,) on a grid.

        They are non-negative and each sums to 1. ``tolerance`` is the error that is allowed, as a share of
        the cost. Raises RuntimeError if the solver does not converge.
        """

    def point_wasserstein(self, x: Floats, y: Floats, /) -> float:
        """The exact distance (dB) between equally weighted points (n, 2) and (m, 2), n and m at least 1.

        Raises RuntimeError if the solver does not converge.
        """
