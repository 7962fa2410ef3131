"""The equaliser sections against SciPy's transfer functions and against gains that are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import freqz

from popeq.eq import GRID_HZ, biquad

SECTIONS = (biquad.peaking, biquad.low_shelf, biquad.high_shelf)


def by_scipy(coefficients: NDArray, frequency_hz: NDArray) -> NDArray:
    _, response = freqz(coefficients[:3], coefficients[3:], worN=frequency_hz, fs=biquad.SAMPLE_RATE_HZ)
    return 20.0 * np.log10(np.abs(response))


@pytest.mark.parametrize("section", SECTIONS)
def test_gain_is_that_of_the_transfer_function(section):
    rng = np.random.default_rng(1)
    gains, centres = rng.uniform(-12, 12, 40), rng.uniform(22, 20_000, 40)
    coefficients = section(gains, centres, rng.uniform(0.1, 10, 40))
    expected = np.stack([by_scipy(c, GRID_HZ) for c in coefficients])
    np.testing.assert_allclose(biquad.gain_db(coefficients, GRID_HZ), expected, atol=1e-6)


@pytest.mark.parametrize("gain", [-12.0, -3.0, 0.5, 12.0])
def test_known_gains(gain):
    ends = np.array([0.0, biquad.SAMPLE_RATE_HZ / 2])
    at = {f.__name__: biquad.gain_db(f(gain, 1000.0, 0.7), ends) for f in SECTIONS}
    np.testing.assert_allclose(at["low_shelf"], [gain, 0.0], atol=1e-9)
    np.testing.assert_allclose(at["high_shelf"], [0.0, gain], atol=1e-9)
    np.testing.assert_allclose(at["peaking"], [0.0, 0.0], atol=1e-9)
    centre = np.array([1000.0])
    assert biquad.gain_db(biquad.peaking(gain, 1000.0, 4.0), centre) == pytest.approx(gain, abs=1e-9)
    assert biquad.gain_db(biquad.low_shelf(gain, 1000.0), centre) == pytest.approx(gain / 2, abs=1e-9)
    assert biquad.gain_db(biquad.high_shelf(gain, 1000.0), centre) == pytest.approx(gain / 2, abs=1e-9)


@pytest.mark.parametrize("section", SECTIONS)
def test_no_gain_is_flat(section):
    np.testing.assert_allclose(biquad.gain_db(section(0.0, 300.0, 1.3), GRID_HZ), 0.0, atol=1e-9)


def test_a_default_shelf_does_not_overshoot():
    curve = biquad.gain_db(biquad.low_shelf(12.0, 500.0), GRID_HZ)
    assert (np.diff(curve) < 1e-9).all()
    assert curve.max() <= 12.0 + 1e-9


def test_shapes_broadcast():
    sections = biquad.peaking(np.zeros((7, 3)), 1000.0, np.ones(3))
    assert sections.shape == (7, 3, 6)
    assert biquad.gain_db(sections, GRID_HZ).shape == (7, 3, len(GRID_HZ))
