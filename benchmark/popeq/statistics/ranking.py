"""Ranks that claim no more than the tests of all pairs show."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from popeq.typing import Ints


def rank_ranges(shift: ArrayLike, p_family: ArrayLike, alpha: float = 0.05) -> tuple[Ints, Ints]:
    """The best and the worst rank of each row that the tests of all pairs allow, (n,) each, from 1.

    Parameters
    ----------
    shift : (n, n)
        Shift of row minus column; positive means that the row is worse.
    p_family : (n, n)
        p of the pairs, adjusted for all of them, symmetric. NaN (not tested) separates nothing.
    alpha
        Level: a p below it separates two rows.

    Returns
    -------
    best, worst : (n,)
        1 + the number of rows that are significantly better, and n less the number that are significantly
        worse. With probability 1 - alpha or more, the true rank of *every* row lies in its range.

    Raises
    ------
    ValueError
        If the matrices are not square and of one shape.

    Notes
    -----
    Ranges of ranks from tests of all pairs: Al Mohamad, van Zwet, Goeman & Solari 2022.
    """
    shifts, p = np.asarray(shift, dtype=np.float64), np.asarray(p_family, dtype=np.float64)
    if shifts.ndim != 2 or shifts.shape[0] != shifts.shape[1] or p.shape != shifts.shape:
        raise ValueError(f"need two square matrices of one shape, not {shifts.shape} and {p.shape}")
    apart = p < alpha
    worse_than = (apart & (shifts > 0.0)).sum(axis=1)
    better_than = (apart & (shifts < 0.0)).sum(axis=1)
    return 1 + worse_than, len(shifts) - better_than
