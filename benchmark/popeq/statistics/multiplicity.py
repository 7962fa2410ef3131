"""Adjust p-values for how many hypotheses were tested together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def holm(p_values: ArrayLike) -> Floats:
    """Holm's adjusted p-values: rejecting those below alpha keeps the chance of *any* error below alpha.

    Parameters
    ----------
    p_values : (m,)
        The family. NaN marks a test that was not made: it stays NaN and does not count.

    Returns
    -------
    (m,)
        ``max_{j <= i} min(1, (m - j + 1) p_(j))``, in the order given. Valid under any dependence.

    Raises
    ------
    ValueError
        If ``p_values`` is not 1-D or a value is outside [0, 1].

    Notes
    -----
    Holm 1979.
    """

    def step_down(p: Floats) -> Floats:
        return np.maximum.accumulate(p * np.arange(len(p), 0, -1))

    return _adjusted(p_values, step_down)


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Benjamini-Hochberg q-values: of the rejections below alpha, at most a share alpha is wrong on average.

    Parameters
    ----------
    p_values : (m,)
        The family. NaN marks a test that was not made: it stays NaN and does not count.

    Returns
    -------
    (m,)
        ``min_{j >= i} min(1, p_(j) m / j)``, in the order given.

    Raises
    ------
    ValueError
        If ``p_values`` is not 1-D or a value is outside [0, 1].

    Notes
    -----
    Benjamini & Hochberg 1995; proved for independent and for positively dependent tests.
    """

    def step_up(p: Floats) -> Floats:
        scaled = p * (len(p) / np.arange(1, len(p) + 1))
        return np.minimum.accumulate(scaled[::-1])[::-1]

    return _adjusted(p_values, step_up)


def _adjusted(p_values: ArrayLike, on_sorted: Callable[[Floats], Floats]) -> Floats:
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim != 1:
        raise ValueError(f"p-values must be 1-D, not of shape {given.shape}")
    made = np.flatnonzero(~np.isnan(given))
    if ((given[made] < 0.0) | (given[made] > 1.0)).any():
        raise ValueError("p-values must be between 0 and 1")
    order = made[np.argsort(given[made], kind="stable")]
    result = np.full(len(given), np.nan)
    result[order] = np.minimum(on_sorted(given[order]), 1.0)
    return result
