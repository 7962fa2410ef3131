"""Move equaliser curves to the plane of a data set: project, scale, and measure what that cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np

from popeq.eq import GRID_HZ, log_frequency, project, residual_db
from popeq.space import PLANE, Space
from popeq.typing import Floats

#: Pairs of curves that are tried where a pair keeps little.
PAIRS = (
    "orthogonal",
    "beosonic",
    *(f"shelves:{low}:{high}" for low, high in product((100, 200, 300, 500), (2000, 3000, 5000, 8000))),
)
_TRIED = 200


@dataclass(frozen=True, eq=False)
class Placement:
    """Curves on a plane: ``curves_db`` (n, 256) at ``GRID_HZ``, and their settings ``points`` (n, 2) in dB,
    not clipped."""

    curves_db: Floats
    points: Floats
    space: Space = PLANE

    @property
    def rounded(self) -> Floats:
        """The points to 0.001 dB and without -0.0, (n, 2)."""
        return np.round(self.points, 3) + 0.0

    @property
    def clipped(self) -> Floats:
        """The rounded points moved to the nearest point of the box, (n, 2)."""
        return self.space.clip(self.rounded) + 0.0

    @property
    def share_clipped(self) -> float:
        """Share of the points that lie outside the box."""
        return float(1.0 - self.space.contains(self.rounded).mean())

    @cached_property
    def _squares(self) -> tuple[Floats, Floats]:
        """Sums of squares (256,) of what the points leave of the curves and of the curves, without level."""
        left = residual_db(self.curves_db, self.points, GRID_HZ, self.space)
        level = self.curves_db.mean(axis=1, keepdims=True)
        return (left**2).sum(axis=0), ((self.curves_db - level) ** 2).sum(axis=0)

    @property
    def variance_explained(self) -> float:
        """Share of the curves' variance over log-frequency that the points explain, the level left out."""
        return _share(*(squares.sum() for squares in self._squares))

    def by_band(self, band_hz: Sequence[float]) -> list[tuple[float, float, float]]:
        """The same share over the frequencies that are nearest to each band, in log-frequency, and the root
        mean squares of what is left and of the curves there, dB. A share is negative where more is left than
        there was."""
        away = np.abs(log_frequency(GRID_HZ)[:, None] - log_frequency(band_hz))
        found = []
        for i in range(len(band_hz)):
            near = away.argmin(axis=1) == i
            near[away[:, i].argmin()] = True  # a band that is close to another may be nearest to none
            left, total = (squares[near].mean() / len(self.points) for squares in self._squares)
            found.append((_share(left, total), float(np.sqrt(left)), float(np.sqrt(total))))
        return found


def _share(left: float, total: float) -> float:
    return float(1.0 - left / total) if total > 0 else 1.0


def place(curves_db: Floats, scale: float, space: Space = PLANE) -> Placement:
    """Scale curves at ``GRID_HZ``, (n, 256), and project them by least squares on the plane."""
    curves = scale * curves_db
    return Placement(curves, project(curves, GRID_HZ, space), space)


def better_pair(placed: Placement) -> Placement | None:
    """The curves placed by that of ``PAIRS`` which explains most of them; None if none explains more.

    The pairs are compared on at most 200 of the curves, the best with the present one on all.
    """
    spaces = [replace(placed.space, curves=name) for name in PAIRS]
    few = placed.curves_db[:: -(-len(placed.curves_db) // _TRIED)]
    best = max(spaces, key=lambda space: place(few, 1.0, space).variance_explained)
    better = place(placed.curves_db, 1.0, best)
    return better if better.variance_explained > placed.variance_explained else None
