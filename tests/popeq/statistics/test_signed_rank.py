"""The signed-rank test and what goes with it, against enumeration, SciPy and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata, wilcoxon

from popeq.statistics import (
    EXACT_LIMIT,
    signed_rank,
    signed_rank_distribution,
)

# Few distinct sizes, so that most examples have ties and zeros.
coarse = st.integers(1, 12).flatmap(
    lambda n: arrays(np.float64, n, elements=st.integers(-4, 4).map(lambda k: k / 4))
)
fine = st.integers(1, 40).flatmap(
    lambda n: arrays(np.float64, n, elements=st.floats(-20, 20, allow_nan=False, width=32))
)


def brute_force(differences):
    """Statistics and p-value from all sign patterns of the non-zero differences."""
    ranks = rankdata(np.abs(differences))[differences != 0]
    plus = ranks[differences[differences != 0] > 0].sum()
    centre = ranks.sum() / 2
    signs = np.array(list(itertools.product([0.0, 1.0], repeat=len(ranks))))
    return plus, ranks.sum() - plus, np.mean(np.abs(signs @ ranks - centre) >= abs(plus - centre))


@given(coarse)
@settings(max_examples=150, deadline=None)
def test_p_value_is_that_of_all_sign_patterns_with_ties_and_zeros(differences):
    plus, minus, p = brute_force(differences)
    result = signed_rank(differences)
    assert (result.statistic_plus, result.statistic_minus) == (plus, minus)
    assert result.p_value == pytest.approx(p, rel=1e-12)
    assert (result.n, result.n_zero, result.exact) == (len(differences), int((differences == 0).sum()), True)


def test_pratt_ranks_the_zeros_and_then_leaves_them_out():
    # |d| = 0, 0, 1, 2, 3 has ranks 1.5, 1.5, 3, 4, 5; Wilcoxon's own rule would give 1, 2, 3.
    result = signed_rank([0.0, 1.0, -2.0, 0.0, 3.0])
    assert (result.statistic_plus, result.statistic_minus, result.n_zero) == (8.0, 4.0, 2)
    assert result.rank_biserial == pytest.approx(4 / 12)


@pytest.mark.parametrize("n", [1, 2, 7, 30, 60, 300, EXACT_LIMIT])
def test_agrees_with_scipy_exact_without_ties_and_zeros(n):
    differences = np.random.default_rng(n).normal(0.15, 1.0, n)
    expected = wilcoxon(differences, method="exact")
    result = signed_rank(differences)
    assert min(result.statistic_plus, result.statistic_minus) == expected.statistic
    assert result.exact
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize("decimals", [9, 1], ids=["untied", "ties and zeros"])
def test_agrees_with_scipy_normal_beyond_the_exact_limit(decimals):
    n = 2 * EXACT_LIMIT
    differences = np.round(np.random.default_rng(5).normal(0.05, 1.0, n), decimals)
    expected = wilcoxon(differences, zero_method="pratt", correction=True, method="asymptotic")
    result = signed_rank(differences)
    assert not result.exact
    assert min(result.statistic_plus, result.statistic_minus) == expected.statistic
    assert result.p_value == pytest.approx(expected.pvalue, rel=1e-6)


def test_exact_and_normal_meet_at_the_limit():
    differences = np.round(np.random.default_rng(3).normal(0.08, 1.0, EXACT_LIMIT), 2)
    exact = signed_rank(differences[differences != 0])
    normal = wilcoxon(differences[differences != 0], correction=True, method="asymptotic")
    assert 0.001 < exact.p_value < 0.2
    # The normal tail is a little heavier than the exact one out here; at p = 0.05 the gap is below 0.5 %.
    assert exact.p_value == pytest.approx(normal.pvalue, rel=0.03)


def test_far_tails_keep_their_precision():
    assert signed_rank(np.arange(1.0, 201.0)).p_value == 2.0**-199


@given(fine, st.randoms(use_true_random=False), st.integers(0, 20))
@settings(deadline=None)
def test_laws_sign_order_and_scale(differences, random, power):
    differences = np.round(differences, 9)
    result = signed_rank(differences)
    flipped = signed_rank(-differences)
    assert (flipped.p_value, flipped.rank_biserial) == (result.p_value, -result.rank_biserial)
    assert (flipped.statistic_plus, flipped.statistic_minus) == (
        result.statistic_minus,
        result.statistic_plus,
    )
    order = list(range(len(differences)))
    random.shuffle(order)
    assert signed_rank(differences[order]) == result
    # Only upwards and without rounding: small differences would fall below the rounding on the way down.
    assert signed_rank(differences * 2.0**power, decimals=15) == signed_rank(differences, decimals=15)


@given(coarse)
@settings(deadline=None)
def test_rank_biserial_is_bounded_and_reaches_the_bounds(differences):
    assert -1.0 <= signed_rank(differences).rank_biserial <= 1.0
    positive = np.abs(differences) + 0.25
    assert signed_rank(positive).rank_biserial == 1.0
    assert signed_rank(-positive).rank_biserial == -1.0


def test_equal_arrays_with_float_noise_do_not_differ():
    noise = 1e-12 * np.random.default_rng(0).uniform(0.5, 1.0, 30)
    result = signed_rank(noise)
    assert (result.p_value, result.rank_biserial, result.n_zero) == (1.0, 0.0, 30)
    assert signed_rank(noise, decimals=15).p_value < 1e-8  # what the rounding is for


@pytest.mark.parametrize("bad", [[], [[1.0]], [1.0, np.nan], [np.inf]])
def test_refuses_what_is_not_a_list_of_finite_numbers(bad):
    with pytest.raises(ValueError, match="differences"):
        signed_rank(bad)


def test_type_one_error_is_the_attainable_level():
    rng = np.random.default_rng(11)
    n, runs = 12, 3000
    tails = 2 * np.cumsum(signed_rank_distribution(np.arange(1, n + 1))[::2])
    size = tails[tails <= 0.05].max()
    rate = np.mean([signed_rank(d).p_value <= 0.05 for d in rng.laplace(size=(runs, n))])
    assert abs(rate - size) < 4 * math.sqrt(size / runs)
    tied = np.mean([signed_rank(d).p_value <= 0.05 for d in np.round(rng.normal(size=(runs, n)))])
    assert 0.01 < tied < 0.05 + 4 * math.sqrt(0.05 / runs)


def test_distribution_by_hand_and_its_errors():
    np.testing.assert_allclose(signed_rank_distribution([1.0, 2.0]), [0.25, 0, 0.25, 0, 0.25, 0, 0.25])
    np.testing.assert_allclose(signed_rank_distribution([1.5, 1.5]), [0.25, 0, 0, 0.5, 0, 0, 0.25])
    np.testing.assert_allclose(signed_rank_distribution([]), [1.0])
    for bad in ([0.0], [1.25], [np.nan], [[1.0]], np.ones(EXACT_LIMIT + 1)):
        with pytest.raises(ValueError, match="ranks"):
            signed_rank_distribution(bad)


@given(st.lists(st.integers(1, 40).map(lambda k: k / 2), min_size=1, max_size=60))
@settings(deadline=None)
def test_distribution_is_symmetric_with_the_known_moments(ranks):
    probabilities = signed_rank_distribution(ranks)
    np.testing.assert_array_equal(probabilities, probabilities[::-1])
    support = np.arange(len(probabilities)) / 2
    mean = support @ probabilities
    assert probabilities.sum() == pytest.approx(1.0)
    assert mean == pytest.approx(np.sum(ranks) / 2)
    assert (support - mean) ** 2 @ probabilities == pytest.approx(np.square(ranks).sum() / 4)
