"""The plane of settings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from popeq.space import PLANE, Space


def test_clip_and_contains():
    assert PLANE.contains([[6, -6], [6.0001, 0], [np.nan, 0]]).tolist() == [True, False, False]
    np.testing.assert_array_equal(PLANE.clip([[7, -9]]), [[6, -6]])


@pytest.mark.parametrize(
    ("space", "x", "y", "decimals"),
    [
        (PLANE, range(-60, 61), range(-60, 61), 1),
        (Space(-12, 12, -12, 12, 0.5), range(-24, 25), range(-24, 25), 1),
        (Space(0, 10, -3, 3, 1.0), range(11), range(-3, 4), 0),
        (Space(0.35, 1.0, -0.6, 0.6, 0.25), range(2, 5), range(-2, 3), 2),
    ],
)
def test_steps_are_the_multiples_of_the_step_in_the_box(space, x, y, decimals):
    assert space.steps() == (x, y)
    assert space.decimals == decimals


@given(
    low=st.integers(-40, 20),
    width=st.integers(1, 60),
    step=st.sampled_from([0.1, 0.25, 0.3, 0.5, 1.0]),
    point=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
)
def test_the_nearest_setting_is_offered_and_no_other_is_nearer(low, width, step, point):
    space = Space(low * step, (low + width) * step, -3 * step, 3 * step, step)
    found = space.nearest(point)
    assert space.contains(found)
    offered = np.array([[i * step, j * step] for i in space.steps()[0] for j in space.steps()[1]])
    assert np.linalg.norm(found - point) <= np.linalg.norm(offered - point, axis=1).min() + 1e-6
    np.testing.assert_allclose(found / step, np.rint(found / step), atol=1e-6)
