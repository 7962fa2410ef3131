"""Diagnostics for the failure signatures that the paper names; they describe a run, they do not rank it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from popeq.metrics.kde import DensitySettings, Grid, as_points, densities, grid_of
from popeq.metrics.solver import point_wasserstein
from popeq.space import PLANE, Space
from popeq.typing import Floats

_DEFAULT = DensitySettings()


class Outline(NamedTuple):
    """What the diagnostics ask of one point set, or of many of one size: ``mean`` (..., 2) dB, ``variance``
    (...,) dB^2, the sum over both axes, and ``edge`` (...,), the share of points at an edge."""

    mean: Floats
    variance: Floats
    edge: Floats


def outline(points: Floats, space: Space, margin: float = 1 / 24) -> Outline:
    """Of points (..., n, 2), dB. One point has no variance; at an edge is nearer than ``margin`` of the
    sides."""
    n = points.shape[-2]
    variance = points.var(axis=-2, ddof=1).sum(axis=-1) if n > 1 else np.zeros(points.shape[:-2])
    same = (points == points[..., :1, :]).all(axis=(-2, -1))
    gap = np.minimum(points - space.low, space.high - points) / space.size
    edge = (gap.min(axis=-1) <= margin).mean(axis=-1)
    return Outline(points.mean(axis=-2), np.where(same, 0.0, variance), edge)


def compared(samples: Outline, responses: Outline) -> dict[str, Floats]:
    """``spread_ratio``, ``mean_shift`` and ``edge_mass_gap`` (...,) of samples, or of many sets of them,
    against one set of responses, or as many."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(responses.variance > 0.0, np.sqrt(samples.variance / responses.variance), np.nan)
    return {
        "spread_ratio": ratio,
        "mean_shift": np.linalg.norm(samples.mean - responses.mean, axis=-1),
        "edge_mass_gap": samples.edge - responses.edge,
    }


def spread_ratio(samples: ArrayLike, responses: ArrayLike, space: Space = PLANE) -> float:
    """Ratio of the total standard deviations of samples (n, 2) and responses (m, 2), dB; near 0: collapse.

    ``sqrt(trace cov(samples) / trace cov(responses))``; NaN if the responses do not spread at all.
    """
    return float(_compared(samples, responses, space)["spread_ratio"])


def mean_shift(samples: ArrayLike, responses: ArrayLike, space: Space = PLANE) -> float:
    """Distance (dB) between the means of samples (n, 2) and of responses (m, 2), dB."""
    return float(_compared(samples, responses, space)["mean_shift"])


def edge_mass_gap(
    samples: ArrayLike, responses: ArrayLike, space: Space = PLANE, margin: float = 1 / 24
) -> float:
    """Share of samples (n, 2), dB, at an edge, minus that of responses (m, 2), dB; below 0: edges avoided.

    ``margin`` says how near that is, as a share of the box's sides: 0.5 dB on the paper's plane.
    """
    return float(_compared(samples, responses, space, margin)["edge_mass_gap"])


def _compared(
    samples: ArrayLike, responses: ArrayLike, space: Space, margin: float = 1 / 24
) -> dict[str, Floats]:
    x, y = as_points(samples, space, "samples"), as_points(responses, space, "responses")
    return compared(outline(x, space, margin), outline(y, space, margin))


def coverage(
    samples: ArrayLike,
    responses: ArrayLike,
    space: Space = PLANE,
    settings: DensitySettings = _DEFAULT,
    level: float = 0.8,
) -> float:
    """Share of responses (m, 2), dB, in the highest-density region of mass ``level`` of samples (n, 2), dB.

    The region is made of the densest cells of the samples' reflective density (Hyndman 1996). A calibrated
    predictor has a coverage near ``level``; less is over-confidence, more is too much spread.
    """
    x, y = as_points(samples, space, "samples"), as_points(responses, space, "responses")
    grid = grid_of(space, settings.cells)
    return coverage_of(densities(x, grid, settings.floor_db(space)).reflective, y, grid, level)


def coverage_of(masses: Floats, y: Floats, grid: Grid, level: float = 0.8) -> float:
    """``coverage`` of responses y (m, 2), dB, from the samples' reflective density ``masses`` (cells^2,)."""
    order = np.argsort(-masses, kind="stable")
    needed = int(np.searchsorted(np.cumsum(masses[order]), level)) + 1
    region = np.zeros(len(masses), dtype=bool)
    region[order[:needed]] = True
    cell = np.minimum(((y - grid.space.low) / grid.step).astype(int), grid.cells - 1)
    return float(region[cell[:, 0] * grid.cells + cell[:, 1]].mean())


def retrieval_rank_correlation(
    similarity: ArrayLike, query_responses: ArrayLike, retrieved_responses: list[ArrayLike]
) -> float:
    """Spearman correlation between text similarity and distributional similarity of retrieved prompts.

    The paper's failure signature of retrieval: sentences that read alike but are set differently.

    Parameters
    ----------
    similarity : (k,)
        Text similarity of the query to each retrieved prompt.
    query_responses : (m, 2)
        The listeners' points for the query, dB.
    retrieved_responses
        The k point sets of the retrieved prompts, dB.

    Returns
    -------
    float
        Rank correlation of ``similarity`` with minus the Wasserstein-1 distance between the point sets; NaN
        if either does not vary or k < 2.
    """
    from scipy.stats import rankdata

    text = np.asarray(similarity, dtype=np.float64)
    own = np.asarray(query_responses, dtype=np.float64)
    if text.shape != (len(retrieved_responses),):
        raise ValueError(f"similarity must have shape ({len(retrieved_responses)},), not {text.shape}")
    distance = np.array(
        [point_wasserstein(own, np.asarray(r, dtype=np.float64)) for r in retrieved_responses]
    )
    if len(text) < 2 or not np.ptp(text) or not np.ptp(distance):
        return float("nan")
    return float(np.corrcoef(rankdata(text), rankdata(-distance))[0, 1])
