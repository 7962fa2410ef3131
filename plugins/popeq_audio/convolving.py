"""Filter sound of any length block by block, so that the result does not depend on the blocks."""

from __future__ import annotations

import numpy as np
from scipy import fft

from popeq.typing import Floats


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
