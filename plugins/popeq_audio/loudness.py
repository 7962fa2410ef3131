"""Integrated loudness and true peak of sound of any length (ITU-R BS.1770-4), block by block.

The weighting filters are pyloudnorm's. Its own meter needs all of the sound at once and has no more than five
channels; on what it can measure, the two agree (a test says so).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import signal

from popeq.installing import need
from popeq.typing import Floats

SEGMENT_S = 0.1  # gating blocks of 400 ms begin every 100 ms
_ABSOLUTE_LUFS = -70.0
_RELATIVE_LU = -10.0
_OFFSET_LUFS = -0.691
#: Weights by the WAV order of channels: left, right, centre, LFE, back, side. Only speakers at 60 to 120
#: degrees (the surrounds of 5.1, the sides of 7.1) count more; LFE does not count.
WEIGHTS = {
    1: (1.0,),
    2: (1.0, 1.0),
    3: (1.0, 1.0, 1.0),
    4: (1.0, 1.0, 1.41, 1.41),
    5: (1.0, 1.0, 1.0, 1.41, 1.41),
    6: (1.0, 1.0, 1.0, 0.0, 1.41, 1.41),
    7: (1.0, 1.0, 1.0, 0.0, 1.0, 1.41, 1.41),
    8: (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.41, 1.41),
}


@dataclass(frozen=True)
class Measured:
    """Loudness (LUFS; -inf if there is none) and true peak (dBTP) of a sound."""

    loudness_lufs: float
    true_peak_dbtp: float


def measure(sound: Iterable[Floats], rate_hz: int, channels: int) -> Measured:
    """Levels of a sound that comes in blocks (n, channels); their size changes no bit."""
    loudness, true_peak = LoudnessMeter(rate_hz, channels), TruePeakMeter(channels)
    for block in sound:
        loudness.add(block)
        true_peak.add(block)
    peak = true_peak.peak()
    return Measured(loudness.integrated(), 20.0 * math.log10(peak) if peak > 0 else -math.inf)


class LoudnessMeter:
    """Integrated loudness in LUFS, with both gates."""

    def __init__(self, rate_hz: int, channels: int) -> None:
        pyloudnorm = need("pyloudnorm", "audio")
        stages = pyloudnorm.Meter(rate_hz, filter_class="DeMan")._filters.values()
        sections = [np.concatenate([s.passband_gain * s.b, s.a]) / s.a[0] for s in stages]
        self.sections = np.stack(sections)
        self._state = np.zeros((len(sections), 2, channels))
        self._weights = np.array(WEIGHTS[channels])
        self._rate = rate_hz
        self._waiting = np.zeros((0, channels))
        self._powers: list[float] = []
        self._end = 0

    def add(self, block: Floats) -> None:
        """Take frames (n, channels), at least one."""
        weighted, self._state = signal.sosfilt(self.sections, block, axis=0, zi=self._state)
        self._waiting = np.concatenate([self._waiting, weighted])
        start = 0
        while True:
            length = round((len(self._powers) + 1) * SEGMENT_S * self._rate) - self._end
            if start + length > len(self._waiting):
                break
            segment = np.ascontiguousarray(self._waiting[start : start + length])
            self._powers.append(float(np.mean(segment**2, axis=0) @ self._weights))
            start += length
            self._end += length
        self._waiting = self._waiting[start:]

    def integrated(self) -> float:
        """LUFS of all that was taken; -inf for silence and for less than 400 ms."""
        if len(self._powers) < 4:
            return -math.inf
        blocks = np.lib.stride_tricks.sliding_window_view(self._powers, 4).mean(axis=1)
        with np.errstate(divide="ignore"):
            loudness = _OFFSET_LUFS + 10.0 * np.log10(blocks)
            audible = blocks[loudness > _ABSOLUTE_LUFS]
            if not len(audible):
                return -math.inf
            gate = _OFFSET_LUFS + 10.0 * np.log10(audible.mean()) + _RELATIVE_LU
        kept = blocks[(loudness > gate) & (loudness > _ABSOLUTE_LUFS)]
        return float(_OFFSET_LUFS + 10.0 * np.log10(kept.mean()))


class TruePeakMeter:
    """Largest magnitude between the samples, by fourfold oversampling (BS.1770-4, annex 2)."""

    _UP = 4
    _REACH = 24

    def __init__(self, channels: int) -> None:
        length = 2 * self._REACH * self._UP + 1
        self._filter = signal.firwin(length, 1.0 / self._UP, window=("kaiser", 7.0)) * self._UP
        self._before = np.zeros((2 * self._REACH, channels))
        self._peak = 0.0

    def add(self, block: Floats) -> None:
        """Take frames (n, channels), at least one."""
        window = np.concatenate([self._before, block])
        self._before = window[-2 * self._REACH :]
        between = signal.upfirdn(self._filter, window, up=self._UP, axis=0)
        valid = between[2 * self._REACH * self._UP : len(window) * self._UP]
        self._peak = max(self._peak, float(np.abs(valid).max()), float(np.abs(block).max()))

    def peak(self) -> float:
        """Largest magnitude so far, the end of the sound included."""
        self.add(np.zeros_like(self._before))
        return self._peak
