"""Is one method better than another on the same prompts, by how much, and how much could have been seen?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The null distribution is exact up to this many pairs: below a tenth of a second, and normal by then.
EXACT_LIMIT = 500
_EFFICIENCY = 3.0 / math.pi


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


@dataclass(frozen=True)
class Estimate:
    """A value with its confidence interval, in the unit of the data.

    ``level`` is the confidence that was asked for, ``attained`` the least confidence that the closed
    interval [low, high] has: a rank interval cannot meet every level, and never falls short of it.
    """

    value: float
    low: float
    high: float
    level: float
    attained: float


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
    d = _checked(differences, decimals)
    doubled = doubled_ranks(np.abs(d))
    plus, minus = int(doubled[d > 0].sum()), int(doubled[d < 0].sum())
    kept = doubled[d != 0]
    exact = len(kept) <= EXACT_LIMIT
    return SignedRank(
        statistic_plus=plus / 2.0,
        statistic_minus=minus / 2.0,
        n=len(d),
        n_zero=len(d) - len(kept),
        p_value=_exact_p(kept, min(plus, minus)) if exact else _normal_p(kept, plus - minus),
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
    return _distribution(doubled.astype(np.int64))


def hodges_lehmann(differences: ArrayLike, *, level: float = 0.95, decimals: int = 9) -> Estimate:
    """The shift between paired methods: median of the Walsh averages, with the signed-rank interval.

    Parameters
    ----------
    differences : (n,)
        One difference for each prompt, any unit; rounded as ``signed_rank`` does, so that the two agree.
    level
        Confidence to reach, in (0, 1).

    Returns
    -------
    Estimate
        In the unit of the differences. (-inf, inf) with ``attained`` 1 if n is too small for the level.

    Raises
    ------
    ValueError
        As ``signed_rank``, or if the level is not inside (0, 1).

    Notes
    -----
    Hodges & Lehmann 1963; interval: Hollander, Wolfe & Chicken 2014, section 3.4. With C the largest rank
    such that ``P(W+ <= C - 1) <= (1 - level) / 2``, it reaches from the C-th smallest to the C-th largest of
    the n (n + 1) / 2 averages. Assumes that differences are symmetric about the shift; ties make it wider.
    Exact up to ``EXACT_LIMIT`` pairs, normal quantiles beyond. Takes 4 n^2 bytes.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    d = _checked(differences, decimals)
    depth, attained = _interval_depth(len(d), (1.0 - level) / 2.0)
    averages = _walsh_averages(d)
    last = len(averages) - 1
    wanted = [last // 2, (last + 1) // 2] + ([depth - 1, last + 1 - depth] if depth else [])
    found = np.partition(averages, wanted)[wanted]
    low, high = (float(found[2]), float(found[3])) if depth else (-math.inf, math.inf)
    return Estimate(float(found[:2].mean()), low, high, level, attained)


def detectable_shift(differences_sd: float, n: int, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Least true shift that the signed-rank test finds with the given power in n pairs.

    ``(z[1 - alpha / 2] + z[power]) * sd / sqrt(n * 3 / pi)``: the two-sided z-test on normal differences,
    less efficient by 3 / pi (Pitman; Hodges & Lehmann 1956). Asymptotic, hence hopeful: the power is 4 points
    short at n = 30, 10 at n = 12. Infinite where n pairs can never reach alpha.

    Parameters
    ----------
    differences_sd
        Standard deviation of the paired differences, any unit; the result has the same.

    Raises
    ------
    ValueError
        If the deviation is negative or not finite, n < 1, or alpha or power is not inside (0, 1).
    """
    if not (math.isfinite(differences_sd) and differences_sd >= 0.0):
        raise ValueError(f"the standard deviation must be finite and not negative, not {differences_sd}")
    if n < 1 or not (0.0 < alpha < 1.0 and 0.0 < power < 1.0):
        raise ValueError(f"need n >= 1, alpha and power inside (0, 1); not {n}, {alpha}, {power}")
    if 2.0 ** (1 - n) > alpha:
        return math.inf
    from scipy.special import ndtri

    reach = float(ndtri(1.0 - alpha / 2.0) + ndtri(power))
    return max(reach, 0.0) * differences_sd / math.sqrt(n * _EFFICIENCY)


def doubled_ranks(values: ArrayLike) -> Ints:
    """Twice the mid-ranks along the last axis, which are whole numbers, (..., n) of (..., n)."""
    given = np.asarray(values, dtype=np.float64)
    order = np.argsort(given, axis=-1)
    ordered = np.take_along_axis(given, order, axis=-1)
    place = np.arange(given.shape[-1])
    rises = ordered[..., 1:] != ordered[..., :-1]
    first, last = np.zeros(given.shape, dtype=np.int64), np.full(given.shape, len(place) - 1)
    first[..., 1:] = np.where(rises, place[1:], 0)
    last[..., :-1] = np.where(rises, place[:-1], len(place) - 1)
    first = np.maximum.accumulate(first, axis=-1)
    last = np.minimum.accumulate(last[..., ::-1], axis=-1)[..., ::-1]
    ranks = np.empty_like(first)
    np.put_along_axis(ranks, order, first + last + 2, axis=-1)
    return ranks


def _checked(differences: ArrayLike, decimals: int) -> Floats:
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or not len(d):
        raise ValueError(f"differences must be 1-D and not empty, not of shape {d.shape}")
    if not np.isfinite(d).all():
        raise ValueError(f"{int((~np.isfinite(d)).sum())} of {len(d)} differences are not finite")
    return np.round(d, decimals) + 0.0  # a rounded -1e-16 is -0.0, which would print its sign


def _exact_p(doubled: Ints, smaller: int) -> float:
    # The null distribution is symmetric, so both tails are twice the one that holds the smaller rank sum.
    return min(1.0, 2.0 * float(_distribution(np.sort(doubled))[: smaller + 1].sum()))


def _normal_p(doubled: Ints, plus_minus: int) -> float:
    deviation = max(abs(plus_minus) / 2.0 - 1.0, 0.0)  # in doubled ranks, where the correction of 1/2 is 1
    sd = math.sqrt(float(np.square(doubled.astype(np.float64)).sum())) / 2.0
    return math.erfc(deviation / sd / math.sqrt(2.0))


def _distribution(doubled: Ints) -> Floats:
    """P(2 W+ = k) for k = 0 ... sum(doubled), given sorted doubled ranks."""
    n = len(doubled)
    if np.array_equal(doubled, 2 * np.arange(1, n + 1)):
        return _untied_distribution(n)
    return _convolved(doubled)


@lru_cache(maxsize=8)
def _untied_distribution(n: int) -> Floats:
    return _convolved(2 * np.arange(1, n + 1))


def _convolved(doubled: Ints) -> Floats:
    """Count the sign patterns for each rank sum, one rank at a time.

    Only additions of positive numbers, so that the far tails keep their relative precision (an FFT would
    not); only up to the middle, the rest is its mirror image.
    """
    step = int(np.gcd.reduce(doubled)) if len(doubled) else 1
    ranks = doubled // step
    total = int(ranks.sum())
    half = total // 2
    counts = np.zeros(half + 1)
    counts[0] = 1.0
    reached = 0
    for rank in ranks.tolist():
        reached = min(reached + rank, half)
        if rank <= reached:
            counts[rank : reached + 1] += counts[: reached + 1 - rank]
    counts *= 0.5 ** len(ranks)
    probabilities = np.zeros(step * total + 1)
    probabilities[: step * half + 1 : step] = counts
    probabilities[step * (total - half) :: step] = counts[::-1]
    probabilities.setflags(write=False)
    return probabilities


def _walsh_averages(d: Floats) -> Floats:
    """(d_i + d_j) / 2 for i <= j, (n (n + 1) / 2,), without index arrays twice as large as the result."""
    averages = np.empty(len(d) * (len(d) + 1) // 2)
    start = 0
    for i in range(len(d)):
        stop = start + len(d) - i
        np.add(d[i:], d[i], out=averages[start:stop])
        start = stop
    averages *= 0.5
    return averages


def _interval_depth(n: int, tail: float) -> tuple[int, float]:
    """How many Walsh averages to leave out on each side, plus one (0: no interval), and the confidence."""
    if n <= EXACT_LIMIT:
        below = np.cumsum(_untied_distribution(n)[::2])
        depth = int(np.searchsorted(below, tail, side="right"))
        return depth, 1.0 - 2.0 * float(below[depth - 1]) if depth else 1.0
    from scipy.special import ndtr, ndtri

    mean, sd = n * (n + 1) / 4.0, math.sqrt(n * (n + 1) * (2 * n + 1) / 24.0)
    depth = math.floor(mean + sd * float(ndtri(tail)) + 0.5)
    return max(depth, 0), 1.0 - 2.0 * float(ndtr((depth - 0.5 - mean) / sd)) if depth > 0 else 1.0
