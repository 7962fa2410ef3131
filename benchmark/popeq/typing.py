"""Types of arrays that many modules use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: 64-bit floating-point numbers; the docstring of each function gives shape and unit.
Floats = NDArray[np.float64]
#: 64-bit integers.
Ints = NDArray[np.int64]

__all__ = ["Floats", "Ints"]
