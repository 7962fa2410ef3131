"""Predictors that do not learn from sentences: chance, the training prior, one point, a preset by keyword.

The table of presets (presets.csv) is ours, in the style of what products ship: gains in dB in ten octave
bands, projected on the plane.
"""

from __future__ import annotations

import csv
import importlib.resources
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from popeq.contract import LabelledPrompt, Parameters, Prompt
from popeq.eq import GRID_HZ, project
from popeq.space import Space
from popeq.typing import Floats
from popeq_baselines import PresetParameters


class _Unfitted:
    """A predictor that learns nothing from the training prompts."""

    def __init__(self, parameters: Parameters, space: Space) -> None:
        self.space = space

    def fit(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], rng: np.random.Generator
    ) -> None:
        """Nothing to learn."""


class Random(_Unfitted):
    """Uniform on the box: the paper's random baseline."""

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """Uniform draws."""
        return np.stack([rng.uniform(self.space.low, self.space.high, size=(n, 2)) for rng in rngs])


class Prior:
    """What listeners choose when nobody says anything: all training responses in one pool."""

    def __init__(self, parameters: Parameters, space: Space) -> None:
        self.pool = np.empty((0, 2))

    def fit(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], rng: np.random.Generator
    ) -> None:
        """Pool the responses; every response counts the same."""
        self.pool = np.concatenate([p.responses for p in train])

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """Independent draws from the pool."""
        return np.stack([self.pool[rng.integers(len(self.pool), size=n)] for rng in rngs])


class Flat(_Unfitted):
    """No equalisation at all."""

    def __init__(self, parameters: Parameters, space: Space) -> None:
        self.point = space.clip(np.zeros(2))

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """The same point for all."""
        return np.tile(self.point, (len(prompts), n, 1))


class Best(Flat):
    """The constant that minimises the mean training score.

    All the mass of a distribution has to move to a constant, so the Wasserstein-1 distance is the mean
    distance to the listeners' points and the best constant is their geometric median, each prompt weighing
    the same; found by Weiszfeld's algorithm with the step of Vardi & Zhang (2000) at data points.
    """

    def fit(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], rng: np.random.Generator
    ) -> None:
        """Find the geometric median."""
        points = np.concatenate([p.responses for p in train])
        weights = np.concatenate([np.full(len(p.responses), 1.0 / len(p.responses)) for p in train])
        self.point = geometric_median(points, weights)


def geometric_median(points: Floats, weights: Floats, tolerance: float = 1e-10) -> Floats:
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

    def cost(point: Floats) -> float:
        return float(mass @ np.linalg.norm(unique - point, axis=1))

    return np.asarray(min(here, nearest, key=cost))


@lru_cache(maxsize=1)
def presets() -> dict[str, tuple[frozenset[str], Floats]]:
    """Keywords and curve (256,), in dB at ``GRID_HZ``, of each preset, in the order of the table."""
    text = importlib.resources.files("popeq_baselines").joinpath("presets.csv").read_text(encoding="utf-8")
    header, *rows = csv.reader(text.splitlines())
    bands = np.array([float(name) for name in header[2:]])
    table = {}
    for name, keywords, *gains in rows:
        curve = np.interp(np.log(GRID_HZ), np.log(bands), np.array([float(g) for g in gains]))
        table[name] = (frozenset(keywords.split()), curve)
    return table


class Preset(_Unfitted):
    """The preset with the most keywords in the sentence, the first of the table if several have as many."""

    def __init__(self, parameters: PresetParameters, space: Space) -> None:
        super().__init__(parameters, space)
        self.fallback: str = parameters.fallback

    def choose(self, text: str) -> str:
        """Name of the preset for a sentence."""
        words = set(re.findall(r"[^\W\d_]+", text.lower()))
        matches = {name: len(words & keywords) for name, (keywords, _) in presets().items()}
        best = max(matches, key=matches.__getitem__)
        return best if matches[best] else self.fallback

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """The chosen preset's point, n times."""
        curves = np.array([presets()[self.choose(p.text)][1] for p in prompts])
        points = self.space.clip(project(curves, GRID_HZ, self.space))
        return np.tile(points[:, None], (1, n, 1))
