"""Move equaliser curves to the plane: project, scale, clip, and measure what that cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from popeq.space import HIGH_HZ, LOW_HZ, PLANE, curve_to_setting
from popeq.typing import Floats

#: Frequencies that curves are projected at: evenly spaced in log-frequency, as the fit wants them.
GRID_HZ: Floats = np.geomspace(LOW_HZ, HIGH_HZ, 256)


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
    """Project curves at ``GRID_HZ``, (n, 256), by least squares on level, tilt and smile, then scale."""
    points, sums = curve_to_setting(curves_db, GRID_HZ)
    return Placement(points * scale, sums)
