"""Loudness and true peak against pyloudnorm and against values that BS.1770 states."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import pytest

from popeq_audio.loudness import LoudnessMeter, TruePeakMeter


def loudness(sound: np.ndarray, rate: int, block: int | None = None) -> float:
    meter = LoudnessMeter(rate, sound.shape[1])
    for start in range(0, len(sound), block or len(sound)):
        meter.add(sound[start : start + (block or len(sound))])
    return meter.integrated()


def sine(frequency: float, rate: int, seconds: float, phase: float = 0.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate + phase)


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_the_reference_tone_is_as_loud_as_the_standard_says(rate):
    tone = sine(997.0, rate, 3.0)[:, None]
    assert loudness(tone, rate) == pytest.approx(-3.01, abs=0.05)  # BS.1770-4, annex 1
    assert loudness(np.hstack([tone, tone]), rate) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_it_agrees_with_pyloudnorm(rate, channels):
    rng = np.random.default_rng(channels)
    sound = rng.normal(0, 0.05, (5 * rate, channels)) * np.linspace(0.01, 1, 5 * rate)[:, None]
    expected = pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(sound)
    assert loudness(sound, rate) == pytest.approx(expected, abs=0.02)


def test_blocks_change_no_bit(loop):
    assert loudness(loop, 48_000) == loudness(loop, 48_000, 1000) == loudness(loop, 48_000, 31)


def test_the_low_frequency_channel_does_not_count_and_surrounds_count_more():
    tone = sine(997.0, 48_000, 1.0)
    one = {c: np.zeros((48_000, 6)) for c in (0, 3, 4)}
    for channel, sound in one.items():
        sound[:, channel] = tone
    front = loudness(one[0], 48_000)
    assert loudness(one[3], 48_000) == -np.inf
    assert loudness(one[4], 48_000) - front == pytest.approx(10 * np.log10(1.41), abs=1e-6)


def test_silence_and_what_is_too_short_have_no_loudness():
    assert loudness(np.zeros((48_000, 2)), 48_000) == -np.inf
    assert loudness(np.ones((4800, 1)), 48_000) == -np.inf


def test_true_peak_sees_between_the_samples():
    meter = TruePeakMeter(1)
    tone = sine(12_000.0, 48_000, 0.5, np.pi / 4)[:, None]  # every sample is at 0.707
    faded = tone * np.hanning(len(tone))[:, None]
    for start in range(0, len(faded), 777):
        meter.add(faded[start : start + 777])
    assert np.abs(faded).max() < 0.71
    assert meter.peak() == pytest.approx(1.0, abs=0.01)
