"""Turn a sorted list and pairwise tests into ranks that claim no more than the tests do."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def tie_groups(
    order_values: ArrayLike,
    q_matrix: ArrayLike,
    shift_matrix: ArrayLike | None = None,
    *,
    alpha: float = 0.05,
) -> NDArray[np.int64]:
    """Competition ranks (1, 1, 3, ...) in which methods that cannot be told from a group's best share a rank.

    Walks down the methods sorted by ``order_values``, lower first, equal ones in the order given. A method
    joins the current group unless the test separates it from the group's *leader*, its best: then it leads
    a new group. Two members of one group may differ significantly from each other; the relation is not
    transitive, and the leader is what readers compare with.

    Parameters
    ----------
    order_values : (n,)
        What methods are sorted by, such as the median score, dB.
    q_matrix : (n, n)
        Adjusted p-values of the pairs, symmetric. NaN (not tested) does not separate.
    shift_matrix : (n, n), optional
        Shift of row minus column, dB; positive means that the row is worse. If given, only a leader that is
        *better* separates: a method that the test finds better than its leader, against the sort, is not
        ranked below it for that (``contradictions`` lists such pairs).
    alpha
        A q-value below separates.

    Returns
    -------
    (n,)
        Ranks from 1, in the order of the input.

    Raises
    ------
    ValueError
        If shapes do not fit or an order value is NaN.
    """
    order, separated = _sorted_and_separated(order_values, q_matrix, alpha)
    if shift_matrix is not None:
        separated &= _square(shift_matrix, len(order), "shift_matrix") > 0.0
    ranks = np.zeros(len(order), dtype=np.int64)
    leader, rank = -1, 0
    for position, method in enumerate(order.tolist(), start=1):
        if leader < 0 or separated[method, leader]:
            leader, rank = method, position
        ranks[method] = rank
    return ranks


def contradictions(
    order_values: ArrayLike, q_matrix: ArrayLike, shift_matrix: ArrayLike, alpha: float = 0.05
) -> list[tuple[int, int]]:
    """Pairs (i, j) where i is sorted before j, although the test finds j better.

    Parameters, sorting and errors as for ``tie_groups``. Pairs come in sorted order.
    """
    order, separated = _sorted_and_separated(order_values, q_matrix, alpha)
    against = separated & (_square(shift_matrix, len(order), "shift_matrix") > 0.0)
    walk = order.tolist()
    return [(i, j) for at, i in enumerate(walk) for j in walk[at + 1 :] if against[i, j]]


def _sorted_and_separated(
    order_values: ArrayLike, q_matrix: ArrayLike, alpha: float
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    values = np.asarray(order_values, dtype=np.float64)
    if values.ndim != 1 or np.isnan(values).any():
        raise ValueError(f"order values must be 1-D and not NaN; shape {values.shape}")
    return np.argsort(values, kind="stable"), _square(q_matrix, len(values), "q_matrix") < alpha


def _square(matrix: ArrayLike, n: int, name: str) -> Floats:
    result = np.asarray(matrix, dtype=np.float64)
    if result.shape != (n, n):
        raise ValueError(f"{name} must have shape ({n}, {n}), not {result.shape}")
    return result
