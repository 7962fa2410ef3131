"""The signed-rank test and the Hodges-Lehmann shift of every pair of methods at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from popeq.statistics.medians import medians
from popeq.statistics.signed_rank import EXACT_LIMIT, doubled_ranks, signed_rank, signed_rank_distribution

Floats = NDArray[np.float64]

#: Walsh averages that are held at a time.
_AVERAGES = 4_000_000


class Paired(NamedTuple):
    """Tests of row minus column, (n, n) each: ``shift`` (Hodges-Lehmann, in the scores' unit) and ``effect``
    (rank-biserial) with zeros on the diagonal; ``p``, two-sided, with NaN there."""

    shift: Floats
    effect: Floats
    p: Floats


def all_pairs(scores: ArrayLike, *, decimals: int = 9) -> Paired:
    """What ``signed_rank`` and ``hodges_lehmann`` say of each pair of methods.

    Parameters
    ----------
    scores : (n, P)
        One row a method, one column a prompt, any unit.
    decimals
        As for ``signed_rank``.

    Raises
    ------
    ValueError
        If the scores are not 2-D with at least one prompt, or not all finite.
    """
    given = np.asarray(scores, dtype=np.float64)
    if given.ndim != 2 or not given.shape[1] or not np.isfinite(given).all():
        raise ValueError(f"scores must be finite, (methods, prompts); shape {given.shape}")
    n = len(given)
    shift, effect, p = np.zeros((n, n)), np.zeros((n, n)), np.full((n, n), np.nan)
    for i in range(n - 1):
        d = np.round(given[i] - given[i + 1 :], decimals) + 0.0
        shift[i, i + 1 :] = _shifts(d)
        effect[i, i + 1 :], p[i, i + 1 :] = _tests(d)
    lower = np.tril_indices(n, -1)
    p[lower] = p.T[lower]
    return Paired(shift - shift.T, effect - effect.T, p)


def _shifts(d: Floats) -> Floats:
    """Median of the Walsh averages of each row of d (m, P)."""
    i, j = np.triu_indices(d.shape[1])
    rows = max(1, _AVERAGES // len(i))
    parts = []
    for start in range(0, len(d), rows):
        part = d[start : start + rows]
        parts.append(medians(0.5 * (np.take(part, i, axis=1) + np.take(part, j, axis=1))))
    return np.concatenate(parts)


def _tests(d: Floats) -> tuple[Floats, Floats]:
    """Rank-biserial correlation and p of each row of d (m, P)."""
    doubled = doubled_ranks(np.abs(d))
    plus, minus = (np.where(side, doubled, 0).sum(axis=1) for side in (d > 0, d < 0))
    effect = (plus - minus) / np.maximum(plus + minus, 1)
    ranks = np.arange(1, d.shape[1] + 1)
    plain = (d != 0).all(axis=1) & (np.sort(doubled, axis=1) == 2 * ranks).all(axis=1)
    p = np.empty(len(d))
    if d.shape[1] > EXACT_LIMIT:
        plain[:] = False
    elif plain.any():
        below = np.cumsum(signed_rank_distribution(ranks))
        p[plain] = np.minimum(1.0, 2.0 * below[np.minimum(plus, minus)[plain]])
    for row in np.flatnonzero(~plain):
        p[row] = signed_rank(d[row]).p_value
    return effect, p
