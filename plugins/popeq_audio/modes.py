"""The modes of a predicted distribution: its clusters of samples, each with the sample in its middle."""

from __future__ import annotations

from dataclasses import dataclass

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
    labels = _join(field, _climb(field))
    place = np.clip(((points - space.low) / space.size * CELLS).astype(int), 0, CELLS - 1)
    label = _with_small_modes_merged(points, labels[place[:, 0], place[:, 1]])
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


def _neighbours(field: Floats) -> list[tuple[Floats, tuple[int, int]]]:
    """The field moved by one cell in each of eight directions; beyond the edge there is nothing."""
    padded = np.pad(field, 1, constant_values=-np.inf)
    n, m = field.shape
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    return [(padded[1 + i : 1 + i + n, 1 + j : 1 + j + m], (i, j)) for i, j in steps]


def _climb(field: Floats) -> NDArray[np.intp]:
    """For each cell the flat index of the peak that steepest ascent leads to, (cells, cells)."""
    n, m = field.shape
    index = np.arange(n * m).reshape(n, m)
    best, target = field.copy(), index.copy()
    for shifted, (i, j) in _neighbours(field):
        higher = shifted > best
        best = np.where(higher, shifted, best)
        target = np.where(higher, index + i * m + j, target)
    flat = target.ravel()
    while not np.array_equal(flat, flat[flat]):
        flat = flat[flat]
    return flat.reshape(n, m)


def _join(field: Floats, labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Join peaks over high saddles, the highest saddle first."""
    labels = labels.copy()
    while True:
        saddles: dict[tuple[int, int], float] = {}
        for shifted, other in zip(_neighbours(field), _neighbours(labels.astype(float)), strict=True):
            border = np.isfinite(shifted[0]) & (other[0] != labels)
            for a, b, height in zip(
                labels[border],
                other[0][border].astype(int),
                np.minimum(field, shifted[0])[border],
                strict=True,
            ):
                pair = (min(int(a), int(b)), max(int(a), int(b)))
                saddles[pair] = max(saddles.get(pair, 0.0), float(height))
        peaks = field.ravel()
        joined = [
            (height / min(peaks[a], peaks[b]), a, b)
            for (a, b), height in saddles.items()
            if height > SADDLE_SHARE * min(peaks[a], peaks[b])
        ]
        if not joined:
            return labels
        _, a, b = max(joined)
        high, low = (a, b) if peaks[a] >= peaks[b] else (b, a)
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
