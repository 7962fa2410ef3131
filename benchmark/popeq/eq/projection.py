"""The setting whose curve comes nearest to a given curve, by least squares with a free level."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from popeq.eq.known import curves, gain_db
from popeq.space import PLANE, Space
from popeq.typing import Floats

_DIFFERENCE_DB = 1e-3
_ITERATIONS = 100
_TOLERANCE_DB = 1e-10


def project(gains_db: ArrayLike, frequency_hz: ArrayLike, space: Space = PLANE) -> Floats:
    """Settings (..., 2) in dB whose curves are nearest to curves (..., n); not clipped to the box.

    The sum of squares over the given frequencies is least, the level of each curve being free. The
    frequencies (n,) in Hz weigh equally, so give them evenly spaced in log-frequency (``GRID_HZ``). For a
    pair that is linear in the setting this is one linear fit, else Gauss-Newton from that fit, each step
    halved until the sum of squares falls.

    Raises ValueError for fewer than three frequencies, or two that are equal.
    """
    f = np.asarray(frequency_hz, dtype=np.float64)
    if f.ndim != 1 or len(np.unique(f)) < max(3, len(f)):
        raise ValueError("a projection needs at least three frequencies, all different")
    g = np.asarray(gains_db, dtype=np.float64)
    flat = _level(g.reshape(-1, len(f)))
    points: Floats = np.asarray(np.linalg.lstsq(_level(_slopes(np.zeros(2), f, space)).T, flat.T)[0].T, float)
    if not curves(space).linear:
        points = _refined(points, flat, f, space)
    return np.asarray(points.reshape(*g.shape[:-1], 2))


def residual_db(
    gains_db: ArrayLike, points: ArrayLike, frequency_hz: ArrayLike, space: Space = PLANE
) -> Floats:
    """What settings (..., 2) leave of curves (..., n): the difference in dB without its mean, (..., n)."""
    return _level(np.asarray(gains_db, dtype=np.float64) - gain_db(points, frequency_hz, space))


def _level(gains_db: Floats) -> Floats:
    """Curves (..., n) without their level."""
    return np.asarray(gains_db - gains_db.mean(axis=-1, keepdims=True))


def _slopes(points: Floats, frequency_hz: Floats, space: Space) -> Floats:
    """Derivatives of the curves of settings (..., 2) by x and y, (..., 2, n)."""
    steps = _DIFFERENCE_DB * np.eye(2)
    above = gain_db(points[..., None, :] + steps, frequency_hz, space)
    below = gain_db(points[..., None, :] - steps, frequency_hz, space)
    return np.asarray((above - below) / (2.0 * _DIFFERENCE_DB))


def _refined(points: Floats, wanted: Floats, frequency_hz: Floats, space: Space) -> Floats:
    """Gauss-Newton from ``points`` (n, 2) to curves (n, f) without their level."""
    left = residual_db(wanted, points, frequency_hz, space)
    for _ in range(_ITERATIONS):
        slopes = _level(_slopes(points, frequency_hz, space))
        step = np.einsum("nf,nfk->nk", left, np.linalg.pinv(slopes))
        share = np.ones(len(points))
        before = (left**2).sum(axis=-1)
        for _ in range(20):
            moved = points + share[:, None] * step
            after = residual_db(wanted, moved, frequency_hz, space)
            worse = (after**2).sum(axis=-1) > before
            if not worse.any():
                break
            share = np.where(worse, share / 2.0, share)
        better = (after**2).sum(axis=-1) <= before
        points = np.where(better[:, None], moved, points)
        left = np.where(better[:, None], after, left)
        if not better.any() or float(np.abs(share[:, None] * step)[better].max()) < _TOLERANCE_DB:
            break
    return points
