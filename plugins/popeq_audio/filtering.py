"""The exact curve of a setting, a minimum-phase filter that has it, and filtering sound block by block."""

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


class Convolver:
    """Convolution with a fixed filter by overlap-save.

    Whatever the size of the blocks that come in, the same stretches of sound are transformed, so not one bit
    of the result depends on it. Output comes late, in whole stretches; ``flush`` gives the rest, and then as
    many frames have come out as went in (the filter's tail is left out).
    """

    def __init__(self, taps: Floats, channels: int) -> None:
        self._hop = len(taps)
        self._size = fft.next_fast_len(2 * self._hop, real=True)
        self._response = fft.rfft(taps, self._size)
        self._before = np.zeros((channels, self._size - self._hop))
        self._waiting = np.zeros((channels, 0))

    def process(self, block: Floats) -> Floats:
        """Take frames (n, channels); give those that are ready, (m, channels)."""
        self._waiting = np.concatenate([self._waiting, block.T], axis=1)
        ready = []
        while self._waiting.shape[1] >= self._hop:
            ready.append(self._stretch(self._waiting[:, : self._hop]))
            self._waiting = self._waiting[:, self._hop :]
        return np.concatenate(ready, axis=1).T if ready else np.empty((0, len(self._before)))

    def flush(self) -> Floats:
        """The frames that are left, (m, channels)."""
        left = self._waiting.shape[1]
        padded = np.pad(self._waiting, ((0, 0), (0, self._hop - left)))
        self._waiting = self._waiting[:, :0]
        return self._stretch(padded)[:, :left].T

    def _stretch(self, new: Floats) -> Floats:
        window = np.concatenate([self._before, new], axis=1)
        self._before = window[:, self._hop :]
        filtered: Floats = fft.irfft(fft.rfft(window, axis=1) * self._response, self._size, axis=1)
        return filtered[:, -self._hop :]
