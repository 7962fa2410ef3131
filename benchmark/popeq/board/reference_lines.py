"""What nobody can beat: the scores of a perfect predictor and of a fresh panel of listeners.

A score against few listeners is never 0, not even for the population itself. How far two groups of k and l
listeners of the same prompt are apart is measured on disjoint subsets of its listeners and extrapolated:
``log W1(k, l) = a_prompt + slope * log(1/k + 1/l)``, one slope for the data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from popeq.board.scoring import Scorer
from popeq.dataset_folder import read_second_panel
from popeq.metrics import SCORES, Target, grid_of
from popeq.metrics.kde import densities
from popeq.metrics.transport import grid_wasserstein
from popeq.seeding import generator

Floats = NDArray[np.float64]

PANEL_SIZE = 11
_SPLITS = 12
#: Coarser than the protocol's grid: the lines move by 0.3 %, and come five times as fast.
_CELLS = 16
_DENSITY_SCORES = ("reflective_kantorovich", "kantorovich")


@dataclass(frozen=True, eq=False)
class ReferenceLine:
    """Expected scores by prompt of somebody who has no row: ``scores[name]`` (P,), dB; ``how`` in words."""

    name: str
    how: str
    scores: dict[str, Floats]

    def take(self, keep: Sequence[int]) -> ReferenceLine:
        """The line on some of the prompts, by position."""
        return replace(self, scores={name: own[list(keep)] for name, own in self.scores.items()})


def reference_lines(scorer: Scorer, *, second: bool = True) -> list[ReferenceLine]:
    """The perfect predictor and the fresh panel of 11, for the density distances.

    The fresh panel is measured where the data set brings a second panel. Both are missing (an empty list)
    where prompts have fewer than four listeners, because then there are no two disjoint groups.
    Without ``second`` the second panel is not looked at, and the perfect line comes first.
    """
    lines = []
    sizes = np.array([len(t.responses) for t in scorer.targets])
    if sizes.min() >= 4:
        apart = _fit(scorer)
        for label, drawn in (
            ("perfect predictor", scorer.protocol.n_samples),
            ("fresh panel of 11", PANEL_SIZE),
        ):
            scores = {name: fit(1.0 / drawn + 1.0 / sizes) for name, fit in apart.items()}
            lines.append(ReferenceLine(label, "estimated from disjoint groups of listeners", scores))
    other = read_second_panel(scorer.dataset) if second else None
    if other is not None:
        lines = [line for line in lines if not line.name.startswith("fresh")]
        samples = [other.points(p) for p in scorer.prompt_ids]
        scored = [t.score(s).values for t, s in zip(scorer.targets, samples, strict=True)]
        scores = {name: np.array([v[name] for v in scored]) for name in SCORES}
        lines.append(
            ReferenceLine(
                "fresh panel of 11",
                f"measured with {other.card.label}, revision {other.revision[:12]}",
                scores,
            )
        )
    return lines


class _GroupDistance:
    """The fitted law of how far apart two groups are, as a function of 1/k + 1/l."""

    def __init__(self, level: Floats, slope: float) -> None:
        self.level = level
        self.slope = slope

    def __call__(self, inverse_sizes: Floats) -> Floats:
        return np.asarray(np.exp(self.level + self.slope * np.log(inverse_sizes)))


@lru_cache(maxsize=4)
def _fit(scorer: Scorer) -> dict[str, _GroupDistance]:
    """Least squares with one level a prompt and one slope, for each density distance."""
    logs: dict[str, list[Floats]] = {name: [] for name in _DENSITY_SCORES}
    inverses = []
    for prompt_id, target in zip(scorer.prompt_ids, scorer.targets, strict=True):
        sizes = sorted({2, len(target.responses) // 2})
        apart = np.array([_apart(prompt_id, target, size) for size in sizes])
        inverses.append(np.log(2.0 / np.array(sizes)))
        for name, measured in zip(_DENSITY_SCORES, apart.T, strict=True):
            logs[name].append(np.log(np.maximum(measured, 1e-12)))  # listeners who all agree are 0 apart
    x = np.concatenate([i - i.mean() for i in inverses])
    fits = {}
    for name, values in logs.items():
        y = np.concatenate([v - v.mean() for v in values])
        slope = float(x @ y / (x @ x)) if x.any() else 0.5
        level = [v.mean() - slope * i.mean() for v, i in zip(values, inverses, strict=True)]
        fits[name] = _GroupDistance(np.array(level), slope)
    return fits


def _apart(prompt_id: str, target: Target, size: int) -> Floats:
    """Mean distances (by _DENSITY_SCORES) of two disjoint groups of ``size`` listeners over random splits."""
    rng = generator("reference_lines", prompt_id, size)
    grid, floor = grid_of(target.space, _CELLS), target.settings.floor_db(target.space)
    total = np.zeros(len(_DENSITY_SCORES))
    for _ in range(_SPLITS):
        order = rng.permutation(len(target.responses))
        one, other = (
            densities(target.responses[part], grid, floor) for part in (order[:size], order[size : 2 * size])
        )
        total += (
            grid_wasserstein(one.reflective, other.reflective, grid),
            grid_wasserstein(one.standard, other.standard, grid),
        )
    return total / _SPLITS
