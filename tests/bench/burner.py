"""A predictor that does nothing but compute, for the measurement of ``--jobs``."""

from __future__ import annotations

import numpy as np
from pydantic import Field

import popeq


class BurnerParameters(popeq.Parameters):
    rounds: int = Field(400, ge=1, description="how much to compute for each prompt")


class Burner:
    """Sums random matrices, one after the other, then draws noise."""

    def __init__(self, parameters, space):
        self.parameters, self.space = parameters, space

    def fit(self, train, validation, rng):
        """Learn nothing."""

    def sample(self, prompts, n, rngs):
        """Draw (len(prompts), n, 2) settings in dB, slowly."""
        drawn = []
        for rng in rngs:
            total = np.zeros((128, 128))
            for _ in range(self.parameters.rounds):
                total = np.tanh(total + rng.normal(size=total.shape))
            drawn.append(self.space.clip(rng.normal(total.mean(), 1.0, (n, 2))))
        return np.stack(drawn)


SPEC = popeq.PredictorSpec(
    "burner", "computes", "tests.bench.burner:Burner", parameters=BurnerParameters, kind="other"
)
