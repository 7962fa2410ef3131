"""Predictors that give one point for every sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from popeq.contract import LabelledPrompt, Parameters, Prompt
from popeq.space import Space


def repeat(point: NDArray[np.float64], prompts: int, n: int) -> NDArray[np.float64]:
    """One point as samples (prompts, n, 2)."""
    return np.tile(point, (prompts, n, 1))


class Flat:
    """No equalisation at all."""

    def __init__(self, parameters: Parameters, space: Space) -> None:
        self.point = space.clip(np.zeros(2))

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
        """The same point for all."""
        return repeat(self.point, len(prompts), n)


class Best(Flat):
    """The constant that minimises the mean training score.

    All the mass of a distribution has to move to a constant, so the Wasserstein-1 distance is the mean
    distance to the listeners' points and the best constant is their geometric median, each prompt weighing
    the same; found by Weiszfeld's algorithm with the step of Vardi & Zhang (2000) at data points.
    """

    def fit(
        self,
        train: Sequence[LabelledPrompt],
        validation: Sequence[LabelledPrompt],
        rng: np.random.Generator,
    ) -> None:
        """Find the geometric median."""
        points = np.concatenate([p.responses for p in train])
        weights = np.concatenate([np.full(len(p.responses), 1.0 / len(p.responses)) for p in train])
        self.point = geometric_median(points, weights)


def geometric_median(
    points: NDArray[np.float64], weights: NDArray[np.float64], tolerance: float = 1e-10
) -> NDArray[np.float64]:
    """The point (2,) with the least weighted sum of distances to ``points`` (n, 2)."""
    unique, inverse = np.unique(points, axis=0, return_inverse=True)
    mass = np.bincount(inverse.ravel(), weights=weights)
    here = np.average(unique, axis=0, weights=mass)
    for _ in range(10_000):
        offset = unique - here
        distance = np.linalg.norm(offset, axis=1)
        apart = distance > 1e-12
        pull = mass[apart] / distance[apart]
        target = (pull[:, None] * unique[apart]).sum(axis=0) / pull.sum() if apart.any() else here
        resistance = mass[~apart].sum()  # of a data point under us, which holds us back
        force = np.linalg.norm((pull[:, None] * offset[apart]).sum(axis=0))
        step = max(0.0, 1.0 - resistance / force) if force > 0 else 0.0
        moved = step * (target - here)
        here = here + moved
        if np.linalg.norm(moved) < tolerance:
            break
    nearest = unique[np.argmin(np.linalg.norm(unique - here, axis=1))]  # Weiszfeld only creeps up to it

    def cost(point: NDArray[np.float64]) -> float:
        return float(mass @ np.linalg.norm(unique - point, axis=1))

    return np.asarray(min(here, nearest, key=cost))
