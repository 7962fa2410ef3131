"""The predictor that gives one cloud of points for every sentence: where the training score is least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from popeq.contract import LabelledPrompt, Prompt
from popeq.metrics import DensitySettings, bandwidth, densities, grid_of, grid_transport
from popeq.metrics.kde import Grid, ghosts_of, reflected
from popeq.space import Space
from popeq.typing import Floats
from popeq_baselines import CloudParameters

#: What each transport of the descent may be off, as a share of the distance; it needs a quarter of the time.
_TOLERANCE = 0.005
#: Steps between two exact looks at the training score.
_LOOK = 20
_FORGET, _FORGET_SQUARES = 0.9, 0.99


class Headline(NamedTuple):
    """The mean reflective Kantorovich distance (dB) of a cloud to the training prompts, and the mean
    ``potential`` (cells^2,) of the transports, dB: how it changes with the cloud's density."""

    mean: float
    potential: Floats


class Cloud:
    """The constant set of points that minimises the mean reflective Kantorovich distance to the training
    prompts, each prompt weighing the same: what can be scored without reading the sentence.

    The points start as responses drawn from the pool of all training responses and follow the gradient of
    the distance, which is exact: the derivative of an optimal transport's cost with respect to a density is
    its dual potential (Santambrogio, *Optimal Transport for Applied Mathematicians*, 2015, section 7.2), and
    the density is a differentiable function of the points. The steps are Adam's (Kingma & Ba, 2015) with a
    step size that falls to zero, kept in the box; the best cloud that was seen is kept.
    """

    def __init__(self, parameters: CloudParameters, space: Space) -> None:
        self.parameters = parameters
        self.space = space
        self.points = np.empty((0, 2))
        self.headline_db = np.nan

    def fit(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], rng: np.random.Generator
    ) -> None:
        """Descend from pooled training responses; the same generator gives the same cloud."""
        settings = DensitySettings()
        grid, floor = grid_of(self.space, settings.cells), settings.floor_db(self.space)
        targets = [densities(p.responses, grid, floor).reflective for p in train]
        cloud = _evenly(np.concatenate([p.responses for p in train]), self.parameters.points, rng)
        first, second = np.zeros_like(cloud), np.zeros_like(cloud)
        best = (np.inf, cloud)
        steps = self.parameters.steps
        for step in range(steps + 1):
            if step % _LOOK == 0 or step == steps:
                best = min(best, (headline(cloud, targets, grid, floor).mean, cloud), key=lambda b: b[0])
            potential = headline(cloud, targets, grid, floor, _TOLERANCE).potential
            slope = gradient(cloud, potential, grid, floor) * len(cloud)
            first = _FORGET * first + (1.0 - _FORGET) * slope
            second = _FORGET_SQUARES * second + (1.0 - _FORGET_SQUARES) * slope**2
            mean = first / (1.0 - _FORGET ** (step + 1))
            scale = np.sqrt(second / (1.0 - _FORGET_SQUARES ** (step + 1))) + 1e-3
            size = self.parameters.step_db * 0.5 * (1.0 + np.cos(np.pi * step / (steps + 1)))
            cloud = self.space.clip(cloud - size * mean / scale)
        self.headline_db, self.points = best

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """Points of the cloud, each as often as the others up to one; which ones come once more is chance."""
        return np.stack([rng.permutation(_evenly(self.points, n, rng)) for rng in rngs])

    def describe(self) -> dict[str, object]:
        """The least training score that was reached."""
        return {"training_headline_db": round(self.headline_db, 4)}


def _evenly(pool: Floats, size: int, rng: np.random.Generator) -> Floats:
    """``size`` points of the pool, each as often as the others up to one."""
    whole = np.tile(pool, (size // len(pool), 1))
    return np.concatenate([whole, pool[rng.permutation(len(pool))[: size - len(whole)]]])


def headline(
    cloud: Floats, targets: Sequence[Floats], grid: Grid, floor_db: Floats, tolerance: float = 0.0
) -> Headline:
    """Mean distance of a cloud (n, 2) to the densities ``targets`` (cells^2,) of the training prompts."""
    own = densities(cloud, grid, floor_db).reflective
    moved = [grid_transport(own, target, grid, tolerance) for target in targets]
    return Headline(float(np.mean([m.cost for m in moved])), np.mean([m.potential for m in moved], axis=0))


def gradient(cloud: Floats, potential: Floats, grid: Grid, floor_db: Floats) -> Floats:
    """Derivative of ``sum(potential * densities(cloud).reflective)`` with respect to each point, (n, 2).

    A kernel changes with its centre, and every kernel changes with the covariance, which depends on all
    points. With precision P and offset d of a cell, ``dk/dx = k P d`` and ``dk/dH = k (P d d' P - P) / 2``.
    """
    n = len(cloud)
    covariance = bandwidth(cloud, floor_db)
    precision = np.linalg.inv(covariance)
    ghosts = ghosts_of(grid, covariance)
    cells = grid.cells
    unfolded = potential.reshape(cells, cells)[np.ix_(*(reflected(cells, g) for g in ghosts))]
    dx = grid.axis(0, ghosts[0]) - cloud[:, :1]
    dy = grid.axis(1, ghosts[1]) - cloud[:, 1:]
    (xx, xy), (_, yy) = precision
    kernels = np.exp(
        -0.5 * (xx * dx**2)[:, :, None]
        - 0.5 * (yy * dy**2)[:, None, :]
        - (xy * dx)[:, :, None] * dy[:, None, :]
    )
    whole = kernels.sum()
    value = float((kernels * unfolded).sum()) / whole  # of the density, which is normalised
    kernels *= (unfolded - value) / whole
    along_x, along_y = kernels.sum(axis=2), kernels.sum(axis=1)
    moments = np.stack([(along_x * dx).sum(axis=1), (along_y * dy).sum(axis=1)], axis=1)
    cross = np.einsum("ni,nij,nj->", dx, kernels, dy, optimize=True)
    squares = np.array([[(along_x * dx**2).sum(), cross], [cross, (along_y * dy**2).sum()]])
    by_covariance = 0.5 * (precision @ squares @ precision - precision * along_x.sum())
    spread = 2.0 * n ** (-1.0 / 3.0) / max(n - 1, 1)
    return np.asarray(moments @ precision + spread * (cloud - cloud.mean(axis=0)) @ by_covariance)
