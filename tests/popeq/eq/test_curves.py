"""Pairs of curves, and the projection on them."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from scipy.optimize import least_squares
from tests.conftest import ROOT

from popeq import eq
from popeq.errors import UnknownNameError, UsageError
from popeq.plugins import build_registry
from popeq.space import Space

F = np.geomspace(20, 20_000, 301)
PAIRS = ("orthogonal", "beosonic", "shelves:300:3000", "shelves:62.5:12000")


def plane(curves: str, half: float = 6.0) -> Space:
    return Space(-half, half, -half, half, 0.1, curves)


def test_log_frequency_runs_from_minus_one_to_one():
    np.testing.assert_allclose(eq.log_frequency([20.0, np.sqrt(20 * 20_000), 20_000]), [-1, 0, 1], atol=1e-12)


def test_smile_lifts_both_ends_and_tilt_is_brighter():
    smile, tilt = eq.gain_db([[6, 0], [0, 6]], F)
    assert smile[[0, 150, -1]] == pytest.approx([6, -3, 6])
    assert tilt[[0, -1]] == pytest.approx([-6, 6])
    assert (np.diff(tilt) > 0).all()


def test_the_orthogonal_curves_are_uncorrelated_with_each_other_and_the_level():
    f = np.geomspace(20, 20_000, 200_001)
    basis = np.vstack([np.ones_like(f), eq.gain_db(np.eye(2), f)])
    np.testing.assert_allclose(basis @ basis.T / len(f), np.diag([1, 1 / 5, 1 / 3]), atol=1e-4)


def analogue_shelf(f: np.ndarray, corner_hz: float, gain_db: float, q: float, high: bool) -> np.ndarray:
    """The cookbook's analogue shelf, computed by scipy from its transfer function."""
    a = 10 ** (gain_db / 40)
    low = [1, np.sqrt(a) / q, a], [a, np.sqrt(a) / q, 1]
    num, den = (low[0][::-1], low[1][::-1]) if high else low
    _, h = signal.freqs(a * np.array(num), den, f / corner_hz)
    return np.asarray(20 * np.log10(np.abs(h)))


@pytest.mark.parametrize("point", [(6, -6), (6, 6), (-6, 6), (-6, -6), (2.5, -1.5), (0, 4)])
def test_beosonic_is_two_shelves_on_the_diagonals(point):
    x, y = point
    f = np.geomspace(20, 3000, 100)  # where the bilinear transform of 48 kHz does not matter
    low = analogue_shelf(f, 100, 6 * (x - y) / 12, 0.7, high=False)
    high = analogue_shelf(f, 10_000, 8 * (x + y) / 12, 0.7, high=True)
    np.testing.assert_allclose(eq.gain_db(point, f, plane("beosonic")), low + high, atol=0.05)


def test_beosonic_reaches_the_products_gains_at_the_corners_and_no_more():
    low, high = eq.gain_db([[6, -6], [6, 6]], [20.0, 1000.0, 20_000.0], plane("beosonic"))
    assert low[0] == pytest.approx(6, abs=0.1)
    assert abs(low[1:]).max() < 0.05
    assert high[2] == pytest.approx(8, abs=0.1)
    assert abs(high[:2]).max() < 0.05


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("point", [(0, 0), (4, -2), (-12, 5)])
def test_sections_are_exactly_the_curve(name, point):
    pair = eq.curves_named(name)
    if pair.sections is None:
        assert name == "orthogonal"
        return
    _, heard = signal.sosfreqz(
        [section.coefficients() / section.coefficients()[3] for section in pair.sections(np.array(point))],
        F,
        fs=48_000,
    )
    np.testing.assert_allclose(20 * np.log10(np.abs(heard)), eq.gain_db(point, F, plane(name)), atol=1e-6)


@pytest.mark.parametrize("name", PAIRS)
@settings(max_examples=60)
@given(
    half=st.sampled_from([0.5, 6.0, 12.0, 24.0]),
    shares=st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=4),
    level=st.floats(-20, 20),
)
def test_projection_undoes_the_curve_in_any_box_whatever_the_level(name, half, shares, level):
    space, points = plane(name, half), half * np.array(shares)
    curves = eq.gain_db(points, F, space) + level
    found = eq.project(curves, F, space)
    np.testing.assert_allclose(found, points, atol=1e-6)
    np.testing.assert_allclose(eq.residual_db(curves, found, F, space), 0, atol=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_projection_of_any_curve_is_the_least_squares_one(name):
    space, rng = plane(name), np.random.default_rng(20)
    curves = np.cumsum(rng.normal(0, 0.8, (5, len(F))), axis=1)
    found = eq.project(curves, F, space)
    for curve, point in zip(curves, found, strict=True):

        def left(values, curve=curve):
            return eq.gain_db(values[:2], F, space) + values[2] - curve

        reference = least_squares(left, [0, 0, 0], jac="3-point", xtol=1e-15, ftol=1e-15)
        np.testing.assert_allclose(point, reference.x[:2], atol=1e-4)


def test_the_curve_goes_on_level_outside_20_hz_to_20_khz():
    for name in PAIRS:
        outside = eq.gain_db((6.0, 3.0), [5.0, 30_000.0], plane(name))
        np.testing.assert_array_equal(outside, eq.gain_db((6.0, 3.0), [20.0, 20_000.0], plane(name)))


def test_what_a_setting_cannot_follow_is_left_over():
    wave = np.cos(6 * eq.log_frequency(F))
    left = eq.residual_db(wave, eq.project(wave, F), F)
    assert 0.9 < left.var() / wave.var() <= 1.0


@pytest.mark.parametrize("frequencies", [[100.0, 1000.0], [100.0, 100.0, 1000.0]])
def test_fewer_than_three_frequencies_are_refused(frequencies):
    with pytest.raises(ValueError, match="at least three frequencies, all different"):
        eq.project(np.zeros(len(frequencies)), frequencies)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("shelves", "write 'shelves:LOW:HIGH'"),
        ("shelves:300", "write 'shelves:LOW:HIGH'"),
        ("shelves:3000:300", "the lower first"),
        ("shelves:5:300", "from 20 to 20000 Hz"),
        ("shelves:a:300", "'a' is not a number such as 300 or 62.5"),
        ("orthogonal:3", "takes no numbers"),
    ],
)
def test_numbers_after_a_name_are_checked(name, says):
    with pytest.raises(UsageError, match=says):
        eq.curves_named(name)


def test_the_pair_of_the_page_is_found_by_its_name_and_obeys_the_laws(monkeypatch):
    page = (ROOT / "docs" / "curves.md").read_text(encoding="utf-8")
    module = types.ModuleType("my_package")
    exec(page.split("```python\n")[1].split("```")[0], module.__dict__)
    monkeypatch.setitem(sys.modules, "my_package", module)
    found = build_registry([])
    found.add(module, "my-package 1.0")
    assert found.warnings == []
    monkeypatch.setattr("popeq.plugins.registry", lambda: found)
    eq.curves_named.cache_clear()
    space, points = plane("two-knobs", 12.0), np.array([[9.0, -4.0], [-11.0, 0.5], [0.0, 0.0]])
    curves = eq.gain_db(points, F, space)
    np.testing.assert_allclose(eq.project(curves + 3.0, F, space), points, atol=1e-6)
    sections = eq.curves(space).sections(points[0])
    made = sum(eq.biquad.gain_db(s.coefficients(), F, 48_000.0) for s in sections)
    np.testing.assert_allclose(made, curves[0], atol=1e-9)
    assert (curves[2] == 0).all()
    eq.curves_named.cache_clear()


def test_an_unknown_pair_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'beosonic'"):
        eq.curves_named("beosonik")
