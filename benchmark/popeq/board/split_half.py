"""Split-half estimates: the distance of disjoint halves of a prompt's listeners, and of other group sizes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from popeq.board.scoring import Scorer
from popeq.metrics import Target, grid_of, grid_transport, grid_wasserstein
from popeq.metrics.kde import Grid, bandwidth, densities, kernel_masses
from popeq.metrics.scores import listener_effects
from popeq.parallel import parallel_map
from popeq.seeding import generator
from popeq.typing import Floats

#: The distances that have lines, in the order of ``Densities``.
DISTANCES = ("kantorovich", "reflective_kantorovich")
_SPLITS = 12
#: Pseudo-panels over all prompts (their ratio is then within 1 %), and the least and most of one prompt.
PANELS, LEAST_PANELS, MOST_PANELS = 1440, 6, 64
#: Cells along an axis, least and most: coarser than the protocol's grid where listeners are spread wider than
#: a cell, which moves the lines by 0.3 % and is five times as fast; the most for a spread below half a dB.
_CELLS = 16, 24
#: The same where only a ratio is wanted.
_RATIO_CELLS = 10, 16
#: Share of Scott's bandwidth that smooths a pseudo-population: of 0.5, 0.75 and 1, the one whose ratios were
#: nearest to those of known populations (normal, bimodal, heavy-tailed, uniform, at the edge).
_SMOOTHING = 0.75


@dataclass(frozen=True, eq=False)
class SplitHalf:
    """Mean distance of two disjoint halves by prompt, ``distance`` (P,), dB, and each listener's influence on
    it, ``influence[p]`` (m_p,), dB."""

    distance: Floats
    influence: tuple[Floats, ...]


def pseudo_panels() -> str:
    """How many pseudo-panels the lines are estimated from, in words: with other numbers the lines differ."""
    return f"{PANELS} pseudo-panels, {LEAST_PANELS} to {MOST_PANELS} of a prompt"


@lru_cache(maxsize=4)
def split_half(scorer: Scorer, jobs: int = 1) -> dict[str, SplitHalf]:
    """The mean distance of halves over random splits of each prompt's listeners, by distance.

    Its expectation is that of two independent groups of half the size: nothing is estimated but a mean.
    """
    measured = parallel_map(_measure, list(zip(scorer.prompt_ids, scorer.targets, strict=True)), jobs)
    return {
        name: SplitHalf(
            np.array([distance[i] for distance, _ in measured]),
            tuple(influence[i] for _, influence in measured),
        )
        for i, name in enumerate(DISTANCES)
    }


def _measure(prompt_id: str, target: Target) -> tuple[Floats, Floats]:
    """Distances (2,) and influence (2, m) by DISTANCES."""
    rng = generator("halves", prompt_id)
    grid, floor = _grid(target, *_CELLS), target.settings.floor_db(target.space)
    m = len(target.responses)
    distance, influence = np.zeros(2), np.zeros((2, m))
    for _ in range(_SPLITS):
        order = rng.permutation(m)
        sides = order[: m // 2], order[m // 2 :]
        kernels = [kernel_masses(target.responses[side], grid, floor) for side in sides]
        for i in range(2):
            one, other = kernels[0][i], kernels[1][i]
            moved = grid_transport(one.sum(axis=0) / one.sum(), other.sum(axis=0) / other.sum(), grid)
            distance[i] += moved.cost
            # A weight of 1/m among all is one of 1/k in a half, so it moves the half m/k times as much.
            influence[i, sides[0]] -= listener_effects(one) @ moved.potential * m / len(one)
            influence[i, sides[1]] += listener_effects(other) @ moved.potential * m / len(other)
    return distance / _SPLITS, influence / _SPLITS


def _grid(target: Target, least: int, most: int) -> Grid:
    """A grid with cells no wider than the listeners are spread, within limits."""
    low, high = target.space.low, target.space.high
    spread = np.maximum(np.std(target.responses, axis=0, ddof=1), (high - low) / most)
    return grid_of(target.space, int(np.clip(np.ceil(np.max((high - low) / spread)), least, most)))


def ratios_to(scorer: Scorer, drawn: int, panel: int | None, jobs: int = 1) -> dict[str, Floats]:
    """Mean distances (P, 2) in each prompt's pseudo-population, dB: ``drawn`` points from ``panel`` listeners
    (as many as the prompt has, if None), and two halves of the prompt's size from each other."""
    wanted, half = (_pseudo_distances(scorer, *sizes, jobs) for sizes in ((drawn, panel), (None, None)))
    return {name: np.stack([wanted[:, i], half[:, i]], axis=1) for i, name in enumerate(DISTANCES)}


@lru_cache(maxsize=32)
def _pseudo_distances(scorer: Scorer, drawn: int | None, panel: int | None, jobs: int) -> Floats:
    """Mean distances (P, 2), by DISTANCES, of ``drawn`` points from a panel; of two halves if None."""
    repeats = min(MOST_PANELS, max(LEAST_PANELS, -(-PANELS // len(scorer.targets))))
    tasks = [
        (p, target, drawn, panel, repeats)
        for p, target in zip(scorer.prompt_ids, scorer.targets, strict=True)
    ]
    return np.array(parallel_map(_pseudo_distance, tasks, jobs))


def _pseudo_distance(
    prompt_id: str, target: Target, drawn: int | None, panel: int | None, repeats: int
) -> Floats:
    """The same of one prompt, (2,)."""
    rng = generator("pseudo-panels", prompt_id, drawn or 0, panel or 0)
    population = PseudoPopulation(target)
    grid, floor = _grid(target, *_RATIO_CELLS), target.settings.floor_db(target.space)
    m = len(target.responses)
    sizes = (m // 2, m - m // 2) if drawn is None else (drawn, panel or m)
    total = np.zeros(2)
    for _ in range(repeats):
        one, other = (population.draw(size, rng) for size in sizes)
        total += _distances(one, other, grid, floor)
    return total / repeats


def _distances(one: Floats, other: Floats, grid: Grid, floor: Floats) -> list[float]:
    a, b = densities(one, grid, floor), densities(other, grid, floor)
    return [grid_wasserstein(a[i], b[i], grid) for i in range(2)]


class PseudoPopulation:
    """A population that could have answered as a prompt's listeners did: the smoothed bootstrap, shrunk to
    their unbiased covariance (Silverman & Young 1987) and clipped to the box as settings are."""

    def __init__(self, target: Target) -> None:
        points = target.responses
        m = len(points)
        self._space = target.space
        self._mean = points.mean(axis=0)
        scott = bandwidth(points, 0.0)
        self._kernel = _SMOOTHING * _root(scott)
        shrink = 1.0 / np.sqrt((m - 1.0) / m + _SMOOTHING**2 * m ** (-1.0 / 3.0))
        self._centred, self._shrink = points - self._mean, shrink

    def draw(self, n: int, rng: np.random.Generator) -> Floats:
        """``n`` points, (n, 2), dB."""
        chosen = self._centred[rng.integers(len(self._centred), size=n)]
        points = self._mean + self._shrink * (chosen + rng.standard_normal((n, 2)) @ self._kernel)
        return np.asarray(np.clip(points, self._space.low, self._space.high))


def _root(covariance: Floats) -> Floats:
    """Symmetric square root of a covariance that may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
