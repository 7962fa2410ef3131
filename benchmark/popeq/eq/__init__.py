"""The curves that settings mean, and the settings that curves come nearest to.

``curves(space)`` is the pair of curves of a space, ``gain_db`` the curve of a setting, ``project`` the
setting of a curve, ``residual_db`` what a setting leaves of a curve. Gains are in dB, frequencies in Hz.
Second-order sections are in ``popeq.eq.biquad``.
"""

from popeq.eq.frequencies import GRID_HZ, HIGH_HZ, LOW_HZ, log_frequency
from popeq.eq.known import curves, curves_named, gain_db
from popeq.eq.pairs import Axis, CurvePair, CurvesSpec, Section
from popeq.eq.projection import project, residual_db

__all__ = [
    "GRID_HZ",
    "HIGH_HZ",
    "LOW_HZ",
    "Axis",
    "CurvePair",
    "CurvesSpec",
    "Section",
    "curves",
    "curves_named",
    "gain_db",
    "log_frequency",
    "project",
    "residual_db",
]
