"""Ranks as ranges that the tests of all pairs allow."""

from __future__ import annotations

import numpy as np
import pytest

from popeq.statistics import rank_ranges


def test_by_hand():
    shift = np.array([[0, -1, -3], [1, 0, -2], [3, 2, 0.0]])
    p = np.array([[np.nan, 0.2, 0.01], [0.2, np.nan, 0.04], [0.01, 0.04, np.nan]])
    best, worst = rank_ranges(shift, p)
    assert (best.tolist(), worst.tolist()) == ([1, 1, 3], [2, 2, 3])
    best, worst = rank_ranges(shift, p, alpha=0.03)
    assert (best.tolist(), worst.tolist()) == ([1, 1, 2], [2, 3, 3])


def test_without_tests_every_rank_is_possible():
    best, worst = rank_ranges(np.zeros((4, 4)), np.full((4, 4), np.nan))
    assert (best.tolist(), worst.tolist()) == ([1] * 4, [4] * 4)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="square"):
        rank_ranges(np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="square"):
        rank_ranges(np.zeros((2, 2)), np.zeros((3, 3)))
