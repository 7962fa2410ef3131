"""What nobody can beat: the scores of a perfect predictor and of a fresh panel of listeners.

A score against few listeners is never 0, not even for the population itself. How far two groups of k and l
listeners of the same prompt are apart is measured on disjoint subsets of its listeners and extrapolated:
``log W1(k, l) = a_prompt + slope * log(1/k + 1/l)``, one slope for the data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popeq.board.scoring import Scorer
from popeq.dataset import Dataset
from popeq.dataset_folder import read_dataset
from popeq.errors import UsageError
from popeq.metrics import SCORES, Target, grid_of
from popeq.metrics.kde import densities
from popeq.metrics.transport import grid_wasserstein
from popeq.seeding import generator

Floats = NDArray[np.float64]

PANEL_SIZE = 11
_SPLITS = 4
#: Coarser than the protocol's grid: the lines move by 0.3 %, and come five times as fast.
_CELLS = 16
_DENSITY_SCORES = ("reflective_kantorovich", "kantorovich")


@dataclass(frozen=True, eq=False)
class ReferenceLine:
    """Expected scores by prompt of somebody who has no row: ``scores[name]`` (P,), dB; ``how`` in words."""

    name: str
    how: str
    scores: dict[str, Floats]


def reference_lines(scorer: Scorer) -> list[ReferenceLine]:
    """The perfect predictor and the fresh panel of 11, for the density distances.

    The fresh panel is measured where the data set brings a second panel. Both are missing (an empty list)
    where prompts have fewer than four listeners, because then there are no two disjoint groups.
    """
    lines = []
    sizes = np.array([len(t.responses) for t in scorer.targets])
    if sizes.min() >= 4:
        apart = {name: _fit(scorer, name) for name in _DENSITY_SCORES}
        for label, drawn in (
            ("perfect predictor", scorer.protocol.n_samples),
            ("fresh panel of 11", PANEL_SIZE),
        ):
            scores = {name: fit(1.0 / drawn + 1.0 / sizes) for name, fit in apart.items()}
            lines.append(ReferenceLine(label, "estimated from disjoint groups of listeners", scores))
    second = second_panel(scorer.dataset)
    if second is not None:
        lines = [line for line in lines if not line.name.startswith("fresh")]
        samples = [second.points(p) for p in scorer.dataset.test_ids]
        scored = [t.score(s).values for t, s in zip(scorer.targets, samples, strict=True)]
        scores = {name: np.array([v[name] for v in scored]) for name in SCORES}
        lines.append(ReferenceLine("fresh panel of 11", f"measured: {second.card.label}", scores))
    return lines


def second_panel(dataset: Dataset) -> Dataset | None:
    """The data set that ``dataset.toml`` names as second panel, checked to have the same prompts."""
    if dataset.card.second_panel is None or dataset.folder is None:
        return None
    second = read_dataset(Path(dataset.folder, dataset.card.second_panel))
    if set(second.test_ids) != set(dataset.test_ids):
        raise UsageError(
            f"{second.folder}: the second panel of {dataset.name} must have the same test prompts"
        )
    return second


class _GroupDistance:
    """The fitted law of how far apart two groups are, as a function of 1/k + 1/l."""

    def __init__(self, level: Floats, slope: float) -> None:
        self.level = level
        self.slope = slope

    def __call__(self, inverse_sizes: Floats) -> Floats:
        return np.asarray(np.exp(self.level + self.slope * np.log(inverse_sizes)))


def _fit(scorer: Scorer, score: str) -> _GroupDistance:
    """Least squares with one level a prompt and one slope; a prompt whose listeners all agree stays at 0."""
    logs, inverses = [], []
    for prompt_id, target in zip(scorer.dataset.test_ids, scorer.targets, strict=True):
        sizes = _group_sizes(len(target.responses))
        measured = [_apart(prompt_id, target, k, score) for k in sizes]
        logs.append(np.log(np.maximum(measured, 1e-12)))
        inverses.append(np.log(2.0 / np.array(sizes)))
    x = np.concatenate([i - i.mean() for i in inverses])
    y = np.concatenate([v - v.mean() for v in logs])
    slope = float(x @ y / (x @ x)) if x.any() else 0.5
    level = np.array([v.mean() - slope * i.mean() for v, i in zip(logs, inverses, strict=True)])
    return _GroupDistance(level, slope)


def _group_sizes(listeners: int) -> list[int]:
    largest = listeners // 2
    return sorted({2, max(2, round((2 * largest) ** 0.5)), largest})


def _apart(prompt_id: str, target: Target, size: int, score: str) -> float:
    """Mean distance of two disjoint groups of ``size`` listeners over a few random splits."""
    rng = generator("reference_lines", prompt_id, size)
    grid, floor = grid_of(target.space, _CELLS), target.settings.floor_db
    total = 0.0
    for _ in range(_SPLITS):
        order = rng.permutation(len(target.responses))
        one, other = (
            densities(target.responses[part], grid, floor) for part in (order[:size], order[size : 2 * size])
        )
        if score == "kantorovich":
            total += grid_wasserstein(one.standard, other.standard, grid)
        else:
            total += grid_wasserstein(one.reflective, other.reflective, grid)
    return total / _SPLITS
