"""Whether compiled code is used: that of the extra ``popeq[fast]``, or only NumPy, SciPy and POT."""

from __future__ import annotations

import os
from importlib.util import find_spec


def uses_numba() -> bool:
    """True if numba is installed and the environment variable POPEQ_SOLVER is not ``pot``."""
    return os.environ.get("POPEQ_SOLVER") != "pot" and find_spec("numba") is not None
