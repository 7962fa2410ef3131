"""Gaussian kernel densities of points in the box as cell masses on a grid, standard and reflective."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from popeq.metrics._backend import uses_numba
from popeq.space import PLANE, Space
from popeq.typing import Floats

#: Kernels are evaluated up to this many standard deviations beyond each edge (mass left out: 2e-9).
REACH_SD = 6.0
_CHUNK = 512
#: Largest exponent of the cross term for which a kernel is taken apart into factors (exp overflows at 709).
_SEPARABLE = 200.0


@dataclass(frozen=True)
class DensitySettings:
    """Cells along each axis, and the floor of the bandwidth as a share of the box's sides.

    The defaults are those of protocols 1 and 2; on the paper's plane the floor is 0.3 dB. ``tolerance`` (at
    most 0.005) is the share of a distance that ``Target.score`` may be off, proven and reported for each
    score; 0 is exact.
    """

    cells: int = 24
    floor_share: float = 0.025
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.tolerance <= 0.005:
            raise ValueError(f"tolerance must be from 0 to 0.005, not {self.tolerance}")

    def floor_db(self, space: Space) -> Floats:
        """Floor of the bandwidth along x and y (SD, dB), shape (2,)."""
        return self.floor_share * space.size


class Grid:
    """Equal cells on a box; cell (i, j) has flat index ``i * cells + j``, i along x and j along y."""

    def __init__(self, space: Space, cells: int) -> None:
        self.space = space
        self.cells = cells
        self.step: Floats = space.size / cells

    def axis(self, dimension: int, ghosts: int = 0) -> Floats:
        """Cell centres along one axis, with ``ghosts`` more cells beyond either edge."""
        k = np.arange(-ghosts, self.cells + ghosts)
        return np.asarray(self.space.low[dimension] + self.step[dimension] * (k + 0.5))

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes share theirs: the distances are large."""
        return grid_of, (self.space, self.cells)

    @cached_property
    def centres(self) -> Floats:
        """Cell centres, (cells^2, 2), dB."""
        x, y = np.meshgrid(self.axis(0), self.axis(1), indexing="ij")
        return np.stack([x.ravel(), y.ravel()], axis=1)

    @cached_property
    def distances(self) -> Floats:
        """Euclidean distances between cell centres, (cells^2, cells^2), dB."""
        return np.asarray(cdist(self.centres, self.centres))


@lru_cache(maxsize=8)
def grid_of(space: Space, cells: int) -> Grid:
    """The shared grid of a box (its distance matrix is worth keeping)."""
    return Grid(space, cells)


class Densities(NamedTuple):
    """Cell masses of one point set: ``standard`` and ``reflective``, (cells^2,) each, summing to 1."""

    standard: Floats
    reflective: Floats


def as_points(points: ArrayLike, space: Space = PLANE, what: str = "points") -> Floats:
    """Points as an (n, 2) float array; ValueError if they are not finite, in the box and at least one."""
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) == 0:
        raise ValueError(f"{what} must have shape (n, 2) with n >= 1, not {array.shape}")
    if not space.contains(array).all():
        raise ValueError(
            f"{what} must be finite and inside the box {space.low.tolist()}..{space.high.tolist()} dB"
        )
    return array


def bandwidth(points: Floats, floor_db: ArrayLike) -> Floats:
    """Kernel covariance (2, 2), dB^2: Scott's factor squared times the sample covariance, plus a floor.

    ``n ** (-1/3) * cov(points) + diag(floor_db ** 2)`` (Scott 1992, d = 2); the floor keeps a repeated point
    legal. Unlike the densities' other ingredients it depends on n, so repeating every point narrows it.
    """
    floor: Floats = np.eye(2) * np.asarray(floor_db, dtype=np.float64) ** 2
    if len(points) == 1:
        return floor
    centred = points - points.sum(axis=0) / len(points)  # mean() takes three times as long
    covariance = centred.T @ centred / (len(points) - 1)
    return np.asarray(len(points) ** (-1.0 / 3.0) * covariance + floor)


def reflected(cells: int, ghosts: int) -> NDArray[np.intp]:
    """The cell that each cell of an axis, ghosts included, is reflected onto, (cells + 2 ghosts,)."""
    k = np.arange(-ghosts, cells + ghosts) % (2 * cells)
    return np.where(k < cells, k, 2 * cells - 1 - k)


@lru_cache(maxsize=256)
def _fold(cells: int, ghosts: int) -> Floats:
    """The matrix (cells + 2 ghosts, cells) of ``reflected``."""
    fold = np.eye(cells)[reflected(cells, ghosts)]
    fold.setflags(write=False)
    return fold


def _inverse(covariance: Floats) -> tuple[float, float, float, float]:
    """The elements xx, xy and yy of the precision, and the integral of ``exp(-d' precision d / 2)``, dB^2."""
    (xx, xy), (_, yy) = covariance.tolist()
    determinant = xx * yy - xy * xy
    if not determinant > 0.0:
        raise ValueError(f"the kernels have no width along one direction: covariance {covariance.tolist()}")
    return yy / determinant, -xy / determinant, xx / determinant, 2.0 * math.pi * math.sqrt(determinant)


def _kernels(points: Floats, grid: Grid, covariance: Floats, ghosts: tuple[int, int]) -> Floats:
    """Mass that each point's kernel puts in each cell, ghosts included, (n, cells + 2gx, cells + 2gy)."""
    xx, xy, yy, whole = _inverse(covariance)
    dx = grid.axis(0, ghosts[0]) - points[:, :1]
    dy = grid.axis(1, ghosts[1]) - points[:, 1:]
    exponent: Floats = (-xy * dx)[:, :, None] * dy[:, None, :]
    exponent -= (0.5 * xx * dx**2)[:, :, None]
    exponent -= (0.5 * yy * dy**2)[:, None, :]
    np.exp(exponent, out=exponent)
    exponent *= float(grid.step.prod()) / whole
    return exponent


def summed_kernels(points: Floats, grid: Grid, covariance: Floats, ghosts: tuple[int, int]) -> Floats:
    """Sum of the points' kernels in each cell, ghosts included, (cells + 2gx, cells + 2gy).

    A correlated kernel is a product too: ``exp(-c (X - x)(Y - y))`` is ``exp(-c X Y)``, the same for all
    points, times a factor of (X, point) and one of (Y, point). So the sum over points is one product of
    matrices, with n (gx + gy) exponentials in place of n gx gy. Strongly correlated kernels, whose factors
    would overflow, are summed one by one. With ``popeq[fast]`` the factors are compiled.
    """
    xx, xy, yy, whole = _inverse(covariance)
    centre = points.sum(axis=0) / len(points)
    x, y = grid.axis(0, ghosts[0]) - centre[0], grid.axis(1, ghosts[1]) - centre[1]
    if abs(xy) * max(-x[0], x[-1]) * max(-y[0], y[-1]) > _SEPARABLE:
        parts = range(0, len(points), _CHUNK)
        each = (_kernels(points[i : i + _CHUNK], grid, covariance, ghosts).sum(axis=0) for i in parts)
        return np.asarray(sum(each))
    own = np.ascontiguousarray(points - centre)
    scale = float(grid.step.prod()) / whole
    if uses_numba():
        from popeq.metrics._sums import kernel_sums

        return np.asarray(kernel_sums(own, x, y, xx, xy, yy) * scale)
    px, py = own[:, :1], own[:, 1:]
    along_x = np.exp(xy * py * x - 0.5 * xx * (x - px) ** 2)
    along_y = np.exp(xy * px * (y - py) - 0.5 * yy * (y - py) ** 2)
    return np.asarray(np.exp(-xy * np.outer(x, y)) * (along_x.T @ along_y) * scale)


def ghosts_of(grid: Grid, covariance: Floats) -> tuple[int, int]:
    """How many cells beyond each edge the kernels reach, along x and y."""
    reach = np.ceil(REACH_SD * np.sqrt(np.diag(covariance)) / grid.step).astype(int)
    return int(reach[0]), int(reach[1])


def _in_box(masses: Floats, grid: Grid, ghosts: tuple[int, int]) -> Densities:
    """Masses (..., cells + 2gx, cells + 2gy) cut to the box, and folded back into it, (..., cells^2) each."""
    standard = masses[..., ghosts[0] : ghosts[0] + grid.cells, ghosts[1] : ghosts[1] + grid.cells]
    reflective = _fold(grid.cells, ghosts[0]).T @ masses @ _fold(grid.cells, ghosts[1])
    shape = (*masses.shape[:-2], -1)
    return Densities(standard.reshape(shape), reflective.reshape(shape))


def unnormalised_densities(points: Floats, grid: Grid, covariance: Floats) -> Densities:
    """Cell masses before they are normalised: the standard ones miss what lies outside the box, the
    reflective ones sum to 1 up to the grid's error."""
    ghosts = ghosts_of(grid, covariance)
    return _in_box(summed_kernels(points, grid, covariance, ghosts) / len(points), grid, ghosts)


def densities(points: Floats, grid: Grid, floor_db: ArrayLike, covariance: Floats | None = None) -> Densities:
    """Standard and reflective kernel densities of points as cell masses that sum to 1.

    The standard density is cut to the box and renormalised. The reflective one folds the kernel mass beyond
    an edge back at all four edges and corners (Schuster 1985; Silverman 1986, section 2.10), so it has no
    boundary bias.

    Parameters
    ----------
    points : (n, 2)
        In the grid's box, dB.
    covariance : (2, 2), optional
        Kernel covariance; ``bandwidth(points, floor_db)`` if not given.
    """
    if covariance is None:
        covariance = bandwidth(points, floor_db)
    standard, reflective = unnormalised_densities(points, grid, covariance)
    return Densities(standard / standard.sum(), reflective / reflective.sum())


def kernel_masses(points: Floats, grid: Grid, floor_db: ArrayLike) -> Densities:
    """The share of each single point in the densities of all: two arrays (n, cells^2), rows summing to about
    1; their mean over rows is proportional to the density. Used for the influence of a listener."""
    covariance = bandwidth(points, floor_db)
    ghosts = ghosts_of(grid, covariance)
    return _in_box(_kernels(points, grid, covariance, ghosts), grid, ghosts)
