"""The settings that the control of a space offers: as numbers of steps, in dB, and as texts."""

from __future__ import annotations

import re
from functools import cache, cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popeq.space import Space
from popeq.typing import Floats

Steps = NDArray[np.int64]


class Numbers:
    """Coordinates of settings are whole numbers of steps, written in dB with the decimals of the step.

    ``x`` and ``y`` are the steps that the control offers, and ``spreads`` those of a mixture's components:
    from one step to half of the longer side of the box.
    """

    def __init__(self, space: Space) -> None:
        self.x, self.y = space.steps()
        self.decimals = space.decimals
        self.spreads = range(1, 1 + max(1, max(len(self.x) - 1, len(self.y) - 1) // 2))
        self._step_db = space.step_db
        # Rounding a half-way point by this factor is a promise: examples have been shown so.
        self._per_db = 1.0 / space.step_db
        self._space = space

    @property
    def count(self) -> int:
        """How many settings there are."""
        return len(self.x) * len(self.y)

    @cached_property
    def pattern(self) -> str:
        """A regular expression for texts that ``read`` may take."""
        return r"-?[0-9]{1,12}" + (rf"\.[0-9]{{{self.decimals}}}" if self.decimals else "")

    def text(self, steps: int) -> str:
        """A number of steps in dB: ``-1.5`` for -15 steps of 0.1 dB; zero has no sign."""
        return f"{steps * self._step_db:.{self.decimals}f}"

    def read(self, text: str) -> int | None:
        """The number of steps of a text that is written like ``text`` writes it, or None; zero may have a
        sign."""
        if not re.fullmatch(self.pattern, text):
            return None
        steps = round(float(text) * self._per_db)
        own = self.text(steps)
        return steps if text == own or (steps == 0 and text == f"-{own}") else None

    def nearest(self, points: ArrayLike) -> Steps:
        """The settings nearest to points (..., 2) in dB, as numbers of steps (..., 2)."""
        steps = np.rint(np.asarray(points, dtype=np.float64) * self._per_db).astype(np.int64)
        return np.clip(steps, [self.x[0], self.y[0]], [self.x[-1], self.y[-1]])

    def nearest_spread(self, spread_db: float) -> int:
        """The spread nearest to one in dB, as a number of steps."""
        return int(np.clip(np.rint(spread_db * self._per_db), self.spreads[0], self.spreads[-1]))

    def offers(self, steps: Steps) -> bool:
        """Whether all of the numbers of steps (..., 2) are settings."""
        low, high = [self.x[0], self.y[0]], [self.x[-1], self.y[-1]]
        return bool(((steps >= low) & (steps <= high)).all())

    def db(self, steps: Steps) -> Floats:
        """Settings (..., 2) in dB from numbers of steps (..., 2); without -0.0 and in the box."""
        return self._space.clip(np.round(steps * self._step_db, self.decimals)) + 0.0


@cache
def numbers_of(space: Space) -> Numbers:
    """The numbers of a space."""
    return Numbers(space)
