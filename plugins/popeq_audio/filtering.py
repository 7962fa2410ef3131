"""A minimum-phase filter that has the exact curve of a setting, and filtering sound block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from popeq import eq
from popeq.space import PLANE, Space
from popeq.typing import Floats

#: Length of the filter: long enough to follow the curve at 30 Hz to a few hundredths of a dB.
FILTER_S = 0.34
#: Spacing of the frequencies that the filter is made from, Hz.
_RESOLUTION_HZ = 0.1


def filter_taps(point: ArrayLike, rate_hz: float, space: Space = PLANE) -> Floats:
    """Impulse response (n,) with the gain of a setting's curve and minimum phase: no delay and no pre-echo.

    The setting (0, 0) gives a single 1, exactly.
    """
    return minimum_phase(lambda frequency_hz: eq.gain_db(point, frequency_hz, space), rate_hz)


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


def convolve(sound: Iterable[Floats], taps: Floats, channels: int) -> Iterator[Floats]:
    """Blocks (n, channels) convolved with a fixed filter (m,) by overlap-save.

    Whatever the size of the blocks that come in, the same stretches of sound are transformed, so not one bit
    of the result depends on it. Output comes late, in whole stretches; as many frames come out as went in,
    without the filter's tail.
    """
    hop = len(taps)
    size = fft.next_fast_len(2 * hop, real=True)
    response = fft.rfft(taps, size)
    before, waiting = np.zeros((channels, size - hop)), np.zeros((channels, 0))
    for block in sound:
        waiting = np.concatenate([waiting, block.T], axis=1)
        while waiting.shape[1] >= hop:
            window = np.concatenate([before, waiting[:, :hop]], axis=1)
            before, waiting = window[:, hop:], waiting[:, hop:]
            yield _filtered(window, response)[:, -hop:].T
    left = waiting.shape[1]
    if left:
        window = np.concatenate([before, waiting, np.zeros((channels, hop - left))], axis=1)
        yield _filtered(window, response)[:, -hop:][:, :left].T


def _filtered(window: Floats, response: NDArray[np.complex128]) -> Floats:
    """Circular convolution of each channel, (channels, n)."""
    return np.asarray(fft.irfft(fft.rfft(window, axis=1) * response, window.shape[1], axis=1))
