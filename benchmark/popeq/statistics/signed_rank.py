"""Wilcoxon's signed-rank test of paired differences, exact, as the paper reports it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from popeq.typing import Floats

#: The null distribution is exact up to this many pairs: below a tenth of a second, and normal by then.
EXACT_LIMIT = 500


@dataclass(frozen=True)
class SignedRank:
    """A signed-rank test of paired differences.

    ``statistic_plus`` and ``statistic_minus`` are the rank sums of the positive and of the negative
    differences; ``n`` counts all pairs, of which ``n_zero`` are equal; ``p_value`` is two-sided, from the
    exact null distribution if ``exact``; ``rank_biserial`` is the effect size in [-1, 1], positive where
    the differences are.
    """

    statistic_plus: float
    statistic_minus: float
    n: int
    n_zero: int
    p_value: float
    exact: bool
    rank_biserial: float


def signed_rank(differences: ArrayLike, *, decimals: int = 9) -> SignedRank:
    """Wilcoxon signed-rank test that paired differences are symmetric about zero.

    Parameters
    ----------
    differences : (n,)
        One difference for each prompt, any unit.
    decimals
        Differences are rounded to this many decimals first: equal scores that were added up in another
        order differ by 1e-16, all in one direction if need be, and ranks see no sizes.

    Raises
    ------
    ValueError
        If there are no differences, or some are not finite, or they are not 1-D.

    Notes
    -----
    Wilcoxon 1945. Zeros are ranked, then left out (Pratt 1959); ties get mid-ranks. The null distribution
    is that of random signs given these ranks, exact with ties and zeros too. Beyond ``EXACT_LIMIT``
    non-zero pairs it is normal, with the variance that those ranks give (``sum r_i^2 / 4``) and a continuity
    correction of 1/2. Effect size: ``(W+ - W-) / (W+ + W-)`` (Kerby 2014), 0 if every difference is.
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or not len(d):
        raise ValueError(f"differences must be 1-D and not empty, not of shape {d.shape}")
    if not np.isfinite(d).all():
        raise ValueError(f"{int((~np.isfinite(d)).sum())} of {len(d)} differences are not finite")
    d = np.round(d, decimals) + 0.0  # a rounded -1e-16 is -0.0, which would print its sign
    doubled = np.rint(2.0 * rankdata(np.abs(d))).astype(np.int64)  # mid-ranks are multiples of 1/2
    plus, minus = int(doubled[d > 0].sum()), int(doubled[d < 0].sum())
    kept = doubled[d != 0]
    exact = len(kept) <= EXACT_LIMIT
    if exact:  # the null distribution is symmetric: both tails are twice that of the smaller rank sum
        tail = _distribution(tuple(np.sort(kept).tolist()))[: min(plus, minus) + 1]
        p_value = min(1.0, 2.0 * float(tail.sum()))
    else:
        deviation = max(abs(plus - minus) / 2.0 - 1.0, 0.0)  # doubled ranks: the correction of 1/2 is 1
        sd = math.sqrt(float(np.square(kept.astype(np.float64)).sum())) / 2.0
        p_value = math.erfc(deviation / sd / math.sqrt(2.0))
    return SignedRank(
        statistic_plus=plus / 2.0,
        statistic_minus=minus / 2.0,
        n=len(d),
        n_zero=len(d) - len(kept),
        p_value=p_value,
        exact=exact,
        rank_biserial=(plus - minus) / (plus + minus) if len(kept) else 0.0,
    )


def signed_rank_distribution(ranks: ArrayLike) -> Floats:
    """Null distribution of twice the positive rank sum, given the ranks (n,) of the non-zero differences.

    Returns
    -------
    (2 * sum(ranks) + 1,)
        ``result[k]`` is the probability that ``2 W+ = k`` when every sign is a fair coin. Read-only.

    Raises
    ------
    ValueError
        If a rank is not a positive multiple of 1/2, or there are more than ``EXACT_LIMIT``.
    """
    given = np.asarray(ranks, dtype=np.float64)
    if given.ndim != 1 or len(given) > EXACT_LIMIT:
        raise ValueError(f"ranks must be 1-D and at most {EXACT_LIMIT}, not of shape {given.shape}")
    doubled = np.sort(2.0 * given)
    if not (np.isfinite(doubled).all() and (doubled > 0).all() and (doubled == np.rint(doubled)).all()):
        raise ValueError("ranks must be positive multiples of 1/2")
    return _distribution(tuple(doubled.astype(np.int64).tolist()))


@lru_cache(maxsize=8)
def _distribution(doubled: tuple[int, ...]) -> Floats:
    """P(2 W+ = k) for k = 0 ... sum(doubled), given sorted doubled ranks: counts the sign patterns for each
    rank sum, one rank at a time.

    Only additions of positive numbers, so that the far tails keep their relative precision (an FFT would
    not); only up to the middle, the rest is its mirror image.
    """
    step = math.gcd(*doubled) or 1
    ranks = [rank // step for rank in doubled]
    total = sum(ranks)
    half = total // 2
    counts = np.zeros(half + 1)
    counts[0] = 1.0
    reached = 0
    for rank in ranks:
        reached = min(reached + rank, half)
        if rank <= reached:
            counts[rank : reached + 1] += counts[: reached + 1 - rank]
    counts *= 0.5 ** len(ranks)
    probabilities = np.zeros(step * total + 1)
    probabilities[: step * half + 1 : step] = counts
    probabilities[step * (total - half) :: step] = counts[::-1]
    probabilities.setflags(write=False)
    return probabilities
