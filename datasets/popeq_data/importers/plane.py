"""Move equaliser curves to the plane: project, scale, clip, and measure what that cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popeq.eq import GRID_HZ, project, residual_db
from popeq.space import PLANE
from popeq.typing import Floats


@dataclass(frozen=True, eq=False)
class Placement:
    """Curves on the plane: ``points`` (n, 2) in dB unclipped, ``sums`` (n, 2) of squares."""

    points: Floats
    sums: Floats

    @property
    def clipped(self) -> Floats:
        """The points moved to the nearest point of the box, to 0.001 dB and without -0.0, (n, 2)."""
        return np.round(PLANE.clip(self.points), 3) + 0.0

    @property
    def share_clipped(self) -> float:
        """Share of the points that lie outside the box."""
        return float(1.0 - PLANE.contains(self.points).mean())

    @property
    def variance_explained(self) -> float:
        """Share of the curves' variance over log-frequency that the two coordinates explain."""
        residual, total = self.sums.sum(axis=0)
        return float(1.0 - residual / total) if total > 0 else 1.0


def place(curves_db: Floats, scale: float) -> Placement:
    """Scale curves at ``GRID_HZ``, (n, 256), and project them by least squares on the plane."""
    curves = scale * curves_db
    points = project(curves, GRID_HZ)
    left = (residual_db(curves, points, GRID_HZ) ** 2).sum(axis=1)
    total = ((curves - curves.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    return Placement(points, np.stack([left, total], axis=1))
