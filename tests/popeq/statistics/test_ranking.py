"""Ranks by hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest

from popeq.statistics import contradictions, tie_groups

NAN = float("nan")


def symmetric(n, pairs, other=1.0):
    """An (n, n) matrix of q-values: ``pairs[i, j]`` both ways, ``other`` elsewhere, NaN on the diagonal."""
    q = np.full((n, n), other)
    for (i, j), value in pairs.items():
        q[i, j] = q[j, i] = value
    np.fill_diagonal(q, NAN)
    return q


def test_nothing_separated_is_one_rank_and_everything_separated_is_the_sort():
    values = [2.0, 1.0, 3.0]
    assert tie_groups(values, symmetric(3, {})).tolist() == [1, 1, 1]
    assert tie_groups(values, symmetric(3, {}, other=0.001)).tolist() == [2, 1, 3]
    assert tie_groups(values, symmetric(3, {}, other=NAN)).tolist() == [1, 1, 1]


def test_ranks_skip_the_places_that_are_shared():
    # Sorted: 1, 3, 0, 2. Leader 1 ties with 3; 0 is separated from 1 and leads; 2 ties with 0.
    q = symmetric(4, {(1, 0): 0.01, (1, 2): 0.01})
    assert tie_groups([3.0, 1.0, 4.0, 2.0], q).tolist() == [3, 1, 3, 1]


def test_only_the_leader_counts():
    # 1 and 2 differ, but neither can be told from the leader 0: one group all the same.
    assert tie_groups([1.0, 2.0, 3.0], symmetric(3, {(1, 2): 0.001})).tolist() == [1, 1, 1]
    # 2 is separated from the first leader and opens a group; 3 is judged by 2, not by 0.
    q = symmetric(4, {(0, 2): 0.01, (0, 3): 0.01, (1, 3): 0.01})
    assert tie_groups([1.0, 2.0, 3.0, 4.0], q).tolist() == [1, 1, 3, 3]


def test_alpha_is_strict_and_adjustable():
    q = symmetric(2, {(0, 1): 0.05})
    assert tie_groups([1.0, 2.0], q).tolist() == [1, 1]
    assert tie_groups([1.0, 2.0], q, alpha=0.06).tolist() == [1, 2]


def test_a_shift_against_the_sort_does_not_push_a_method_down():
    q = symmetric(2, {(0, 1): 0.01})
    better_below = np.array([[0.0, 0.3], [-0.3, 0.0]])  # 0 is worse than 1 although its value is lower
    assert tie_groups([1.0, 2.0], q).tolist() == [1, 2]
    assert tie_groups([1.0, 2.0], q, better_below).tolist() == [1, 1]
    assert tie_groups([1.0, 2.0], q, -better_below).tolist() == [1, 2]


def test_contradictions_are_significant_and_point_against_the_sort():
    values = [3.0, 1.0, 2.0]  # sorted: 1, 2, 0
    q = symmetric(3, {(1, 2): 0.01, (1, 0): 0.01, (2, 0): 0.2})
    shift = np.zeros((3, 3))
    shift[1, 2], shift[2, 1] = 0.4, -0.4  # 1 is worse than 2: against the sort, significant
    shift[1, 0], shift[0, 1] = -0.5, 0.5  # 1 is better than 0: as sorted
    shift[2, 0], shift[0, 2] = 0.1, -0.1  # 2 is worse than 0: against the sort, not significant
    assert contradictions(values, q, shift, 0.05) == [(1, 2)]
    assert contradictions(values, q, shift, 0.3) == [(1, 2), (2, 0)]
    assert contradictions(values, q, -shift, 0.05) == [(1, 0)]


def test_equal_values_keep_the_order_given():
    q = symmetric(2, {(0, 1): 0.01})
    shift = np.array([[0.0, 0.3], [-0.3, 0.0]])
    assert tie_groups([1.0, 1.0], q).tolist() == [1, 2]
    assert contradictions([1.0, 1.0], q, shift, 0.05) == [(0, 1)]


def test_no_methods_and_errors():
    assert tie_groups([], np.zeros((0, 0))).tolist() == []
    with pytest.raises(ValueError, match="q_matrix"):
        tie_groups([1.0, 2.0], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="shift_matrix"):
        contradictions([1.0, 2.0], np.zeros((2, 2)), np.zeros((1, 1)), 0.05)
    with pytest.raises(ValueError, match="order values"):
        tie_groups([1.0, NAN], np.zeros((2, 2)))
