"""Five bands follow every setting's curve closely, and no tone comes out louder than it went in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import sosfreqz

from popeq.eq import gain_db
from popeq.space import PLANE
from popeq_audio.bands import band_table, fit_bands, response_db

decibels = st.floats(-6, 6)


def by_scipy(fit, frequency_hz, rate):
    sections = np.stack([band.coefficients(rate) for band in fit.bands])
    _, response = sosfreqz(sections / sections[:, 3:4], worN=frequency_hz, fs=rate)
    return 20 * np.log10(np.abs(response))


@given(decibels, decibels, st.sampled_from([44_100.0, 48_000.0, 96_000.0]))
def test_the_bands_follow_the_curve(x, y, rate):
    fit = fit_bands((x, y), rate_hz=rate)
    frequency = np.geomspace(40, 16_000, 300)
    error = np.abs(by_scipy(fit, frequency, rate) - gain_db((x, y), frequency)).max()
    assert error < 0.5
    assert fit.error_db == pytest.approx(error, abs=0.02)
    assert len(fit.bands) <= 5


@given(decibels, decibels)
def test_with_the_preamp_no_tone_gets_louder(x, y):
    fit = fit_bands((x, y))
    loudest = by_scipy(fit, np.geomspace(5, 20_000, 2000), 48_000.0).max() + fit.preamp_db
    assert -0.05 < loudest < 0.005 or (fit.preamp_db == 0.0 and loudest < 0.005)


def test_flat_is_flat():
    fit = fit_bands((0.0, 0.0))
    assert all(band.gain_db == 0.0 for band in fit.bands)
    assert (fit.preamp_db, fit.error_db) == (0.0, 0.0)


def test_the_table_interpolated_is_the_fit():
    table = band_table(PLANE)
    x, y, gains = table.x_db, table.y_db, table.gains_db
    point = np.array([1.13, -4.71])
    i, j = np.searchsorted(x, point[0]) - 1, np.searchsorted(y, point[1]) - 1
    a, b = (point[0] - x[i]) / (x[1] - x[0]), (point[1] - y[j]) / (y[1] - y[0])
    between = (1 - a) * ((1 - b) * gains[i, j] + b * gains[i, j + 1])
    between += a * ((1 - b) * gains[i + 1, j] + b * gains[i + 1, j + 1])
    fit = fit_bands(point)
    np.testing.assert_allclose(between, [band.gain_db for band in fit.bands], atol=0.03)
    assert response_db(fit.bands, [1000.0]).shape == (1,)
