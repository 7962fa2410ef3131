"""The four scores: how far a predictor's samples are from what listeners chose, in dB; lower is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist, pdist

from popeq.metrics._backend import uses_numba
from popeq.metrics.kde import Densities, DensitySettings, as_points, densities, grid_of, kernel_masses
from popeq.metrics.solver import grid_transport, grid_wasserstein, point_wasserstein
from popeq.space import PLANE, Space
from popeq.typing import Floats

#: Score names in the order of tables; the headline first.
SCORES = ("reflective_kantorovich", "kantorovich", "sample_kantorovich", "energy_score")
HEADLINE = SCORES[0]
_DEFAULT = DensitySettings()


def kantorovich(
    samples: ArrayLike, responses: ArrayLike, space: Space = PLANE, settings: DensitySettings = _DEFAULT
) -> float:
    """Wasserstein-1 distance between the standard kernel densities of samples and responses, dB.

    Parameters
    ----------
    samples : (n, 2)
        The predictor's draws, dB, inside ``space``.
    responses : (m, 2)
        The listeners' settings, dB, inside ``space``.

    Raises
    ------
    ValueError
        If either is empty, not finite, of another shape or out of the box.

    Notes
    -----
    Stylianou et al., arXiv 2601.09448. Both densities are cut to the box and renormalised, so they
    under-estimate at the edges; ``reflective_kantorovich`` does not.
    """
    return _density_distance("standard", samples, responses, space, settings)


def reflective_kantorovich(
    samples: ArrayLike, responses: ArrayLike, space: Space = PLANE, settings: DensitySettings = _DEFAULT
) -> float:
    """Wasserstein-1 distance (dB) of reflective kernel densities of samples (n, 2) and responses (m, 2), dB.

    The headline score. Errors and source are as for ``kantorovich``; kernel mass beyond an edge is folded
    back, so that the density has no bias at the edges.
    """
    return _density_distance("reflective", samples, responses, space, settings)


def _density_distance(
    kind: str, samples: ArrayLike, responses: ArrayLike, space: Space, settings: DensitySettings
) -> float:
    grid, floor = grid_of(space, settings.cells), settings.floor_db(space)
    a, b = (getattr(densities(p, grid, floor), kind) for p in _checked(samples, responses, space))
    return grid_wasserstein(a, b, grid)


def sample_kantorovich(samples: ArrayLike, responses: ArrayLike, space: Space = PLANE) -> float:
    """Exact Wasserstein-1 distance between the raw points (n, 2) and (m, 2), dB; no density, no grid."""
    return point_wasserstein(*_checked(samples, responses, space))


def energy_score(samples: ArrayLike, responses: ArrayLike, space: Space = PLANE) -> float:
    """Energy score (dB) of samples (n, 2), mean over responses (m, 2), dB: proper and unbiased.

    ``mean |x_i - y_j| - sum_{i != k} |x_i - x_k| / (2 n (n - 1))`` (Gneiting & Raftery 2007, with the fair
    estimator of Ferro 2014). A single sample has no second term. Unlike Wasserstein-1 against few responses
    it does not reward too little spread.
    """
    x, y = _checked(samples, responses, space)
    return float(cdist(x, y).mean()) - mean_distance(x) / 2.0


def mean_distance(points: Floats) -> float:
    """Mean distance of two different points (n, 2), dB; 0 for one point."""
    if len(points) < 2:
        return 0.0
    if uses_numba():
        from popeq.metrics._sums import distance_sum

        # A copy of one type of array, so that one signature is compiled.
        together = distance_sum(np.array(points, np.float64, order="C"))
        return float(together) / (len(points) * (len(points) - 1) / 2)
    return float(pdist(points).mean())


def _checked(samples: ArrayLike, responses: ArrayLike, space: Space) -> tuple[Floats, Floats]:
    return as_points(samples, space, "samples"), as_points(responses, space, "responses")


def _over_prompts(
    score: Callable[..., float], samples: ArrayLike, responses: Sequence[ArrayLike], **options: object
) -> Floats:
    draws = np.asarray(samples, dtype=np.float64)
    if draws.ndim != 3 or len(draws) != len(responses):
        raise ValueError(f"samples must be ({len(responses)} prompts, n, 2), not {draws.shape}")
    return np.array([score(s, r, **options) for s, r in zip(draws, responses, strict=True)])


def kantorovich_batch(
    samples: ArrayLike,
    responses: Sequence[ArrayLike],
    space: Space = PLANE,
    settings: DensitySettings = _DEFAULT,
) -> Floats:
    """``kantorovich`` for samples (p, n, 2) against p response sets (m_i, 2), shape (p,)."""
    return _over_prompts(kantorovich, samples, responses, space=space, settings=settings)


def reflective_kantorovich_batch(
    samples: ArrayLike,
    responses: Sequence[ArrayLike],
    space: Space = PLANE,
    settings: DensitySettings = _DEFAULT,
) -> Floats:
    """``reflective_kantorovich`` for samples (p, n, 2) against p response sets (m_i, 2), shape (p,)."""
    return _over_prompts(reflective_kantorovich, samples, responses, space=space, settings=settings)


def sample_kantorovich_batch(
    samples: ArrayLike, responses: Sequence[ArrayLike], space: Space = PLANE
) -> Floats:
    """``sample_kantorovich`` for samples (p, n, 2) against p response sets (m_i, 2), shape (p,)."""
    return _over_prompts(sample_kantorovich, samples, responses, space=space)


def energy_score_batch(samples: ArrayLike, responses: Sequence[ArrayLike], space: Space = PLANE) -> Floats:
    """``energy_score`` for samples (p, n, 2) against p response sets (m_i, 2), shape (p,)."""
    return _over_prompts(energy_score, samples, responses, space=space)


class PromptScores(NamedTuple):
    """All four scores of one prompt (dB), with each listener's influence on all but ``sample_kantorovich``.

    ``influence[score]`` (m,) is the derivative of the score with respect to the listeners' weights, centred:
    moving weight to listeners with a positive value raises the score. ``error[score]`` (dB) is how far a
    density distance can be from the exact one: 0 unless ``DensitySettings.tolerance`` allows more.
    ``predicted`` are the densities of the samples.
    """

    values: dict[str, float]
    influence: dict[str, Floats]
    error: dict[str, float]
    predicted: Densities


class Target:
    """One prompt's listeners (m, 2), with what any number of predictors are scored against computed once."""

    def __init__(
        self, responses: ArrayLike, space: Space = PLANE, settings: DensitySettings = _DEFAULT
    ) -> None:
        self.responses = as_points(responses, space, "responses")
        self.space = space
        self.settings = settings
        self.grid = grid_of(space, settings.cells)
        self._floor = settings.floor_db(space)
        self.densities = densities(self.responses, self.grid, self._floor)
        kernels = kernel_masses(self.responses, self.grid, self._floor)
        self._effects = Densities(*(listener_effects(k) for k in kernels))

    def score(self, samples: ArrayLike) -> PromptScores:
        """Every score of samples (n, 2) against these listeners, in one pass over the densities."""
        points = as_points(samples, self.space, "samples")
        predicted = densities(points, self.grid, self._floor)
        found = self.score_of(predicted, points, mean_distance(points))
        values = found.values | {"sample_kantorovich": point_wasserstein(points, self.responses)}
        return found._replace(values={name: values[name] for name in SCORES})

    def score_of(self, predicted: Densities, points: Floats, mean_distance: float) -> PromptScores:
        """Every score but ``sample_kantorovich`` of points (n, 2) whose densities and ``mean_distance`` are
        known already: for one set of points against many prompts."""
        grid, own, tolerance = self.grid, self.densities, self.settings.tolerance
        standard = grid_transport(predicted.standard, own.standard, grid, tolerance)
        reflective = grid_transport(predicted.reflective, own.reflective, grid, tolerance)
        to_listeners = cdist(points, self.responses).mean(axis=0)
        return PromptScores(
            {
                "reflective_kantorovich": reflective.cost,
                "kantorovich": standard.cost,
                "energy_score": float(to_listeners.mean()) - mean_distance / 2.0,
            },
            {
                "reflective_kantorovich": self._effects.reflective @ reflective.potential,
                "kantorovich": self._effects.standard @ standard.potential,
                "energy_score": to_listeners - to_listeners.mean(),
            },
            {"reflective_kantorovich": reflective.error, "kantorovich": standard.error},
            predicted,
        )

    def densities_of(self, samples: ArrayLike) -> Densities:
        """Densities of samples (n, 2) on this prompt's grid."""
        return densities(as_points(samples, self.space, "samples"), self.grid, self._floor)


def compile_solver() -> None:
    """Compile what ``popeq[fast]`` compiles and keep it on disk, as the first score would do.

    Without numba, or if the environment variable POPEQ_SOLVER is ``pot``, there is nothing to compile.
    """
    Target(np.zeros((2, 2)), settings=DensitySettings(cells=4)).score(np.ones((3, 2)))


def listener_effects(kernels: Floats) -> Floats:
    """The matrix (m, cells^2) that makes of a transport's potential f its first-order change with the weights
    of the listeners, whose ``kernel_masses`` K are given (m, cells^2).

    W1(predicted, listeners) changes by ``-sum_j w_j <f, K_j>``, taken at the normalised density, so that
    equal weights give zero.
    """
    mass = kernels.sum(axis=1)
    mean = kernels.sum(axis=0) / mass.sum()
    return np.asarray((np.outer(mass, mean) - kernels) / mass.mean())
