"""Holm and Benjamini-Hochberg against their definitions and SciPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from popeq.statistics import benjamini_hochberg, holm

# No subnormal numbers: p * m / i and p * (m / i) differ there.
probabilities = st.one_of(
    st.floats(0, 1, allow_subnormal=False), st.sampled_from([0.0, 0.001, 0.01, 0.04, 0.5, 1.0])
)
families = st.lists(probabilities, min_size=1, max_size=7)
both = pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])


@given(families)
def test_holm_is_closed_testing_with_bonferroni(p_values):
    m = len(p_values)
    subsets = [s for k in range(1, m + 1) for s in itertools.combinations(range(m), k)]
    bonferroni = {s: min(1.0, len(s) * min(p_values[i] for i in s)) for s in subsets}
    expected = [max(bonferroni[s] for s in subsets if i in s) for i in range(m)]
    np.testing.assert_allclose(holm(p_values), expected, rtol=1e-12)


@given(st.lists(probabilities, min_size=1, max_size=60))
def test_benjamini_hochberg_is_scipys(p_values):
    np.testing.assert_allclose(
        benjamini_hochberg(p_values), false_discovery_control(p_values, method="bh"), rtol=1e-12
    )


@both
@given(p_values=families, raised=st.integers(0, 6), to=probabilities, random=st.randoms())
def test_laws(adjust, p_values, raised, to, random):
    p = np.array(p_values)
    adjusted = adjust(p)
    assert (adjusted >= p).all()
    assert (adjusted <= 1.0).all()
    order = np.argsort(p)
    assert (np.diff(adjusted[order]) >= 0).all()
    shuffled = random.sample(range(len(p)), len(p))
    np.testing.assert_array_equal(adjust(p[shuffled]), adjusted[shuffled])
    higher = p.copy()
    higher[raised % len(p)] = max(to, higher[raised % len(p)])
    assert (adjust(higher) >= adjusted).all()


@both
@given(p_values=families, at=st.integers(0, 7))
def test_nan_stays_and_does_not_count(adjust, p_values, at):
    with_nan = np.insert(p_values, min(at, len(p_values)), np.nan)
    adjusted = adjust(with_nan)
    np.testing.assert_array_equal(np.isnan(adjusted), np.isnan(with_nan))
    np.testing.assert_array_equal(adjusted[~np.isnan(adjusted)], adjust(p_values))


def test_by_hand():
    p = [0.01, 0.04, 0.03, 0.005]
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.02, 0.04, 0.04, 0.02])


@both
def test_empty_families_and_errors(adjust):
    assert adjust([]).shape == (0,)
    assert np.isnan(adjust([np.nan, np.nan])).all()
    for bad in ([-0.1], [1.1], [[0.5]]):
        with pytest.raises(ValueError, match="p-values"):
            adjust(bad)
