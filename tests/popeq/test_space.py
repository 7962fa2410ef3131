"""The plane and its curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from popeq.space import PLANE, curve_basis, curve_to_setting, log_frequency, setting_to_curve

F = np.geomspace(20, 20_000, 301)


def test_log_frequency_runs_from_minus_one_to_one():
    np.testing.assert_allclose(log_frequency([20.0, np.sqrt(20 * 20_000), 20_000]), [-1, 0, 1], atol=1e-12)


def test_smile_lifts_both_ends_and_tilt_is_brighter():
    smile, tilt = setting_to_curve([[6, 0], [0, 6]], F)
    assert smile[0] == pytest.approx(6)
    assert smile[-1] == pytest.approx(6)
    assert smile[150] == pytest.approx(-3)
    assert tilt[0] == pytest.approx(-6)
    assert tilt[-1] == pytest.approx(6)
    assert (np.diff(tilt) > 0).all()


def test_the_two_curves_and_the_level_are_orthogonal():
    gram = (
        curve_basis(np.geomspace(20, 20_000, 200_001)).T
        @ curve_basis(np.geomspace(20, 20_000, 200_001))
        / 200_001
    )
    np.testing.assert_allclose(gram, np.diag([1, 1 / 5, 1 / 3]), atol=1e-4)


@given(x=st.floats(-12, 12), y=st.floats(-12, 12), level=st.floats(-20, 20))
def test_projection_undoes_the_curve_whatever_the_level(x, y, level):
    point, (residual, _) = curve_to_setting(setting_to_curve([x, y], F) + level, F)
    np.testing.assert_allclose(point, [x, y], atol=1e-9)
    assert residual == pytest.approx(0, abs=1e-9)


def test_explained_variance_of_a_curve_outside_the_plane():
    u = log_frequency(F)
    _, (residual, total) = curve_to_setting(np.cos(6 * u), F)
    assert 0.9 < residual / total <= 1.0


def test_clip_and_contains():
    assert PLANE.contains([[6, -6], [6.0001, 0], [np.nan, 0]]).tolist() == [True, False, False]
    np.testing.assert_array_equal(PLANE.clip([[7, -9]]), [[6, -6]])
