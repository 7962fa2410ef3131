"""Split-half estimates: the distance of disjoint halves of a prompt's listeners, and of other group sizes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from popeq.board.scoring import ReferenceLine, Scorer
from popeq.metrics import Target, grid_of, grid_transport, grid_wasserstein
from popeq.metrics.kde import Grid, bandwidth, densities, kernel_masses
from popeq.metrics.scores import listener_effects
from popeq.parallel import parallel_map
from popeq.seeding import generator
from popeq.typing import Floats

#: The distances that have lines, in the order of ``Densities``.
DISTANCES = ("kantorovich", "reflective_kantorovich")
HALVES = "half against half"
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


def pseudo_panels() -> str:
    """How many pseudo-panels the lines are estimated from, in words: with other numbers the lines differ."""
    return f"{PANELS} pseudo-panels, {LEAST_PANELS} to {MOST_PANELS} of a prompt"


@lru_cache(maxsize=4)
def split_half(scorer: Scorer, jobs: int = 1) -> ReferenceLine:
    """The mean distance of halves over random splits of each prompt's listeners, by distance.

    Its expectation is that of two independent groups of half the size: nothing is estimated but a mean.
    """
    measured = parallel_map(
        _measure,
        list(zip(scorer.prompt_ids, scorer.targets, strict=True)),
        jobs,
        what="halving panels, prompts",
    )
    return ReferenceLine(
        HALVES,
        "measured on disjoint halves of the listeners",
        {name: np.array([distance[i] for distance, _ in measured]) for i, name in enumerate(DISTANCES)},
        {name: [influence[i] for _, influence in measured] for i, name in enumerate(DISTANCES)},
    )


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


@lru_cache(maxsize=32)
def pseudo_distances(scorer: Scorer, drawn: int | None, panel: int | None, jobs: int) -> Floats:
    """Mean distances (P, 2), by DISTANCES, in each prompt's pseudo-population, dB: of ``drawn`` points from
    ``panel`` listeners (as many as the prompt has, if None); of two halves of the prompt's size from each
    other, if ``drawn`` is None."""
    repeats = min(MOST_PANELS, max(LEAST_PANELS, -(-PANELS // len(scorer.targets))))
    prompts = zip(scorer.prompt_ids, scorer.targets, strict=True)
    tasks = [(prompt_id, target, drawn, panel, repeats) for prompt_id, target in prompts]
    return np.array(parallel_map(_pseudo_distance, tasks, jobs, what="reference lines, prompts"))


def _pseudo_distance(
    prompt_id: str, target: Target, drawn: int | None, panel: int | None, repeats: int
) -> Floats:
    """The same of one prompt, (2,)."""
    rng = generator("pseudo-panels", prompt_id, drawn or 0, panel or 0)
    draw = _pseudo_population(target)
    grid, floor = _grid(target, *_RATIO_CELLS), target.settings.floor_db(target.space)
    m = len(target.responses)
    sizes = (m // 2, m - m // 2) if drawn is None else (drawn, panel or m)
    total = np.zeros(2)
    for _ in range(repeats):
        one, other = (densities(draw(size, rng), grid, floor) for size in sizes)
        total += [grid_wasserstein(one[i], other[i], grid) for i in range(2)]
    return total / repeats


def _pseudo_population(target: Target) -> Callable[[int, np.random.Generator], Floats]:
    """Draws (n, 2), dB, from a population that could have answered as a prompt's listeners did: the smoothed
    bootstrap, shrunk to their unbiased covariance (Silverman & Young 1987) and clipped to the box."""
    points, space = target.responses, target.space
    m, mean = len(points), points.mean(axis=0)
    centred, kernel = points - mean, _SMOOTHING * _root(bandwidth(points, 0.0))
    shrink = 1.0 / np.sqrt((m - 1.0) / m + _SMOOTHING**2 * m ** (-1.0 / 3.0))

    def draw(n: int, rng: np.random.Generator) -> Floats:
        chosen = centred[rng.integers(m, size=n)]
        drawn = mean + shrink * (chosen + rng.standard_normal((n, 2)) @ kernel)
        return np.asarray(np.clip(drawn, space.low, space.high))

    return draw


def _root(covariance: Floats) -> Floats:
    """Symmetric square root of a covariance that may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
