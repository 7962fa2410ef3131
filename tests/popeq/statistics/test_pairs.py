"""All pairs at once say what the single tests say of each pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from popeq.statistics import EXACT_LIMIT, all_pairs, hodges_lehmann, medians, pairs, signed_rank


def singly(scores):
    n = len(scores)
    shift, effect, p = np.zeros((n, n)), np.zeros((n, n)), np.full((n, n), np.nan)
    for i in range(n):
        for j in set(range(n)) - {i}:
            test = signed_rank(scores[i] - scores[j])
            shift[i, j] = hodges_lehmann(scores[i] - scores[j]).value
            effect[i, j], p[i, j] = test.rank_biserial, test.p_value
    return shift, effect, p


def check(scores):
    for found, expected in zip(all_pairs(scores), singly(scores), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@given(seed=st.integers(0, 2**32 - 1), prompts=st.integers(1, 12), decimals=st.sampled_from([0, 1, 6]))
def test_they_are_the_single_tests(seed, prompts, decimals):
    """Few decimals make ties and zeros."""
    check(np.round(np.random.default_rng(seed).normal(2, 1, (4, prompts)), decimals))


def test_in_parts_as_in_one_piece(monkeypatch):
    scores = np.random.default_rng(1).normal(2, 1, (7, 9))
    whole = all_pairs(scores)
    monkeypatch.setattr(pairs, "_AVERAGES", 100)
    assert np.array_equal(all_pairs(scores).shift, whole.shift)


def test_beyond_the_exact_limit():
    check(np.random.default_rng(2).normal(2, 1, (2, EXACT_LIMIT + 1)))


def test_one_method_has_no_pair():
    assert np.isnan(all_pairs([[1.0, 2.0]]).p).all()


@pytest.mark.parametrize("scores", [[1.0, 2.0], [[], []], [[1.0, np.nan]], []])
def test_what_is_no_table_of_scores_is_refused(scores):
    with pytest.raises(ValueError, match="scores must be finite"):
        all_pairs(scores)


@pytest.mark.parametrize("shape", [(1,), (2,), (7,), (5, 8), (2, 3, 9)])
def test_medians_are_those_of_numpy(shape):
    values = np.round(np.random.default_rng(3).normal(size=shape), 1)
    assert np.array_equal(medians(values), np.median(values, axis=-1))
    with pytest.raises(ValueError, match="at least one"):
        medians(np.empty((3, 0)))
