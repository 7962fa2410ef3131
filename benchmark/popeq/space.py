"""The bounded plane of equaliser settings and the curve that each point means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOW_HZ, HIGH_HZ = 20.0, 20_000.0


@dataclass(frozen=True)
class Space:
    """A box of settings: x is the smile (curved gain), y the tilt, both in dB.

    The defaults are the paper's plane, +-6 dB on both axes.
    """

    x_low_db: float = -6.0
    x_high_db: float = 6.0
    y_low_db: float = -6.0
    y_high_db: float = 6.0

    @property
    def low(self) -> NDArray[np.float64]:
        """Lower corner (x, y), dB, shape (2,)."""
        return np.array([self.x_low_db, self.y_low_db])

    @property
    def high(self) -> NDArray[np.float64]:
        """Upper corner (x, y), dB, shape (2,)."""
        return np.array([self.x_high_db, self.y_high_db])

    @property
    def size(self) -> NDArray[np.float64]:
        """Width and height of the box, dB, shape (2,)."""
        return self.high - self.low

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Whether each point of (..., 2) is finite and in the closed box, shape (...)."""
        p = np.asarray(points, dtype=np.float64)
        return np.asarray(((p >= self.low) & (p <= self.high)).all(axis=-1))

    def clip(self, points: ArrayLike) -> NDArray[np.float64]:
        """The nearest points of the box, shape as given."""
        return np.clip(np.asarray(points, dtype=np.float64), self.low, self.high)

    def fold(self, points: ArrayLike) -> NDArray[np.float64]:
        """Points (..., 2) in dB reflected at the edges until they are in the box, as the headline score folds
        its kernels."""
        u = np.mod((np.asarray(points, dtype=np.float64) - self.low) / self.size, 2.0)
        return self.clip(self.low + self.size * np.where(u > 1.0, 2.0 - u, u))


#: The paper's plane.
PLANE = Space()


def log_frequency(frequency_hz: ArrayLike) -> NDArray[np.float64]:
    """Position u on the log-frequency axis: 20 Hz -> -1, 20 kHz -> +1."""
    f = np.asarray(frequency_hz, dtype=np.float64)
    return np.asarray(2.0 * np.log(f / LOW_HZ) / np.log(HIGH_HZ / LOW_HZ) - 1.0)


def curve_basis(frequency_hz: ArrayLike) -> NDArray[np.float64]:
    """Legendre polynomials P0 (level), P2 (smile), P1 (tilt) of log-frequency, shape (len(f), 3)."""
    u = log_frequency(frequency_hz)
    return np.stack([np.ones_like(u), (3.0 * u**2 - 1.0) / 2.0, u], axis=-1)


def setting_to_curve(point: ArrayLike, frequency_hz: ArrayLike) -> NDArray[np.float64]:
    """Gain in dB of settings (..., 2) at each frequency: x P2(u) + y P1(u), shape (..., len(f))."""
    gain: NDArray[np.float64] = np.asarray(point, dtype=np.float64) @ curve_basis(frequency_hz)[:, 1:].T
    return gain


def curve_to_setting(
    gain_db: ArrayLike, frequency_hz: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project EQ curves on the plane by least squares with a free level.

    Parameters
    ----------
    gain_db : (..., n)
        Gains in dB at ``frequency_hz`` (n,). The fit weighs the given frequencies equally, so give them
        evenly spaced in log-frequency.

    Returns
    -------
    points : (..., 2)
        Settings (x_db, y_db), not clipped.
    explained : (..., 2)
        Residual and total sum of squares of each curve about its mean, dB^2; one minus the ratio of their
        sums over many curves is the share of variance that the plane explains.
    """
    g = np.asarray(gain_db, dtype=np.float64)
    basis = curve_basis(frequency_hz)
    coefficients = g @ np.linalg.pinv(basis).T
    residual = ((g - coefficients @ basis.T) ** 2).sum(axis=-1)
    total = ((g - g.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    return coefficients[..., 1:], np.stack([residual, total], axis=-1)
