"""What numba compiles, of the extra ``popeq[fast]``, loaded at its first use."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple


class Compiled(NamedTuple):
    """``solve`` of ``popeq.metrics.multilevel`` and of ``point_simplex``, ``summed`` of ``kernel_sums`` and
    of ``pair_distances``."""

    grid: Any
    points: Any
    kernels: Any
    pairs: Any


@lru_cache(maxsize=1)
def compiled() -> Compiled | None:
    """What is compiled, or None without numba or if the environment variable POPEQ_SOLVER is ``pot``."""
    if os.environ.get("POPEQ_SOLVER") == "pot" or find_spec("numba") is None:
        return None
    names = {
        "multilevel": "solve",
        "point_simplex": "solve",
        "kernel_sums": "summed",
        "pair_distances": "summed",
    }
    return Compiled(*(getattr(import_module(f"popeq.metrics.{m}"), name) for m, name in names.items()))
