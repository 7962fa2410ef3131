"""The diagnostics name the failure that was made on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from popeq.metrics import coverage, edge_mass_gap, mean_shift, retrieval_rank_correlation, spread_ratio
from popeq.space import PLANE

RNG = np.random.default_rng(0)
LISTENERS = PLANE.clip(RNG.normal(0, 2, (400, 2)))


def test_spread_ratio_of_a_collapsed_and_of_a_faithful_predictor():
    assert spread_ratio(LISTENERS * 0.25, LISTENERS) == pytest.approx(0.25)
    assert spread_ratio(LISTENERS, LISTENERS) == pytest.approx(1.0)
    assert spread_ratio(np.zeros((10, 2)), LISTENERS) == 0.0
    assert np.isnan(spread_ratio(LISTENERS, np.ones((5, 2))))


def test_mean_shift_is_the_distance_of_the_means():
    assert mean_shift(np.full((4, 2), 3.0), np.tile([0.0, -1.0], (7, 1))) == pytest.approx(5.0)


def test_edge_mass_gap_of_a_predictor_that_shuns_the_edges():
    listeners = np.array([[6.0, 0.0], [0.0, -6.0], [0.0, 0.0], [5.6, 1.0]])
    assert edge_mass_gap(np.zeros((9, 2)), listeners) == pytest.approx(-0.75)
    assert edge_mass_gap(np.full((9, 2), 6.0), listeners) == pytest.approx(0.25)


def test_coverage_is_the_level_for_draws_of_the_same_population():
    rng = np.random.default_rng(1)
    found = [
        coverage(PLANE.clip(rng.normal(0, 2, (400, 2))), PLANE.clip(rng.normal(0, 2, (200, 2))))
        for _ in range(20)
    ]
    assert np.mean(found) == pytest.approx(0.82, abs=0.03)  # a kernel widens the region a little
    assert coverage(LISTENERS * 0.2, LISTENERS) < 0.3
    assert coverage(rng.uniform(-6, 6, (400, 2)), LISTENERS * 0.2) > 0.6


def test_retrieval_rank_correlation_is_one_when_alike_sentences_are_set_alike():
    query = np.zeros((5, 2))
    retrieved = [np.full((5, 2), d) for d in (0.5, 1.0, 2.0)]
    assert retrieval_rank_correlation([0.9, 0.8, 0.1], query, retrieved) == pytest.approx(1.0)
    assert retrieval_rank_correlation([0.1, 0.8, 0.9], query, retrieved) == pytest.approx(-1.0)
    assert np.isnan(retrieval_rank_correlation([0.5, 0.5, 0.5], query, retrieved))
    with pytest.raises(ValueError, match="shape"):
        retrieval_rank_correlation([0.5], query, retrieved)
