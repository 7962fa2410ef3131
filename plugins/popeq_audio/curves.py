"""The exact curve of a setting at any frequency, and a minimum-phase filter that has it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft

from popeq.space import HIGH_HZ, LOW_HZ, setting_to_curve
from popeq.typing import Floats

#: Length of the filter: long enough to follow the curve at 30 Hz to a few hundredths of a dB.
FILTER_S = 0.34
#: Spacing of the frequencies that the filter is made from, Hz.
_RESOLUTION_HZ = 0.1


def curve_db(point: ArrayLike, frequency_hz: ArrayLike) -> Floats:
    """Gain in dB of settings (..., 2) at each frequency, shape (..., len(frequency_hz)).

    Below 20 Hz and above 20 kHz, where the plane says nothing, the curve goes on level.
    """
    return setting_to_curve(point, np.clip(np.asarray(frequency_hz, dtype=np.float64), LOW_HZ, HIGH_HZ))


def filter_taps(point: ArrayLike, rate_hz: float) -> Floats:
    """Impulse response (n,) with the curve's gain and minimum phase: no delay and no pre-echo.

    The setting (0, 0) gives a single 1, exactly.
    """
    return minimum_phase(lambda frequency_hz: curve_db(point, frequency_hz), rate_hz)


def minimum_phase(gain_db: Callable[[Floats], Floats], rate_hz: float) -> Floats:
    """Impulse response (n,) with a gain (dB at frequencies in Hz) and minimum phase.

    By folding the real cepstrum (Oppenheim & Schafer, Discrete-Time Signal Processing, section 13.5); the
    last quarter fades to nothing.
    """
    length = fft.next_fast_len(round(FILTER_S * rate_hz), real=True)
    size = 1 << int(np.ceil(np.log2(max(rate_hz / _RESOLUTION_HZ, 4 * length))))
    cepstrum = fft.irfft(gain_db(fft.rfftfreq(size, 1.0 / rate_hz)) * (np.log(10.0) / 20.0), size)
    cepstrum[1 : size // 2] *= 2.0
    cepstrum[size // 2 + 1 :] = 0.0
    taps: Floats = fft.irfft(np.exp(fft.rfft(cepstrum)), size)[:length]
    fade = length // 4
    taps[-fade:] *= 0.5 + 0.5 * np.cos(np.pi * (np.arange(fade) + 1) / fade)
    return taps
