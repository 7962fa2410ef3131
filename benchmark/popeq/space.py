"""The bounded plane of equaliser settings; ``popeq.eq`` has the curve that each point means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: How far a bound may lie from a multiple of the step, in steps, because 0.1 is no binary number.
_ROUNDING = 1e-6
#: Step of a control where a data set names none, dB.
STEP_DB = 0.1
#: The pair of curves where a data set names none (``popeq.eq``).
CURVES = "orthogonal"


@dataclass(frozen=True)
class Space:
    """A box of settings (x, y) in dB, the step of the control, and the pair of curves that it moves.

    The defaults are the paper's plane, +-6 dB on both axes. ``step_db`` is the distance of the settings that
    the control offers, which are the multiples of it in the box; answers of listeners and samples of
    predictors may lie between them. ``curves`` is the name of a pair (``popeq.eq.curves``).
    """

    x_low_db: float = -6.0
    x_high_db: float = 6.0
    y_low_db: float = -6.0
    y_high_db: float = 6.0
    step_db: float = STEP_DB
    curves: str = CURVES

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

    def steps(self) -> tuple[range, range]:
        """The settings that the control offers on x and on y, as whole numbers of steps."""
        first = np.ceil(self.low / self.step_db - _ROUNDING).astype(int).tolist()
        last = np.floor(self.high / self.step_db + _ROUNDING).astype(int).tolist()
        x, y = (range(a, b + 1) for a, b in zip(first, last, strict=True))
        return x, y

    @property
    def decimals(self) -> int:
        """How many decimals a multiple of the step needs, at most 6: one for 0.1 and 0.5, none for 1."""
        return next(d for d in range(7) if d == 6 or abs(self.step_db * 10**d % 1 - 0.5) > 0.5 - _ROUNDING)

    def nearest(self, points: ArrayLike) -> NDArray[np.float64]:
        """The nearest settings that the control offers, dB, shape (..., 2) as given, without -0.0."""
        x, y = self.steps()
        wanted = np.rint(np.asarray(points, dtype=np.float64) / self.step_db)
        offered = np.clip(wanted, [x[0], y[0]], [x[-1], y[-1]])
        return self.clip(np.round(offered * self.step_db, self.decimals)) + 0.0

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
