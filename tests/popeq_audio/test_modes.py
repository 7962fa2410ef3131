"""Modes of points whose modes are known, and a recommendation that is never between two of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popeq.space import PLANE
from popeq_audio.modes import find_modes, medoid


def blob(centre, n, spread=0.7, seed=0):
    points = np.random.default_rng(seed).normal(centre, spread, (n, 2))
    return PLANE.clip(points)


def test_two_modes_have_their_weights_and_no_recommendation_is_between():
    points = np.concatenate([blob((-3, -3), 60, seed=1), blob((3, 2), 40, seed=2)])
    first, second = find_modes(points, PLANE)
    assert first.weight == pytest.approx(0.6)
    assert second.weight == pytest.approx(0.4)
    assert np.linalg.norm(np.array(first.medoid) - (-3, -3)) < 0.7
    assert np.linalg.norm(np.array(second.medoid) - (3, 2)) < 0.7
    mean = points.mean(axis=0)
    assert np.linalg.norm(np.array(first.medoid) - mean) > 2  # the mean is near to neither


def test_one_blob_is_one_mode_also_at_an_edge_and_in_a_corner():
    for centre in ((0, 0), (6, 0), (-6, 6)):
        (mode,) = find_modes(blob(centre, 200, 1.0), PLANE)
        assert mode.weight == 1.0


def test_one_point_and_a_repeated_point_are_one_mode():
    for points in (np.array([[1.0, -2.0]]), np.tile([6.0, 6.0], (50, 1))):
        (mode,) = find_modes(points, PLANE)
        assert mode.medoid == tuple(points[0])


def test_a_stray_belongs_to_the_nearest_mode():
    points = np.concatenate([blob((-3, 0), 60), blob((3, 0), 60, seed=3), [[5.9, 5.9]]])
    modes = find_modes(points, PLANE)
    assert len(modes) == 2
    stray = next(m for m in modes if 120 in m.members)
    assert stray.medoid[0] > 0


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(-6, 6), st.floats(-6, 6)), min_size=1, max_size=40), st.integers(0, 5))
def test_modes_part_the_points_whatever_their_order(points, seed):
    array = np.array(points)
    modes = find_modes(array, PLANE)
    assert sorted(np.concatenate([m.members for m in modes])) == list(range(len(array)))
    assert sum(m.weight for m in modes) == pytest.approx(1.0)
    assert all(m.medoid in {tuple(p) for p in array.tolist()} for m in modes)
    shuffled = np.random.default_rng(seed).permutation(array)
    assert sorted(m.weight for m in find_modes(shuffled, PLANE)) == pytest.approx(
        sorted(m.weight for m in modes)
    )


def test_the_medoid_is_the_point_with_the_least_distances():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0]])
    assert medoid(points) == 1
