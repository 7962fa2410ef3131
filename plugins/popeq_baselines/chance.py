"""Predictors that do not read the sentence: uniform chance and the training prior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from popeq.contract import LabelledPrompt, Parameters, Prompt
from popeq.space import Space


class Random:
    """Uniform on the box: the paper's random baseline."""

    def __init__(self, parameters: Parameters, space: Space) -> None:
        self.space = space

    def fit(
        self,
        train: Sequence[LabelledPrompt],
        validation: Sequence[LabelledPrompt],
        rng: np.random.Generator,
    ) -> None:
        """Nothing to learn."""

    def sample(
        self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> NDArray[np.float64]:
        """Uniform draws."""
        return np.stack([rng.uniform(self.space.low, self.space.high, size=(n, 2)) for rng in rngs])


class Prior:
    """What listeners choose when nobody says anything: all training responses in one pool."""

    def __init__(self, parameters: Parameters, space: Space) -> None:
        self.pool = np.empty((0, 2))

    def fit(
        self,
        train: Sequence[LabelledPrompt],
        validation: Sequence[LabelledPrompt],
        rng: np.random.Generator,
    ) -> None:
        """Pool the responses; every response counts the same."""
        self.pool = np.concatenate([p.responses for p in train])

    def sample(
        self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> NDArray[np.float64]:
        """Independent draws from the pool."""
        return np.stack([self.pool[rng.integers(len(self.pool), size=n)] for rng in rngs])
