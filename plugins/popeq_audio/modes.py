"""The modes of a predicted distribution: its clusters of samples, each with the sample in its middle."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popeq.metrics.kde import DensitySettings, densities, grid_of
from popeq.space import Space
from popeq.typing import Floats

CELLS = 60
#: Two peaks are one mode if the density between them is more than this share of the lower one.
SADDLE_SHARE = 0.8
#: Samples of a smaller mode are given to the nearest other mode.
LEAST_WEIGHT = 0.05


@dataclass(frozen=True, eq=False)
class Mode:
    """One mode: its share of the samples, its medoid, and the indices of its samples."""

    weight: float
    medoid: tuple[float, float]
    members: NDArray[np.intp]


def density(points: Floats, space: Space, cells: int = CELLS) -> Floats:
    """Reflective density of points (n, 2) in each cell, (cells, cells) with x first, per dB^2."""
    grid = grid_of(space, cells)
    masses = densities(points, grid, DensitySettings(cells).floor_db(space)).reflective
    return masses.reshape(cells, cells) / float(np.prod(grid.step))


def find_modes(points: Floats, space: Space) -> list[Mode]:
    """Modes of samples (n, 2), the largest first.

    The peaks of the reflective density, each with the cells from which steepest ascent leads to it; peaks
    without a real valley between them (``SADDLE_SHARE``) are one. Every sample is in one mode: weights sum
    to 1.
    """
    field = density(points, space)
    places = _around(np.arange(field.size).reshape(field.shape), -1)
    labels = _join(field, _climb(field, places), places).reshape(field.shape)
    x, y = np.clip(((points - space.low) / space.size * CELLS).astype(int), 0, CELLS - 1).T
    label = _with_small_modes_merged(points, labels[x, y])
    modes = []
    for own in np.unique(label):
        members = np.flatnonzero(label == own)
        middle = points[members][medoid(points[members])]
        modes.append(Mode(len(members) / len(points), (float(middle[0]), float(middle[1])), members))
    return sorted(modes, key=lambda m: (-m.weight, m.medoid))


def medoid(points: Floats) -> int:
    """Index of the point with the least sum of distances to all; the first of equals."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    return int(np.argmin(np.round(distances.sum(axis=1), 9)))


def _around(values: NDArray[Any], beyond: float) -> NDArray[Any]:
    """Each cell and then its eight neighbours, (9, cells, cells); ``beyond`` the edge."""
    padded = np.pad(values, 1, constant_values=beyond)
    n, m = values.shape
    steps = sorted(itertools.product((0, 1, 2), repeat=2), key=lambda step: step != (1, 1))
    return np.stack([padded[i : i + n, j : j + m] for i, j in steps])


def _climb(field: Floats, places: NDArray[np.intp]) -> NDArray[np.intp]:
    """The flat index of the peak that steepest ascent leads to, from each cell in turn, (cells^2,).

    ``places`` (9, cells, cells) are the flat indices of each cell and its neighbours.
    """
    steepest = _around(field, -np.inf).argmax(axis=0)
    peak: NDArray[np.intp] = np.take_along_axis(places, steepest[None], axis=0).ravel()
    while not np.array_equal(peak, peak[peak]):
        peak = peak[peak]
    return peak


def _join(field: Floats, labels: NDArray[np.intp], places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Join peaks over high saddles, the highest saddle first; ``labels`` and ``places`` as of ``_climb``."""
    labels, height = labels.copy(), field.ravel()
    here, there = np.broadcast_arrays(places[:1], places[1:])
    here, there = here[there >= 0], there[there >= 0]
    saddle = np.minimum(height[here], height[there])
    while True:
        ends = np.sort([labels[here], labels[there]], axis=0)
        lower = height[ends].min(axis=0)
        joined = np.flatnonzero((ends[0] != ends[1]) & (saddle > SADDLE_SHARE * lower))
        if not len(joined):
            return labels
        a, b = ends[:, max(joined, key=lambda i: (saddle[i] / lower[i], *ends[:, i]))]
        high, low = (a, b) if height[a] >= height[b] else (b, a)
        labels[labels == low] = high


def _with_small_modes_merged(points: Floats, label: NDArray[np.intp]) -> NDArray[np.intp]:
    """Labels in which the samples of modes that are too small have the label of the nearest other sample."""
    names, counts = np.unique(label, return_counts=True)
    small = set(names[counts < LEAST_WEIGHT * len(points)].tolist())
    if len(small) == len(names):
        small.discard(int(names[np.argmax(counts)]))
    small_mode = np.isin(label, list(small))
    if not small_mode.any():
        return label
    distances = np.linalg.norm(points[small_mode][:, None] - points[~small_mode][None], axis=2)
    moved = label.copy()
    moved[small_mode] = label[~small_mode][distances.argmin(axis=1)]
    return moved
