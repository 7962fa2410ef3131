"""Gain curves of second-order equaliser sections, after the RBJ Audio EQ Cookbook.

R. Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients"; a shelf's slope is
given by its Q, as in SAFE's plug-in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from popeq.typing import Floats

SAMPLE_RATE_HZ = 44_100.0
#: Q of a shelf that rises as steeply as it can without overshoot.
SHELF_Q = 1.0 / np.sqrt(2.0)


def _terms(gain_db: ArrayLike, centre_hz: ArrayLike, q: ArrayLike, rate_hz: float) -> tuple[Floats, ...]:
    """Amplitude, cosine of the centre and alpha of the cookbook, of one shape."""
    gain, centre, quality = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (gain_db, centre_hz, q))
    )
    w = 2.0 * np.pi * centre / rate_hz
    return 10.0 ** (gain / 40.0), np.cos(w), np.sin(w) / (2.0 * quality)


def peaking(
    gain_db: ArrayLike, centre_hz: ArrayLike, q: ArrayLike, rate_hz: float = SAMPLE_RATE_HZ
) -> Floats:
    """Coefficients (b0, b1, b2, a0, a1, a2) of peaks, shape (..., 6), with ``gain_db`` at the centre."""
    a, cosine, alpha = _terms(gain_db, centre_hz, q, rate_hz)
    return np.stack(
        [1 + alpha * a, -2 * cosine, 1 - alpha * a, 1 + alpha / a, -2 * cosine, 1 - alpha / a], axis=-1
    )


def low_shelf(
    gain_db: ArrayLike, corner_hz: ArrayLike, q: ArrayLike = SHELF_Q, rate_hz: float = SAMPLE_RATE_HZ
) -> Floats:
    """Coefficients (b0, b1, b2, a0, a1, a2) of low shelves, shape (..., 6): ``gain_db`` at 0 Hz."""
    return _shelf(1, *_terms(gain_db, corner_hz, q, rate_hz))


def high_shelf(
    gain_db: ArrayLike, corner_hz: ArrayLike, q: ArrayLike = SHELF_Q, rate_hz: float = SAMPLE_RATE_HZ
) -> Floats:
    """Coefficients (b0, b1, b2, a0, a1, a2) of high shelves, shape (..., 6): ``gain_db`` at half the rate."""
    return _shelf(-1, *_terms(gain_db, corner_hz, q, rate_hz))


def _shelf(sign: int, a: Floats, cosine: Floats, alpha: Floats) -> Floats:
    """A low shelf (sign 1); mirrored in frequency (sign -1) it is the high one."""
    cosine, root = sign * cosine, 2 * np.sqrt(a) * alpha
    return np.stack(
        [
            a * ((a + 1) - (a - 1) * cosine + root),
            sign * 2 * a * ((a - 1) - (a + 1) * cosine),
            a * ((a + 1) - (a - 1) * cosine - root),
            (a + 1) + (a - 1) * cosine + root,
            sign * -2 * ((a - 1) + (a + 1) * cosine),
            (a + 1) + (a - 1) * cosine - root,
        ],
        axis=-1,
    )


def gain_db(coefficients: ArrayLike, frequency_hz: ArrayLike, rate_hz: float = SAMPLE_RATE_HZ) -> Floats:
    """Gain in dB of sections (..., 6) at each frequency, shape (..., len(frequency_hz)).

    |b0 + b1 z + b2 z^2|^2 is a polynomial in phi = sin^2(w / 2), which unlike one in cos w stays exact far
    below the sample rate.
    """
    c = np.asarray(coefficients, dtype=np.float64)
    phi = np.sin(np.pi * np.asarray(frequency_hz, dtype=np.float64) / rate_hz) ** 2
    powers = np.stack([np.ones_like(phi), -4.0 * phi, 16.0 * phi**2])

    def power(k: Floats) -> Floats:
        k0, k1, k2 = k[..., 0], k[..., 1], k[..., 2]
        terms = [(k0 + k1 + k2) ** 2, k0 * k1 + 4.0 * k0 * k2 + k1 * k2, k0 * k2]
        return np.asarray(np.stack(terms, axis=-1) @ powers)

    return np.asarray(10.0 * np.log10(power(c[..., :3]) / power(c[..., 3:])))
