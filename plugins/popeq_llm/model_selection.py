"""How the readers choose what is not given: by the board's own score, on held-out answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from popeq.contract import LabelledPrompt
from popeq.metrics import DensitySettings, densities, grid_of, grid_transport
from popeq.space import Space
from popeq.typing import Floats

#: Draws for each prompt, and cells of a side of the grid. The scores of 300 prompts correlate by more than
#: 0.99 with those of the protocol's 24 cells.
_DRAWS, _CELLS = 220, 12


class ValidationSet:
    """Prompts by whose answers hyperparameters are chosen."""

    def __init__(self, prompts: Sequence[LabelledPrompt], space: Space) -> None:
        settings = DensitySettings(_CELLS)
        self._grid, self._floor = grid_of(space, _CELLS), settings.floor_db(space)
        self._densities = [densities(p.responses, self._grid, self._floor).reflective for p in prompts]

    def scores(self, drawn: Sequence[Floats]) -> Floats:
        """The headline score of each prompt's draws (n, 2), dB; shape (prompts,)."""
        own = [densities(points, self._grid, self._floor).reflective for points in drawn]
        return np.array(
            [grid_transport(a, b, self._grid).cost for a, b in zip(own, self._densities, strict=True)]
        )


def systematic_draws(shares: Floats) -> NDArray[np.int64]:
    """Indices that come as often as their ``shares`` (n,) say, whose sum is 1; nothing is random."""
    return np.searchsorted(shares.cumsum(), (np.arange(_DRAWS) + 0.5) / _DRAWS)
