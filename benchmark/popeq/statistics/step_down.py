"""All pairs of rows at once, with a family-wise error that worse rows cannot loosen, and ranks from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from popeq.statistics.mean_inference import Panels, rounded, standard_errors, two_sided_p
from popeq.typing import Floats, Ints

#: Bootstrap replicates of the largest statistic, and pairs whose replicates are in memory at a time.
REPLICATES = 4999
_PAIRS_AT_ONCE = 256


class Paired(NamedTuple):
    """Comparisons of row minus column, (n, n) each: ``shift`` (mean difference over prompts, in the scores'
    unit) and its standard error ``se``, zeros on the diagonal; ``effect``, the shift in standard deviations
    over prompts; ``p``, two-sided, and ``p_family``, the same with the error over all pairs held, NaN on the
    diagonal."""

    shift: Floats
    se: Floats
    effect: Floats
    p: Floats
    p_family: Floats


def all_pairs(
    scores: ArrayLike,
    influence: Sequence[Sequence[ArrayLike]],
    panels: Panels,
    rng: np.random.Generator,
    replicates: int = REPLICATES,
) -> Paired:
    """Every pair of n rows by the mean difference over prompts, and adjusted for all pairs together.

    Parameters
    ----------
    scores : (n, P)
        One row a method, one column a prompt, any unit.
    influence
        ``influence[i][p]`` (m_p,), as for ``mean_inference``.
    rng
        Draws the bootstrap's multipliers.

    Raises
    ------
    ValueError
        If shapes do not fit the panels, or a number is not finite.

    Notes
    -----
    Step-down maximum statistic (Romano & Wolf 2005) with a multiplier bootstrap (Chernozhukov, Chetverikov
    & Kato 2013): in a replicate every prompt and every person gets one normal multiplier, the same for all
    rows, so that the pairs' statistics depend on each other as the data say. p values come from Student's t
    (``two_sided_p``), the joint distribution from the replicates; an adjusted p is never below its own p and
    never above Holm's (1979). A row that is worse than all others adds hypotheses but is compared in steps
    before the others, so it can only raise an adjusted p, never lower one.
    """
    given = rounded(scores)
    if given.ndim != 2 or given.shape[1] != panels.prompts or len(influence) != len(given):
        raise ValueError(f"scores must be ({len(influence)}, {panels.prompts}), not {given.shape}")
    n = len(given)
    answers = np.array([panels.contributions(own) for own in influence]).reshape(n, -1)
    people = panels.totals(answers)
    i, j = np.triu_indices(n, 1)
    shift, se, df, sd, share = (np.empty(len(i)) for _ in range(5))
    for first in range(n - 1):
        at = i == first
        d, a = given[first] - given[first + 1 :], answers[first] - answers[first + 1 :]
        shift[at] = d.mean(axis=1)
        se[at], df[at], sd[at], se_people = standard_errors(d, a, panels)
        whole = np.sqrt(np.square(people[first] - people[first + 1 :]).sum(axis=1))
        share[at] = np.divide(se_people, whole, out=np.zeros_like(whole), where=whole > 0.0)
    p = two_sided_p(shift, se, df)
    by_prompt = _of_prompts(given, replicates, rng)
    by_person = _multiplied(people, replicates, rng)

    def drawn(pairs: NDArray[np.intp]) -> Floats:
        a, b = i[pairs], j[pairs]
        return _standardised(by_prompt[a] - by_prompt[b] + share[pairs, None] * (by_person[a] - by_person[b]))

    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.where(shift == 0.0, 0.0, shift / sd)
    found = [(shift, -1.0), (se, 1.0), (effect, -1.0), (p, 1.0), (step_down(p, drawn, replicates), 1.0)]
    square = np.zeros((len(found), n, n))
    for matrix, (values, sign) in zip(square, found, strict=True):
        matrix[i, j] = values
        matrix[j, i] = sign * values
    square[3:, range(n), range(n)] = np.nan
    return Paired(*square)


class Family(NamedTuple):
    """Means tested together: ``p_family`` (m,), p of each adjusted for all of them, and ``level``, that of a
    single interval such that all m hold together with probability 1 - alpha."""

    p_family: Floats
    level: float


def family(
    scores: ArrayLike,
    influence: Sequence[Sequence[ArrayLike]],
    panels: Panels,
    rng: np.random.Generator,
    alpha: float = 0.05,
) -> Family:
    """The means over prompts of m rows of differences, each tested against 0, adjusted for all together.

    Parameters
    ----------
    scores : (m, P)
        Paired differences of scores, any unit, one column a prompt.
    influence
        ``influence[i][p]`` (m_p,), as for ``mean_inference``.
    rng
        Draws the bootstrap's multipliers.

    Raises
    ------
    ValueError
        If shapes do not fit the panels, or a number is not finite.

    Notes
    -----
    As ``all_pairs``, with each row a test of its own. Rows that depend on each other, such as one method in
    several variants, are adjusted by less than Holm's method would.
    """
    given = rounded(scores)
    if given.ndim != 2 or given.shape[1] != panels.prompts or len(influence) != len(given):
        raise ValueError(f"scores must be ({len(influence)}, {panels.prompts}), not {given.shape}")
    answers = np.array([panels.contributions(own) for own in influence]).reshape(len(given), -1)
    people = panels.totals(answers)
    se, df, _, se_people = standard_errors(given, answers, panels)
    p = two_sided_p(given.mean(axis=1), se, df)
    whole = np.sqrt(np.square(people).sum(axis=1))
    share = np.divide(se_people, whole, out=np.zeros_like(whole), where=whole > 0.0)
    part = _of_prompts(given, REPLICATES, rng)
    part = _standardised(part + share[:, None] * _multiplied(people, REPLICATES, rng))
    made = np.flatnonzero(~np.isnan(p))
    if not len(made):
        return Family(p, alpha)
    reached = float(np.quantile(part[made].max(axis=0), 1.0 - alpha))
    level = float(np.clip(2.0 * ndtr(-reached), alpha / len(made), alpha))
    return Family(step_down(p, lambda rows: part[rows], REPLICATES), level)


def _of_prompts(scores: Floats, replicates: int, rng: np.random.Generator) -> Floats:
    """Replicates (n, B) of the part of the means' error that prompts make, scores (n, P)."""
    prompts = scores.shape[1]
    drawn = _multiplied(scores - scores.mean(axis=1, keepdims=True), replicates, rng)
    return np.asarray(drawn / np.sqrt(prompts * max(prompts - 1.0, 1.0)))


def _standardised(part: Floats) -> Floats:
    """The sizes of replicates (n, B) in standard deviations of each row; ``part`` is overwritten."""
    scale = np.sqrt(np.square(part).mean(axis=1, keepdims=True))
    return np.asarray(np.abs(np.divide(part, scale, out=part, where=scale > 0.0)))


def _multiplied(effects: Floats, replicates: int, rng: np.random.Generator) -> Floats:
    """Sums (n, B) of effects (n, k) times normal multipliers, the same for all rows."""
    return np.asarray(effects @ rng.standard_normal((effects.shape[1], replicates)))


def step_down(p_values: ArrayLike, drawn: Callable[[NDArray[np.intp]], Floats], replicates: int) -> Floats:
    """Adjusted p of a family of two-sided tests: rejecting those below alpha keeps the chance of *any* error
    below alpha.

    Parameters
    ----------
    p_values : (m,)
        The tests' own p. NaN marks a test that was not made: it stays NaN and does not count.
    drawn
        ``drawn(k)`` gives the absolute standard normal statistics (len(k), B) of the tests k under their
        hypotheses, drawn together.
    replicates
        B.

    Returns
    -------
    (m,)
        With p sorted, the largest over steps up to a test's own of the share of replicates in which the
        largest statistic of the tests not yet rejected reaches it (Romano & Wolf 2005), but no more than
        Holm's (m - k + 1) p, which holds whatever the dependence, and no less than p.
    """
    given = np.asarray(p_values, dtype=np.float64)
    made = np.flatnonzero(~np.isnan(given))
    order = made[np.argsort(given[made], kind="stable")]
    p = given[order]
    reached = -ndtri(np.maximum(p, 1e-300) / 2.0)
    share = np.empty(len(p))
    largest = np.zeros(replicates)
    for stop in range(len(order), 0, -_PAIRS_AT_ONCE):
        at = np.arange(max(stop - _PAIRS_AT_ONCE, 0), stop)
        rest = np.maximum.accumulate(np.maximum(drawn(order[at])[::-1], largest), axis=0)
        largest = rest[-1]
        share[at] = ((rest[::-1] >= reached[at, None]).sum(axis=1) + 1.0) / (replicates + 1.0)
    single = np.minimum(p * np.arange(len(p), 0, -1), 1.0)
    adjusted = np.full(len(given), np.nan)
    adjusted[order] = np.maximum(np.maximum.accumulate(np.minimum(share, single)), p)
    return adjusted


def holm(p_values: ArrayLike) -> Floats:
    """p adjusted so that any wrong rejection of m tests has at most the level as its chance (Holm 1979).

    ``p_values`` (m,); NaN, where nothing was tested, stays so and does not count. Returns (m,).
    """
    given = np.asarray(p_values, dtype=np.float64)
    made = np.flatnonzero(~np.isnan(given))
    order = made[np.argsort(given[made], kind="stable")]
    adjusted = np.full(len(given), np.nan)
    steps = given[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.maximum.accumulate(np.minimum(steps, 1.0))
    return adjusted


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
