"""The range of frequencies in which a setting says something, and its logarithmic axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from popeq.typing import Floats

LOW_HZ, HIGH_HZ = 20.0, 20_000.0
#: Frequencies (256,) that curves are projected at, Hz: evenly spaced in log-frequency.
GRID_HZ: Floats = np.geomspace(LOW_HZ, HIGH_HZ, 256)


def log_frequency(frequency_hz: ArrayLike) -> Floats:
    """Position u on the log-frequency axis: 20 Hz -> -1, 20 kHz -> +1."""
    f = np.asarray(frequency_hz, dtype=np.float64)
    return np.asarray(2.0 * np.log(f / LOW_HZ) / np.log(HIGH_HZ / LOW_HZ) - 1.0)
